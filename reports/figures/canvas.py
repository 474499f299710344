"""What figures share: their files, the rows of a setting that they are drawn from, and how panels are laid out."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bench.reports.document import Drawn
from bench.reports.figures.fonts import fit
from bench.reports.figures.style import RC, TEXT_WIDTH, Look, look
from bench.reports.frame import written
from bench.reports.names import SECTIONS, UNCHANGED, noise_order
from bench.reports.tables.columns import Column, evenly
from bench.reports.tables.summary import summarize

Outcomes: TypeAlias = Callable[
    [str], Mapping[str, Any]
]  # per-sample outcomes of a record, see `bench.records.store.Store.outcomes`
CHARACTER = 0.062  # inches of one at the size of titles
SVG = {"Date": None, "Creator": None}
FORMATS: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": SVG,
    "png": {"Software": None},
}


@dataclass(frozen=True)
class Scope:
    """What the figures of some rows of a setting are drawn from.

    Attributes:
        setting: its name.
        name: of the files, behind the kind.
        text: the setting in words.
        measure: what the numbers on the test set are, in words.
        part: all rows of the setting.
        rows: those of the figures.
        levels: curves of `rows` over seeds, see `levels_of`.
        folder: where files go.
        outcomes: of a record's key, for figures of single samples; None where there are none.
    """

    setting: str
    name: str
    text: str
    measure: str
    part: pd.DataFrame
    rows: pd.DataFrame
    levels: pd.DataFrame
    folder: Path
    outcomes: Outcomes | None = field(default=None)

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Label to look, in the order of the tables."""
        rows = self.rows[["label", "method", "variant", "section"]].drop_duplicates()
        rows = rows.sort_values("section", key=lambda names: names.map(SECTIONS.index), kind="stable")
        return {str(r["label"]): look(r["method"], r["variant"], r["section"]) for r in rows.to_dict("records")}

    @cached_property
    def summary(self) -> pd.DataFrame:
        """`bench.reports.tables.summary.summarize` of what is reached after the last epoch."""
        return summarize(self.rows)

    def has(self, quantity: str) -> bool:
        """Whether a curve has a number."""
        return bool((self.levels["quantity"] == quantity).any())

    def at(self, quantity: str, column: Column) -> pd.DataFrame:
        """A quantity over epochs, at one kind of noise and rate."""
        kind, rate = column
        levels = self.levels
        mask = (levels["quantity"] == quantity) & (levels["noise"] == kind) & (levels["rate"] == rate)
        return levels[mask].reset_index(drop=True)

    def columns(self, quantity: str) -> list[Column]:
        """Noise kinds and rates in which a quantity has numbers, in order."""
        found = self.levels.loc[self.levels["quantity"] == quantity, ["noise", "rate"]].drop_duplicates()
        kinds = noise_order(str(kind) for kind in found["noise"])
        pairs = {(str(k), float(r)) for k, r in zip(found["noise"], found["rate"], strict=True)}
        return sorted(pairs, key=lambda pair: (kinds.index(pair[0]), pair[1]))

    def save(self, figure: Figure, data: Sequence[pd.DataFrame], kind: str, caption: str, suffix: str = "") -> Drawn:
        """Write a figure of this scope."""
        found = pd.concat(data, ignore_index=True)
        return save(figure, found, f"{kind}-{self.name}{suffix}", f"{self.text}{caption}", self.setting, self.folder)


def levels_of(curves: pd.DataFrame) -> pd.DataFrame:
    """Average every curve over seeds, with the sample standard deviation, by label, noise, rate, quantity and epoch.

    The curves are those of `bench.reports.frame.curves`.
    """
    by = ["section", "method", "label", "noise", "rate", "quantity", "epoch"]
    grouped = curves.groupby(by, sort=False, observed=True)["value"]
    levels = grouped.agg(n="count", mean="mean", sd="std").reset_index()
    return levels.astype(dict.fromkeys(["section", "method", "label", "noise", "quantity"], object))


def seeds_text(counts: pd.Series[int]) -> str:
    """How many seeds stand behind the means of a figure, and what their spread is.

    >>> seeds_text(pd.Series([3, 3, 2]))
    'Means over 2 to 3 seeds'
    """
    found = counts[counts > 0]
    if found.empty:
        return "No seed has finished"
    low, high = int(found.min()), int(found.max())
    if high == 1:
        return "One seed, so no spread is known"
    return f"Means over {f'{low} to ' if low < high else ''}{high} seeds"


