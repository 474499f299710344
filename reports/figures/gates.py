"""Draws VisPrompt's gates over epochs, and whether they tell mislabeled samples from correctly labeled ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.reports.document import Drawn
from bench.reports.figures.by_truth import ROWS, SampleQuantity, by_truth_figures, left_out_text
from bench.reports.figures.canvas import Scope, seeds_text
from bench.reports.figures.curves import thinned
from bench.reports.figures.panels import epochs_axis, legend, legend_height, line_panel
from bench.reports.figures.style import Look, noise_looks
from bench.reports.names import column_name
from bench.reports.tables.columns import Column

LINES = 7  # columns of noise in one panel
NARROW = 2  # variants beside each other in a column
QUANTITIES = {
    "gate_mean": "Mean of the gate",
    "gate_sd_images": "Spread of the gate\nover images",
    "image_share": "Share of the image\nin the context",
}
BY_TRUTH = (
    SampleQuantity("gate", "Gate", "the gate", "-by_truth"),
    SampleQuantity(
        "context_shift",
        "Shift of context",
        "how far the context is moved (root mean square, over that of the learned context)",
        "-shift_by_truth",
    ),
)


def gate_figures(scope: Scope) -> Iterator[Drawn]:
    """Draw how much of the image reaches the prompt, and how that differs with the label's truth."""
    yield from _reach(scope)
    for number in BY_TRUTH:
        yield from by_truth_figures(scope, number)


def _reach(scope: Scope) -> Iterator[Drawn]:
    """Draw mean and spread of the gate and the image's share of the context, for the first three variants."""
    levels = scope.levels
    gated = set(levels.loc[levels["quantity"] == "gate_mean", "label"])
    labels = [label for label in scope.looks if label in gated]
    found = scope.columns("gate_mean")
    columns = thinned(found, LINES)[:LINES]
    looks = {column_name(*column): noise for column, noise in noise_looks(columns).items()}
    quantities = [quantity for quantity in QUANTITIES if scope.has(quantity)]
    stacked = scope.page.across(len(quantities)) < len(quantities)  # below each other, and variants beside each other
    rows = labels[: NARROW if stacked else ROWS]
    width = scope.page.inches(wide=True)
    height = 1.5 * len(quantities if stacked else rows) + 0.5 + legend_height(looks, width)
    figure = Figure(figsize=(width, height), layout="constrained")
    shape = (len(quantities), len(rows)) if stacked else (len(rows), len(quantities))
    grid = figure.subplots(*shape, squeeze=False, sharex=True)
    data = _panels(grid.T if stacked else grid, scope, rows, quantities, columns, looks)
    for panels in grid.T:
        for axes in [axes for axes in panels if axes.lines][-1:]:
            axes.set_xlabel("Epoch")
            axes.tick_params(axis="x", labelbottom=True)
    legend(figure, list(grid.flat), looks)
    caption = (
        f": gates of {', '.join(rows)} on the first eight training images, over epochs. Mean of the gate, its standard "
        "deviation over images, and the part of the context that differs between images (root mean squares, as a share "
        f"of the whole context). {seeds_text(data[0]['n'])}; bands: ± sample standard deviation."
        f"{left_out_text(labels, rows, columns, found)}"
    )
    yield scope.save(figure, data, "gates", caption)


def _panels(
    grid: NDArray[Any],
    scope: Scope,
    labels: Sequence[str],
    quantities: Sequence[str],
    columns: Sequence[Column],
    looks: dict[str, Look],
) -> list[pd.DataFrame]:
    """Draw a row of panels for each label, with a line for each column of noise."""
    data = []
    dense = min(1.0, 2 / len(columns))  # many bands on each other would hide the lines
    for row, label in zip(grid, labels, strict=True):
        for axes, quantity in zip(row, quantities, strict=True):
            for column in columns:
                panel = scope.at(quantity, column)
                rows = panel[panel["label"] == label].sort_values("epoch")
                if len(rows):
                    line_panel(axes, rows, column_name(*column), looks[column_name(*column)], dense=dense)
                    data.append(rows)
            if axes.lines:
                axes.set_ylabel(QUANTITIES[quantity])
                epochs_axis(axes)
            else:
                axes.set_axis_off()  # what the variant does not have
        if len(labels) > 1:
            row[0].set_title(label, loc="left")
    return data
