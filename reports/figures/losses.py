"""Losses of correctly labeled and of mislabeled training samples: their distributions and how well they are apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.reports.document import Drawn
from bench.reports.figures.canvas import Scope, one_of_each, seeds_text, small, title
from bench.reports.figures.panels import BESIDE, box_panel, curve_panel, legend, legend_height
from bench.reports.names import column_name
from bench.reports.tables.columns import Column

KINDS = 3  # of noise beside each other
QUANTILES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}
GROUPS = ("Correctly labeled", "Mislabeled")


def loss_figures(scope: Scope) -> Iterator[Drawn]:
    """Draw boxes of the last losses, and below them their AUROC over epochs; one rate of each kind."""
    columns = one_of_each(scope.columns("loss_auroc"), scope.page.across(KINDS))
    boxes = [_boxes(scope, column) for column in columns]
    drawn = any(len(box) for box in boxes)
    labels = [label for label in scope.looks if any((box["label"] == label).any() for box in boxes)]
    narrow = len(columns) == 1 and max(map(len, labels), default=0) <= BESIDE
    width = scope.page.inches(not narrow)
    heights = [*([0.45 + 0.27 * len(labels)] if drawn else []), 1.5]
    height = sum(heights) + 0.5 + legend_height([*scope.looks, *GROUPS], width)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(heights), len(columns), squeeze=False, sharey="row", height_ratios=heights)
    data = []
    for index, column in enumerate(columns):
        title(grid[0, index], column_name(*column), len(columns), width)
        if drawn:
            box_panel(grid[0, index], boxes[index], labels, GROUPS)
            data.append(boxes[index].assign(panel="losses"))
        data.append(_apart(grid[-1, index], scope, column))
    grid[-1, 0].set_ylabel("AUROC")
    legend(figure, list(grid.flat), scope.looks)
    yield scope.save(figure, data, "losses", _caption(columns, drawn, data[-1]["n"]))


def _caption(columns: Sequence[Column], boxes: bool, seeds: pd.Series[int]) -> str:
    where = ", ".join(small(column_name(*column)) for column in columns)
    above = (
        " Cross-entropy of each training sample with its given label after the last epoch, correctly and wrongly "
        "labeled ones, all seeds together: median, box from the 25th to the 75th percentile, line from the 5th to the "
        "95th; below, the"
        if boxes
        else " The"
    )
    return (
        f", at {where}.{above} area under the ROC curve (AUROC) of that loss for telling mislabeled samples, over "
        f"epochs: 1 is perfect, 0.5 is chance. {seeds_text(seeds)}; bands: ± sample standard deviation; dotted: "
        "zero-shot (or the mean at epoch 0)."
    )


def _apart(axes: Axes, scope: Scope, column: Column) -> pd.DataFrame:
    panel = scope.at("loss_auroc", column)
    curve_panel(axes, panel, scope.looks, top=1.0)
    axes.set_xlabel("Epoch")
    return panel.assign(panel="auroc")


def _boxes(scope: Scope, column: Column) -> pd.DataFrame:
    """Compute percentiles of the last losses of correctly labeled and mislabeled samples, by label."""
    rows = scope.finished(column)
    found: list[dict[str, Any]] = []
    for label in scope.looks:
        keys = rows.loc[rows["label"] == label, "key"]
        values, wrong = _last([scope.outcomes(str(key)) for key in keys if scope.outcomes])
        for group, mask in zip(GROUPS, (~wrong, wrong), strict=True):
            if mask.any():
                points = np.quantile(values[mask], list(QUANTILES.values()))
                numbers = dict(zip(QUANTILES, points.tolist(), strict=True))
                place = {"label": label, "noise": column[0], "rate": column[1], "group": group}
                found.append({**place, "samples": int(mask.sum()), **numbers})
    return pd.DataFrame(found, columns=["label", "noise", "rate", "group", "samples", *QUANTILES])


def _last(sidecars: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Collect the last finite losses of all samples, and which samples are mislabeled."""
    whole = [one for one in sidecars if {"losses", "true", "observed"} <= one.keys() and len(one["losses"])]
    values = np.concatenate([np.zeros(0), *(np.asarray(one["losses"][-1], dtype=np.float64) for one in whole)])
    empty = np.zeros(0, dtype=bool)
    wrong = np.concatenate([empty, *(np.asarray(one["true"] != one["observed"]) for one in whole)]).astype(bool)
    finite = np.isfinite(values)
    return values[finite], wrong[finite]
