"""Figures, each as PDF, SVG and PNG with the data behind it as CSV. Nothing here needs a display."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pandas as pd
from matplotlib import style

from bench.reports.document import Drawn
from bench.reports.figures.accuracy import accuracy_figures, gap, overview
from bench.reports.figures.canvas import Outcomes, Scope, levels_of, save
from bench.reports.figures.cost import cost_figures
from bench.reports.figures.curves import agreement, learning, memorization, splits
from bench.reports.figures.fonts import tell
from bench.reports.figures.gates import gate_figures
from bench.reports.figures.losses import loss_figures
from bench.reports.figures.parallel import perform
from bench.reports.figures.reliability import reliability_figures
from bench.reports.figures.style import RC
from bench.reports.frame import truth_known
from bench.reports.names import family
from bench.reports.tables.summary import describe, measured, settings
from bench.rows import FAMILIES

__all__ = ["KINDS", "Drawn", "draw", "save"]

Maker: TypeAlias = Callable[[Scope], Iterator[Drawn]]
# In the order of the report; all settings get the first kinds before any gets the next.
KINDS: Mapping[str, Maker] = {
    "overview": overview,
    "accuracy": accuracy_figures,
    "memorization": memorization,
    "agreement": agreement,
    "cost": cost_figures,
    "learning": learning,
    "gap": gap,
    "reliability": reliability_figures,
    "losses": loss_figures,
    "splits": splits,
    "gates": gate_figures,
}
NEEDS_TRUTH = frozenset({"overview", "memorization", "losses", "splits", "learning"})
SHOWS = {  # the curve without which there is no such figure
    "overview": "memorized",
    "memorization": "memorized",
    "agreement": "train_given_accuracy",
    "learning": "test_accuracy",
    "reliability": "test_calibration_error",
    "losses": "loss_auroc",
    "splits": "split_precision",
    "gates": "gate_mean",
}
WITHOUT_TRUTH = frozenset({"agreement"})  # in place of `learning`: the same, and what can be said of the training set
LINES = 12  # more in one panel cannot be told apart
MOST = 100  # figures of one report if nobody asks for another number, each a second or more
ANCHORS = "references"


def draw(
    frame: pd.DataFrame,
    curves: pd.DataFrame,
    folder: Path,
    outcomes: Outcomes | None = None,
    left_out: list[str] | None = None,
    most: int = MOST,
    processes: int = 1,
) -> list[Drawn]:
    """Draw every figure of every setting for which there are data.

    Args:
        frame: `bench.reports.frame.tidy`.
        curves: `bench.reports.frame.curves`.
        folder: an existing folder.
        outcomes: per-sample outcomes of a record by its key; without them no losses of single samples are drawn.
        left_out: gets one line for each kind of figure that was not drawn everywhere.
        most: figures from which on no further one is begun; 0 draws none.
        processes: that draw; the figures are the same whatever their number.

    Returns:
        The figures, by setting and kind.
    """
    if not most:
        if left_out is not None:
            left_out.append("no figure was drawn, because of --figures 0; without it they are drawn")
        return []
    tell([*frame["label"], *map(str, frame["noise"])])  # once, before there are several processes
    scopes = list(_scopes(frame, curves, folder, outcomes))
    wanted = [(kind, scope) for kind in KINDS for scope in scopes if _wanted(kind, scope)]
    drawn, done = perform([partial(_make, *pair) for pair in wanted], most, processes)
    if left_out is not None:
        left_out += _told(wanted[done:], most)
    order = list(KINDS)
    return sorted(drawn, key=lambda figure: (figure.setting, order.index(figure.kind)))


def _make(kind: str, scope: Scope) -> list[Drawn]:
    with style.context(["default", RC]):
        return list(KINDS[kind](scope))


def _told(left: Sequence[tuple[str, Scope]], most: int) -> list[str]:
    """List a line for each kind of figure that was not drawn."""
    why = f"a report has about {most} figures at most unless --figures asks for more"
    settings: dict[str, dict[str, None]] = {}
    for kind, scope in left:
        settings.setdefault(kind, {})[scope.name] = None
    return [f"{kind}: not drawn, because {why}: {', '.join(names)}" for kind, names in settings.items()]


def _wanted(kind: str, scope: Scope) -> bool:
    """Return whether a kind of figure can be drawn of some rows at all."""
    if kind in SHOWS and not scope.has(SHOWS[kind]):
        return False
    return kind not in (WITHOUT_TRUTH if truth_known(scope.part) else NEEDS_TRUTH)


def _scopes(frame: pd.DataFrame, curves: pd.DataFrame, folder: Path, outcomes: Outcomes | None) -> Iterator[Scope]:
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
