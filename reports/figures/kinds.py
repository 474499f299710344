"""The kinds of figures, and drawing them all; nothing here needs a display."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib import style

from bench.reports.document import Drawn
from bench.reports.figures.accuracy import accuracy_figures, gap, overview
from bench.reports.figures.canvas import Outcomes, Scope, levels_of
from bench.reports.figures.cost import cost_figures
from bench.reports.figures.curves import agreement, learning, memorization, splits
from bench.reports.figures.folder import FigureFolder
from bench.reports.figures.fonts import tell
from bench.reports.figures.gates import gate_figures
from bench.reports.figures.losses import loss_figures
from bench.reports.figures.parallel import perform
from bench.reports.figures.reliability import reliability_figures
from bench.reports.frame import truth_known
from bench.reports.names import family
from bench.reports.tables.summary import describe, measured, settings
from bench.rows import FAMILIES


@dataclass(frozen=True)
class FigureKind:
    """One kind of figure.

    Attributes:
        figures: those of some rows of a setting.
        curve: without which there is none; empty where it needs none.
        truth: whether the true labels must be known, or must be unknown; None: either.
    """

    figures: Callable[[Scope], Iterator[Drawn]]
    curve: str = ""
    truth: bool | None = None


# In the order of the report; all settings get the first kinds before any gets the next. A new kind is a row here.
KINDS: Mapping[str, FigureKind] = {
    "overview": FigureKind(overview, "memorized", truth=True),
    "accuracy": FigureKind(accuracy_figures),
    "memorization": FigureKind(memorization, "memorized", truth=True),
    "agreement": FigureKind(agreement, "train_given_accuracy", truth=False),  # shows what `learning` does, and more
    "cost": FigureKind(cost_figures),
    "learning": FigureKind(learning, "test_accuracy", truth=True),
    "gap": FigureKind(gap),
    "reliability": FigureKind(reliability_figures, "test_calibration_error"),
    "losses": FigureKind(loss_figures, "loss_auroc", truth=True),
    "splits": FigureKind(splits, "split_precision", truth=True),
    "gates": FigureKind(gate_figures, "gate_mean"),
}
LINES = 12  # more in one panel cannot be told apart
MOST = 100  # figures of one report if nobody asks for another number, each a second or more
ANCHORS = "references"


def draw(
    frame: pd.DataFrame,
    curves: pd.DataFrame,
    folder: FigureFolder,
    outcomes: Outcomes | None = None,
    most: int = MOST,
    processes: int = 1,
    kinds: Mapping[str, FigureKind] = KINDS,
) -> tuple[list[Drawn], list[str]]:
    """Draw every figure of every setting for which there are data.

    Args:
        frame: `bench.reports.frame.tidy`.
        curves: `bench.reports.frame.curves`.
        folder: where to.
        outcomes: per-sample outcomes of a record by its key; without them no losses of single samples are drawn.
        most: figures from which on no further one is begun.
        processes: that draw; the figures are the same whatever their number.
        kinds: of figures.

    Returns:
        The figures, by setting and kind, and a line for each kind that was not drawn everywhere.
    """
    tell([*frame["label"], *map(str, frame["noise"])])  # once, before there are several processes
    scopes = list(_scopes(frame, curves, folder, outcomes))
    wanted = [(name, kind, scope) for name, kind in kinds.items() for scope in scopes if _wanted(kind, scope)]
    drawn, done = perform([partial(_make, kind, scope) for _, kind, scope in wanted], most, processes)
    order = list(kinds)
    drawn.sort(key=lambda figure: (figure.setting, order.index(figure.kind)))
    return drawn, _left_out([(name, scope) for name, _, scope in wanted[done:]], most)


def _make(kind: FigureKind, scope: Scope) -> list[Drawn]:
    with style.context(["default", scope.page.rc]):
        return list(kind.figures(scope))


def _left_out(left: Sequence[tuple[str, Scope]], most: int) -> list[str]:
    """List a line for each kind of figure that was not drawn."""
    why = f"a report has about {most} figures at most unless --figures asks for more"
    names: dict[str, dict[str, None]] = {}
    for kind, scope in left:
        names.setdefault(kind, {})[scope.name] = None
    return [f"{kind}: not drawn, because {why}: {', '.join(found)}" for kind, found in names.items()]


def _wanted(kind: FigureKind, scope: Scope) -> bool:
    """Return whether a kind of figure can be drawn of some rows at all."""
    return (not kind.curve or scope.has(kind.curve)) and kind.truth in (None, truth_known(scope.part))


def _scopes(
    frame: pd.DataFrame, curves: pd.DataFrame, folder: FigureFolder, outcomes: Outcomes | None
) -> Iterator[Scope]:
    for setting, part in settings(frame):
        levels = levels_of(curves[curves["setting"] == setting])
        for suffix, words, rows in _families(part):
            seen = levels[levels["label"].isin(set(rows["label"]))]
            name, text = setting + suffix, describe(part) + words
            yield Scope(setting, name, text, measured(part), part, rows, seen, folder, outcomes)


def _families(part: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Split rows into figures: file suffix, words of the caption, and rows.

    All rows where they are few, else family by family beside the references; of a family that is still too large, the
    methods as they are, and then those that have variants with their variants.
    """
    if part["label"].nunique() <= LINES:
        return [("", "", part)]
    families, plain = part["method"].map(family), part["variant"] == part["method"]
    anchor = (families == ANCHORS) & plain
    figures = []
    for name, told in FAMILIES.items():
        mine = (families == name) & ~anchor
        words = f", {told}"
        if part[mine | anchor]["label"].nunique() <= LINES:
            figures.append((f"-{name}", words, mine))
            continue
        varied = part["method"].isin(part.loc[mine & ~plain, "method"])
        figures.append((f"-{name}", words, mine & plain))
        figures.append((f"-{name}-variants", f"{words} and their variants", mine & varied))
    return [(suffix, words, part[rows | anchor]) for suffix, words, rows in figures if rows.any()]