def kinds_of(summary: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The kinds of noise that have numbers, in order: those with rates, and those without."""
    known = summary[summary["n"] > 0]
    kinds = [k for k in noise_order(str(k) for k in known["noise"]) if k not in UNCHANGED]
    rated = set(known.loc[known["rate"] > 0, "noise"])
    return [kind for kind in kinds if kind in rated], [kind for kind in kinds if kind not in rated]


def chosen(columns: Sequence[Column]) -> Column:
    """Choose a representative noise setting: symmetric 50 % if present, otherwise the rate nearest to 50 % of the first
    kind that has rates, the lower of equals, else the first column.
    """
    if ("symmetric", 0.5) in columns:
        return "symmetric", 0.5
    rated = [column for column in columns if column[1]]
    return nearest(rated, rated[0][0]) if rated else columns[0]


def nearest(columns: Sequence[Column], kind: str) -> Column:
    """The rate of a kind that is nearest to 50 %."""
    return min((c for c in columns if c[0] == kind), key=lambda column: (abs(column[1] - 0.5), column[1]))


def one_of_each(columns: Sequence[Column], most: int) -> list[Column]:
    """Of each kind the rate nearest to 50 %; where the kinds are more than `most` the one that stands for all and the
    next.
    """
    found = [nearest(columns, kind) for kind in dict.fromkeys(kind for kind, _ in columns)]
    if len(found) > most:
        first = chosen(found)
        found = [first, *(column for column in found if column != first)][:most]
    return found


def title(axes: Axes, text: str, panels: int, width: float = TEXT_WIDTH) -> None:
    """A title broken into lines that fit a panel, of which `panels` stand beside each other in `width` inches."""
    room = int((width - 0.5) / panels / CHARACTER)
    whole = text.replace(" %", "\u00a0%")
    axes.set_title("\n".join(textwrap.wrap(whole, max(room, 10), break_long_words=False)) or text)


def small(text: str) -> str:
    """The text with a small first letter."""
    return text[:1].lower() + text[1:]


def parts_of(groups: Sequence[Sequence[Column]], most: int) -> Iterator[list[Column]]:
    """Columns in the fewest parts of at most `most`, as even as that allows: groups stay together where they can, and a
    larger one is cut evenly.
    """
    pieces = [piece for group in groups for piece in evenly(list(group), most)]
    full = _filled(pieces, most)
    for size in range(1, most + 1):
        if len(parts := _filled(pieces, size)) <= len(full):
            yield from parts
            return
    yield from full


def _filled(pieces: Sequence[list[Column]], size: int) -> list[list[Column]]:
    """Pieces in order, a part begun where the next does not fit into `size`."""
    parts: list[list[Column]] = []
    for piece in pieces:
        if parts and len(parts[-1]) + len(piece) <= size:
            parts[-1] += piece
        else:
            parts.append(list(piece))
    return parts


def save(figure: Figure, data: pd.DataFrame, name: str, caption: str, setting: str, folder: Path) -> Drawn:
    """Write a figure as PDF, SVG and PNG with its data as CSV; `name` begins with the figure's kind and a hyphen."""
    _lay_out(figure)
    files = [folder / f"{name}.{suffix}" for suffix in FORMATS]
    for path, metadata in zip(files, FORMATS.values(), strict=True):
        _write(figure, path, metadata)
    files.append(folder / f"{name}.csv")
    data.to_csv(files[-1], index=False, float_format=written, lineterminator="\n")
    return Drawn(name.partition("-")[0], setting, name, caption, tuple(files))


def svg(figure: Figure) -> str:
    """Render a figure as the text of an SVG file."""
    _lay_out(figure)
    buffer = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata=SVG)
    return buffer.getvalue()


def _lay_out(figure: Figure) -> None:
    fit(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once for all formats


def _write(figure: Figure, path: Path, metadata: dict[str, Any]) -> None:
    """One format. Not by `savefig`, which draws everything once more to find the layout."""
    canvas: Any  # none of matplotlib's canvases has types for its formats
    match path.suffix:
        case ".pdf":
            canvas = FigureCanvasPdf(figure)
            canvas.print_pdf(path, metadata=metadata)
        case ".svg":
            canvas = FigureCanvasSVG(figure)
            canvas.print_svg(path, metadata=metadata)
        case _:
            figure.set_dpi(RC["savefig.dpi"])
            canvas = FigureCanvasAgg(figure)
            canvas.print_png(path, metadata=metadata, pil_kwargs={"compress_level": 4})
