"""Figures over epochs, noise in columns and quantities in rows: memorization, learning, and methods' splits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from bench.reports.document import Drawn
from bench.reports.figures.canvas import Scope, nearest, parts_of, seeds_text, small, title
from bench.reports.figures.panels import curve_panel, end_at, legend, legend_height, level
from bench.reports.names import column_name
from bench.reports.tables.columns import Column

PANELS = 5  # columns of one figure
MOST = 10  # columns of noise over all figures of a kind, from which on each kind of noise keeps fewer rates
FROM_ZERO = frozenset({"memorized", "recovered", "neither", "test_calibration_error"})
BANDS = "bands: ± sample standard deviation"
DOTTED = "dotted: zero-shot, the level without training (or the mean at epoch 0)"


@dataclass(frozen=True)
class _Curves:
    """A kind of figure.

    Attributes:
        kind: its name.
        quantities: their axes, by name; the first says which columns there are.
        words: of the caption, what is shown.
        dotted: of the caption, what the dotted line is.
        base: quantity that gets, dotted, the share of correctly labeled samples.
    """

    kind: str
    quantities: Mapping[str, str]
    words: str
    dotted: str = DOTTED
    base: str = ""


def memorization(scope: Scope) -> Iterator[Drawn]:
    """Draw the fate of clean and mislabeled training samples over epochs."""
    quantities = {
        "memorized": "Memorized (%)",
        "recovered": "Recovered (%)",
        "neither": "Neither (%)",
        "train_clean_accuracy": "Clean-sample\naccuracy (%)",
    }
    words = (
        "Mislabeled training samples predicted as their given label (memorized), as their true one (recovered) and as "
        "another (neither), and accuracy on clean training samples, over epochs."
    )
    return _figures(scope, _Curves("memorization", quantities, words))


def agreement(scope: Scope) -> Iterator[Drawn]:
    """Draw agreement with given labels over epochs, where nobody knows which are wrong."""
    quantities = {"train_given_accuracy": "Agrees with\ngiven (%)", **_tested(scope)}
    words = "Share of all training samples predicted as their given label, right or wrong, and "
    return _figures(scope, _Curves("agreement", quantities, f"{words}{_tested_words(scope)}, over epochs."))


def learning(scope: Scope) -> Iterator[Drawn]:
    """Draw accuracy and calibration error on the test set over epochs."""
    words = _tested_words(scope)
    return _figures(scope, _Curves("learning", _tested(scope), f"{words[:1].upper()}{words[1:]}, over epochs."))


def splits(scope: Scope) -> Iterator[Drawn]:
    """Draw precision and recall of clean splits and the accuracy of pseudo-labels over epochs."""
    quantities = {
        "split_precision": "Precision (%)",
        "split_recall": "Recall (%)",
        "pseudo_label_accuracy": "Pseudo-label\naccuracy (%)",
    }
    words = (
        "Of the training samples that a method takes to be correctly labeled, the share that is (precision); of the "
        "correctly labeled ones, the share that it takes to be (recall); and where a method makes labels of its own, "
        "their accuracy, over epochs."
    )
    dotted = "dotted: the precision of taking all samples"
    return _figures(scope, _Curves("splits", quantities, words, dotted, base="split_precision"))


def _tested(scope: Scope) -> dict[str, str]:
    axis = scope.measure.replace(" with ", "\nwith ")
    quantities = {"test_accuracy": f"{axis} (%)"}
    if scope.rows["test_truth"].all():
        quantities["test_calibration_error"] = "Calibration\nerror (%)"
    return quantities


def _tested_words(scope: Scope) -> str:
    words = small(scope.measure)
    return f"{words} and expected calibration error (15 bins)" if scope.rows["test_truth"].all() else words


def _figures(scope: Scope, what: _Curves) -> Iterator[Drawn]:
    """Draw figures of at most `PANELS` columns, a kind of noise together where it can be."""
    leading = next(iter(what.quantities))
    columns = scope.columns(leading)
    kept = thinned(columns)
    groups = [list(group) for _, group in itertools.groupby(kept, key=lambda column: column[0] if column[1] else "")]
    parts = parts_of(groups, scope.page.across(PANELS, narrow=2))
    for index, part in enumerate(parts):
        figure, data = _figure(scope, part, what)
        where = ", ".join(small(column_name(*column)) for column in part)
        left_out = " Further rates are left out." if len(kept) < len(columns) else ""
        caption = f", at {where}. {what.words} {seeds_text(data[0]['n'])}; {BANDS}; {what.dotted}.{left_out}"
        yield scope.save(figure, data, what.kind, caption, f"-{index + 1}" if len(parts) > 1 else "")


def thinned(columns: Sequence[Column], most: int = MOST) -> list[Column]:
    """Select about `most` columns: of each kind as many rates as fit, the one nearest to 50 % first."""
    if len(columns) <= most:
        return list(columns)
    kinds = list(dict.fromkeys(kind for kind, _ in columns))
    room = max(most // len(kinds), 1)
    kept: list[Column] = []
    for kind in kinds:
        rates = [column for column in columns if column[0] == kind]
        if len(rates) > room:
            middle = nearest(rates, kind)
            ends = [rates[0], rates[-1], *rates]
            rates = sorted({middle, *[column for column in dict.fromkeys(ends) if column != middle][: room - 1]})
        kept += rates
    return kept


def _figure(scope: Scope, columns: Sequence[Column], what: _Curves) -> tuple[Figure, list[pd.DataFrame]]:
    present = [quantity for quantity in what.quantities if scope.has(quantity)]
    shown = set(scope.levels.loc[scope.levels["quantity"].isin(present), "label"])
    looks = {label: chosen for label, chosen in scope.looks.items() if label in shown}
    width = scope.page.inches(len(columns) > 1)
    height = 1.3 * len(present) + 0.35 + legend_height(looks, width)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(present), len(columns), squeeze=False, sharex=True, sharey="row")
    data = []
    for row, quantity in zip(grid, present, strict=True):
        row[0].set_ylabel(what.quantities[quantity])
        for axes, column in zip(row, columns, strict=True):
            panel = scope.at(quantity, column)
            curve_panel(axes, panel, looks)
            if quantity == what.base:
                level(axes, "All samples", _clean_share(scope, column))
            data.append(panel)
        if quantity in FROM_ZERO:  # after all panels, because a limit once set no longer follows those that share it
            row[0].set_ylim(bottom=0)
        end_at(row[0])
    for axes, column in zip(grid[0], columns, strict=True):
        title(axes, column_name(*column), len(columns), width)
    for axes in grid[-1]:
        axes.set_xlabel("Epoch")
    figure.align_ylabels()
    legend(figure, list(grid.flat), looks)
    return figure, data


def _clean_share(scope: Scope, column: Column) -> float:
    """Average the share of correctly labeled training samples over the records of a column, in percent."""
    kind, rate = column
    rows = scope.rows
    found = rows[(rows["noise"] == kind) & (rows["rate"] == rate) & (rows["subset"] == "all")]
    return float(100 * (1 - found["realised_rate"].mean()))
