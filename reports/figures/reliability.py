"""Reliability diagrams: how often a prediction is right, against how confident it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bench.reports.document import Drawn
from bench.reports.figures.canvas import Scope, chosen, small, title
from bench.reports.figures.style import GREY, Look, PageStyle
from bench.reports.names import column_name
from bench.reports.tables.columns import Column

BINS = 15  # of the calibration error in the records, `bench.engine.audit.CALIBRATION_BINS`
ACROSS = 4  # diagrams beside each other
NARROW = 2  # diagrams that have room in one column
FEW = 10  # samples of a test set from which on a bin's accuracy says something
NEEDED = frozenset({"test_confidence", "test_correct"})
NO_BREAK = "\u2011"  # a hyphen that no line ends with
TICKS = (0, 25, 50, 75, 100)


def reliability_figures(scope: Scope) -> Iterator[Drawn]:
    """Draw accuracy in bins of confidence, a diagram for each label, at the representative noise setting."""
    if not scope.rows["test_truth"].all():
        return
    column = chosen(scope.columns("test_calibration_error"))
    found = {label: _bins(scope, label, column) for label in scope.looks}
    shown = {label: bins for label, bins in found.items() if len(bins)}
    if shown:
        figure = _figure(shown, scope.looks, scope.page)
        yield scope.save(figure, list(shown.values()), "reliability", _caption(column, list(shown.values())))


def _bins(scope: Scope, label: str, column: Column) -> pd.DataFrame:
    """Compute the bins of a label over all seeds; empty where no outcomes were kept.

    A row per bin: samples, their share, confidence and accuracy in percent, and of the runs their number, mean
    calibration error and its sample standard deviation.
    """
    done = scope.finished(column)
    done = done[done["label"] == label]
    kept = {str(key): scope.outcomes(str(key)) for key in done["key"]} if scope.outcomes else {}
    kept = {key: one for key, one in kept.items() if one.keys() >= NEEDED and len(one["test_correct"])}
    if not kept:
        return pd.DataFrame()
    errors = done.loc[done["key"].isin(kept), "test_calibration_error"]
    told = {"label": label, "noise": column[0], "rate": column[1], "seeds": len(kept)}
    told |= {"calibration_error": float(errors.mean()), "calibration_error_sd": float(errors.std())}
    return pd.DataFrame({**told, **_binned(list(kept.values()))})


def _binned(kept: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """Compute bins as the record's calibration error does, by products in single precision."""
    confidence = np.concatenate([one["test_confidence"] for one in kept])
    correct = np.concatenate([one["test_correct"] for one in kept]).astype(np.float64)
    bins = np.minimum((confidence * np.float32(BINS)).astype(np.int64), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    sums = [np.bincount(bins, weights, BINS) for weights in (confidence.astype(np.float64), correct)]
    means = [100 * np.divide(total, count, out=np.full(BINS, np.nan), where=count > 0) for total in sums]
    edges = 100 * np.arange(BINS + 1) / BINS
    values = {"low": edges[:-1], "high": edges[1:], "samples": count, "share": 100 * count / len(correct)}
    return {**values, "confidence": means[0], "accuracy": means[1]}


def _figure(shown: Mapping[str, pd.DataFrame], looks: Mapping[str, Look], page: PageStyle) -> Figure:
    """Draw diagrams in rows of at most `ACROSS`, each with its histogram below."""
    across = page.across(min(len(shown), ACROSS), NARROW)
    bands = math.ceil(len(shown) / across)
    width = page.inches(across > NARROW)
    figure = Figure(figsize=(width, 0.3 + 2.3 * bands), layout="constrained")
    heights = [2.6, 1.0] * bands
    grid = figure.subplots(2 * bands, across, squeeze=False, sharex=True, sharey="row", height_ratios=heights)
    for axes in grid.flat[2 * across * (bands - 1) :]:
        axes.set_axis_off()  # until it gets a diagram
    for place, (label, bins) in enumerate(shown.items()):
        row, column = 2 * (place // across), place % across
        upper, lower = grid[row, column], grid[row + 1, column]
        _diagram(upper, bins, looks[label])
        title(upper, _breakable(label), across, width)
        upper.set_title(f"{upper.get_title()}\n{_error(bins)}")
        _histogram(lower, bins)
        if place + across >= len(shown):  # nothing stands below it
            lower.set_xlabel("Confidence (%)")
            lower.tick_params(axis="x", labelbottom=True)
        if not column:
            upper.set_ylabel("Accuracy (%)")
            lower.set_ylabel("Share (%)")
    figure.align_ylabels()
    return figure


def _breakable(label: str) -> str:
    """Format a label so that lines break before and between its options, and nowhere within one."""
    name, bracket, options = label.partition("[")
    return f"{name} [{options.replace(',', ', ').replace('-', NO_BREAK)}" if bracket else label


def _diagram(axes: Axes, bins: pd.DataFrame, chosen_look: Look) -> None:
    """Draw accuracy at the mean confidence of each bin, the diagonal, and the distance to it."""
    axes.set_axis_on()
    axes.plot([0, 100], [0, 100], color=GREY, linestyle=(0, (4.0, 2.0)), linewidth=0.8)
    full = bins[bins["samples"] > 0]
    marker, color = chosen_look.marker or "o", chosen_look.color
    axes.vlines(full["confidence"], full["confidence"], full["accuracy"], color=color, linewidth=2.0, alpha=0.3)
    axes.plot(full["confidence"], full["accuracy"], color=color, linewidth=0.9)
    few = full["samples"] < FEW * full["seeds"]
    for rows, face in ((full[~few], color), (full[few], "white")):
        if len(rows):  # without a point it would have no extent, and the layout no room for anything
            axes.plot(
                rows["confidence"], rows["accuracy"], linestyle="none", marker=marker, markersize=3.6, color=color,
                markerfacecolor=face, clip_on=False,
            )  # fmt: skip
    axes.set(xlim=(0, 100), ylim=(0, 100), xticks=TICKS, yticks=TICKS)


def _histogram(axes: Axes, bins: pd.DataFrame) -> None:
    axes.set_axis_on()
    axes.bar(bins["low"], bins["share"], 100 / BINS, align="edge", color=GREY, edgecolor="white", linewidth=0.4)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=2))


def _error(bins: pd.DataFrame) -> str:
    mean, spread = float(bins["calibration_error"].iloc[0]), float(bins["calibration_error_sd"].iloc[0])
    return f"ECE {mean:.1f}{'' if math.isnan(spread) else f' ± {spread:.1f}'} %"


def _caption(column: Column, shown: Sequence[pd.DataFrame]) -> str:
    seeds = pd.Series([int(bins["seeds"].iloc[0]) for bins in shown])
    low, high = int(seeds.min()), int(seeds.max())
    count = "one seed" if high == 1 else f"{f'{low} to ' if low < high else ''}{high} seeds together"
    spread = "" if high == 1 else ", mean ± sample standard deviation over seeds"
    return (
        f", at {small(column_name(*column))}. Reliability after the last epoch: accuracy on the test set against mean "
        f"confidence (largest probability) in {BINS} equal bins of confidence, {count}. On the dashed diagonal "
        "confidence is right, below it too high; pale lines: the distance; hollow: fewer than "
        f"{FEW} samples for each seed. Below, the share of the test samples in each bin. ECE: expected calibration "
        f"error of each run{spread}."
    )
