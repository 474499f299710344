"""Whether numbers of single samples, such as VisPrompt's gates, tell mislabeled samples from correctly labeled ones."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.reports.document import Drawn
from bench.reports.figures.canvas import CHARACTER, Scope, one_of_each, seeds_text, small, title
from bench.reports.figures.losses import GROUPS
from bench.reports.figures.panels import epochs_axis, legend, legend_height, level, line_panel
from bench.reports.figures.style import NEUTRALS, Look
from bench.reports.names import column_name
from bench.reports.tables.columns import Column

ROWS = 3  # variants below each other
KINDS = 3  # of noise beside each other
NEAR = 0.05  # of one half, within which an area under the ROC curve tells nothing apart
CLEAN, MISLABELED = GROUPS
SIDES = {
    CLEAN: ("clean", Look(NEUTRALS[0], "o")),
    MISLABELED: ("mislabeled", Look(NEUTRALS[1], "s", (0, (3.0, 1.5)), filled=False)),
}
AREAS = tuple(Look(color, marker) for color, marker in zip(NEUTRALS, "^Dv", strict=True))
CHANCE = "AUROC of chance"


@dataclass(frozen=True)
class SampleQuantity:
    """A number of single samples: its name, its axis, it in a sentence, and the end of the file's name."""

    name: str
    axis: str
    words: str
    suffix: str


def by_truth_figures(scope: Scope, number: SampleQuantity) -> Iterator[Drawn]:
    """Draw means of clean and of mislabeled samples, one rate of each kind, and their AUROC beside them."""
    area = f"{number.name}_auroc"
    every = scope.columns(area)
    columns = one_of_each(every, KINDS)
    if not columns:
        return
    told = set[str]().union(*(scope.at(area, column)["label"] for column in columns))
    labels = [label for label in scope.looks if label in told]
    rows = labels[:ROWS]
    looks = {name: chosen for name, (_, chosen) in SIDES.items()}
    looks |= {column_name(*column): chosen for column, chosen in zip(columns, AREAS, strict=False)}
    width = scope.page.inches(len(columns) > 1)
    height = 1.5 * len(rows) + 0.5 + legend_height([*looks, CHANCE], width)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(rows), len(columns) + 1, squeeze=False, sharex=True)
    data = []
    for row, label in zip(grid, rows, strict=True):
        for axes, column in zip(row, columns, strict=False):
            axes.sharey(row[0])
            data.append(_sides(axes, scope, number, label, column))
            data.append(_area(row[-1], scope, number, label, column, looks))
        row[0].set_ylabel(number.axis)
        row[-1].set_ylabel("AUROC")
    _titles(grid, rows, [column_name(*column) for column in columns], width)
    for axes in grid[-1]:
        axes.set_xlabel("Epoch")
    legend(figure, list(grid.flat), looks)
    found = pd.concat(data, ignore_index=True)
    caption = _caption(number, rows, columns, found) + left_out_text(labels, rows, columns, every)
    yield scope.save(figure, data, "gates", caption, number.suffix)


def left_out_text(
    labels: Sequence[str], rows: Sequence[str], columns: Sequence[Column], every: Sequence[Column]
) -> str:
    """Explain what a figure of the first labels and of some columns does not show."""
    more = f" The first {len(rows)} of {len(labels)} variants." if len(labels) > len(rows) else ""
    return more + (" Further kinds and rates are left out." if len(columns) < len(every) else "")


def _sides(axes: Axes, scope: Scope, number: SampleQuantity, label: str, column: Column) -> pd.DataFrame:
    """Draw the two means over epochs; the data hold both, even where one has no number."""
    found = []
    for name, (ending, chosen) in SIDES.items():
        panel = scope.at(f"{number.name}_{ending}", column)
        rows = panel[panel["label"] == label].sort_values("epoch")
        line_panel(axes, rows, name, chosen)
        found.append(rows)
    epochs_axis(axes)
    return pd.concat(found)


def _area(
    axes: Axes, scope: Scope, number: SampleQuantity, label: str, column: Column, looks: dict[str, Look]
) -> pd.DataFrame:
    panel = scope.at(f"{number.name}_auroc", column)
    rows = panel[panel["label"] == label].sort_values("epoch")
    if not axes.get_lines():
        level(axes, CHANCE, 0.5)
    line_panel(axes, rows, column_name(*column), looks[column_name(*column)], top=1.0)
    epochs_axis(axes)
    axes.set_ylim(0, 1)
    return rows


def _titles(grid: NDArray[Any], labels: Sequence[str], columns: Sequence[str], width: float) -> None:
    """Set kinds of noise above the first row, and the variant above each row where there are several."""
    for axes, name in zip(grid[0], columns, strict=False):
        title(axes, name, len(columns) + 1, width)
    if len(labels) == 1:
        return
    for axes in grid[0]:
        below = axes.get_title()
        axes.set_title("")
        axes.set_title(below, loc="left")
    for axes, label in zip(grid[:, 0], labels, strict=True):
        below = axes.get_title(loc="left")
        axes.set_title(textwrap.fill(label, int(width / CHARACTER)) + (f"\n{below}" if below else ""), loc="left")


def _caption(number: SampleQuantity, labels: Sequence[str], columns: Sequence[Column], data: pd.DataFrame) -> str:
    areas = data[data["quantity"] == f"{number.name}_auroc"]
    said = [_verdict(label, areas[areas["label"] == label]) for label in labels]
    where = ", ".join(small(column_name(*column)) for column in columns)
    return (
        f", at {where}: {number.words} of {', '.join(labels)}, the mean over correctly labeled (solid) and over "
        "mislabeled training samples (dashed), over epochs; right, the area under the ROC curve (AUROC) of that number "
        f"for telling mislabeled samples: 0.5 is chance, above it the number is larger for them. {' '.join(said)} "
        f"{seeds_text(data['n'])}; bands: ± sample standard deviation over seeds."
    )


def _verdict(label: str, areas: pd.DataFrame) -> str:
    last = areas[areas["epoch"] == areas["epoch"].max()]["mean"]
    low, high = float(last.min()), float(last.max())
    span = f"{low:.2f}" if len(last) == 1 else f"{low:.2f} to {high:.2f}"
    if max(abs(low - 0.5), abs(high - 0.5)) <= NEAR:
        said = "near one half, so it does not tell mislabeled samples apart"
    elif low > 0.5 + NEAR:
        said = "it tends to be larger for mislabeled samples"
    elif high < 0.5 - NEAR:
        said = "it tends to be smaller for mislabeled samples"
    else:
        said = "what it tells depends on the noise"
    return f"{label} after the last epoch: AUROC {span}, {said}."
