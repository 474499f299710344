"""Figures against the noise rate: accuracy, what the last epoch loses, and calibration; and the overview."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from bench.reports.document import Drawn
from bench.reports.figures.canvas import Scope, kinds_of, seeds_text, small, title
from bench.reports.figures.panels import accuracy_panel, curve_panel, kinds_panel, legend, legend_height
from bench.reports.names import REFERENCE, UNCHANGED, column_name, noise_name
from bench.reports.tables.columns import evenly
from bench.reports.tables.summary import summarize

COLUMN_KINDS = 2  # kinds of noise without rates that have room in one column
SPREAD = "bars: ± sample standard deviation"


@dataclass(frozen=True)
class _Measure:
    """What stands against the rate: name in the data, axis, numbers, and whether the axis begins at 0."""

    name: str
    axis: str
    summary: pd.DataFrame
    from_zero: bool = False


def overview(scope: Scope) -> Iterator[Drawn]:
    """Draw accuracy against rate, beside memorization over epochs, where most is memorized."""
    (kind, rate), looks = scope.telling, scope.looks
    width, across = scope.page.inches(wide=True), scope.page.across(2)
    height = 2.1 * 2 / across + legend_height(looks, width)
    figure = Figure(figsize=(width, height), layout="constrained")
    left, right = figure.subplots(2 // across, across, squeeze=False).flat
    memorized = scope.at("memorized", (kind, rate))
    if rate:
        shown, against = _panel(scope.summary, kind), f"the rate of {kind} noise"
        accuracy_panel(left, shown, looks)
        title(left, f"{noise_name(kind)} noise", across, width)
    else:
        shown, against = _fixed(scope.summary, kinds_of(scope.summary)[1]), "the kind of noise"
        kinds_panel(left, shown, looks)
    curve_panel(right, memorized, looks)
    left.set(ylabel=f"{scope.measure} (%)")
    right.set_ylim(bottom=0)
    right.set(ylabel="Memorized (%)", xlabel="Epoch")
    title(right, column_name(kind, rate), across, width)
    legend(figure, [left, right], looks)
    places = ("Left", "Right") if across > 1 else ("Above", "Below")
    where = small(column_name(kind, rate))
    caption = (
        f". {places[0]}: {small(scope.measure)} after the last epoch against {against}; {SPREAD}. {places[1]}: share "
        f"of the mislabeled training samples predicted as their given wrong label, at {where}; band: ± sample standard "
        f"deviation; dotted: zero-shot. {seeds_text(shown['n'])}."
    )
    data = [shown.assign(panel="accuracy"), memorized.assign(panel="memorized")]
    yield scope.save(figure, data, "overview", caption)


def accuracy_figures(scope: Scope) -> Iterator[Drawn]:
    """Draw accuracy against the noise rate, one panel per kind; kinds without rates share one."""
    measure = _Measure("accuracy", f"{scope.measure} (%)", scope.summary)
    words = f". {scope.measure} after the last epoch against {{against}}; {SPREAD}. {{seeds}}."
    yield from _against(scope, "accuracy", [measure], words, across=2, most=6)


def gap(scope: Scope) -> Iterator[Drawn]:
    """Draw what the last epoch loses against the best one, and the calibration error after it.

    Calibration needs right test labels; the gap leaves zero-shot out, which has one epoch.
    """
    rows = scope.rows
    trained = rows[rows["method"] != REFERENCE]
    lost = summarize(trained.assign(gap=trained["best"] - trained["last"]), "gap")
    measures = [_Measure("best_minus_last", "Best – last (points)", lost, from_zero=True)]
    words = (
        f". Best evaluated epoch minus last one in {small(scope.measure)}: how much a test set that chose the epoch "
        "would add, which nothing here does"
    )
    if rows["test_truth"].all() and rows["test_calibration_error"].notna().any():
        error = summarize(rows, "test_calibration_error")
        measures.append(_Measure("calibration_error", "Calibration\nerror (%)", error, from_zero=True))
        words += "; below, expected calibration error (15 bins) on the test set after the last epoch"
    if lost["n"].sum():
        yield from _against(scope, "gap", measures, f"{words}; {SPREAD}. {{seeds}}.", across=3, most=3)


def _against(
    scope: Scope, name: str, measures: Sequence[_Measure], words: str, *, across: int, most: int
) -> Iterator[Drawn]:
    """Draw figures of at most `most` panels a measure, `across` beside each other."""
    rated, fixed = kinds_of(measures[0].summary)
    panels = [[kind] for kind in rated] + ([fixed] if fixed else [])
    parts = evenly(panels, most)
    for index, part in enumerate(parts):
        figure, data = _grid(scope, measures, part, rated, across)
        against = "the noise rate" if part[0][0] in rated else "the kind of noise"
        caption = words.format(against=against, seeds=seeds_text(data[0]["n"]))
        yield scope.save(figure, data, name, caption, f"-{index + 1}" if len(parts) > 1 else "")


def _grid(
    scope: Scope, measures: Sequence[_Measure], kinds: Sequence[list[str]], rated: Sequence[str], across: int
) -> tuple[Figure, list[pd.DataFrame]]:
    """Draw panels of kinds; several measures stand below each other."""
    columns = min(len(kinds), scope.page.across(across, narrow=2 if len(measures) > 1 else 1))
    bands = math.ceil(len(kinds) / columns) * len(measures)
    many = max(len(kind) for kind in kinds) > COLUMN_KINDS
    width = scope.page.inches(columns > 1 or many)
    height = (2.1 if len(measures) == 1 else 1.6) * bands + 0.6 * many + legend_height(scope.looks, width)
    figure = Figure(figsize=(width, height), layout="constrained")
    one = len(measures) == 1
    grid = figure.subplots(bands, columns, squeeze=False, sharey=True if one else "row")
    data = []
    for number, measure in enumerate(measures):
        panels = list(grid.flat) if one else list(grid[number])
        for axes, kind in zip(panels, kinds, strict=False):
            if kind[0] in rated:
                name, shown = kind[0], _panel(measure.summary, kind[0])
                accuracy_panel(axes, shown, scope.looks)
                if not number:
                    title(axes, f"{noise_name(name)} noise", columns, width)
            else:
                name, shown = "kinds without a rate", _fixed(measure.summary, kind)
                kinds_panel(axes, shown, scope.looks)
            data.append(shown.assign(panel=name, measure=measure.name))
            if number < len(measures) - 1:
                axes.set_xlabel("")
                axes.tick_params(axis="x", labelbottom=False)
        for axes in panels[len(kinds) :]:
            axes.set_axis_off()
        for row in grid if one else [grid[number]]:
            row[0].set_ylabel(measure.axis)
        if measure.from_zero:
            top = max(panels[0].get_ylim()[1], 1.0)
            panels[0].set_ylim(-0.05 * top, top)  # room for the markers that stand at 0
    figure.align_ylabels()
    legend(figure, list(grid.flat), scope.looks)
    return figure, data


def _panel(summary: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Select one noise kind, with the cells without noise as its rate 0; rates in percent."""
    rows = summary[summary["noise"].isin([kind, *UNCHANGED])]
    columns = rows[["section", "method", "label", "n", "mean", "sd"]]
    return columns.assign(noise=kind, rate_percent=rows["rate"] * 100).reset_index(drop=True)


def _fixed(summary: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """Select kinds without rates and the cells without noise, in the order of their names."""
    names = [*UNCHANGED, *kinds]
    rows = summary[summary["noise"].isin(names)]
    columns = rows[["section", "method", "label", "noise", "n", "mean", "sd"]]
    return columns.sort_values("noise", key=lambda kind: kind.map(names.index), kind="stable").reset_index(drop=True)
