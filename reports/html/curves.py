"""The curves of the records of one setting as compact JSON, thinned where a store is large."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from bench.records.record import Record
from bench.reports.frame import FRACTIONS, finite

BUDGET = 1_100_000  # numbers in all curves of a page; about 4.5 bytes each
FEWEST = 5


@dataclass(frozen=True)
class Thinning:
    """Which epochs curves keep: those with a number on the test set, or at most `most` of them, evenly."""

    evaluated: bool = False
    most: int | None = None

    def sentence(self) -> str:
        """Describe the curves for a reader."""
        if not self.evaluated:
            return "Curves hold every epoch of the records."
        few = f", at most {self.most} of them, evenly spaced, the first and the last among them" if self.most else ""
        return f"To keep the file small, curves hold the epochs with a number on the test set alone{few}."


def thinning(records: Iterable[Record], budget: int = BUDGET) -> Thinning:
    """Find the mildest thinning that keeps all curves within `budget` numbers."""
    counts = [(sum(1 for _ in _quantities(record)), record) for record in records]
    if sum(quantities * len(record.curve.epoch) for quantities, record in counts) <= budget:
        return Thinning()
    evaluated = [(quantities, len(_evaluated(record))) for quantities, record in counts]
    if sum(q * n for q, n in evaluated) <= budget:
        return Thinning(evaluated=True)
    return Thinning(True, max(FEWEST, budget // max(1, sum(q for q, _ in evaluated))))


def curve_block(rows: Mapping[int, Record], thin: Thinning) -> dict[str, Any]:
    """Encode the curves of some records, by their row in the table of cells.

    Returns:
        "epochs": distinct lists of epochs; "scale": per quantity what its whole numbers are divided by, 0 where numbers
        stand as they are; "cells": per row [index into epochs, {quantity: comma-separated numbers, absent ones empty}].
        Shares and accuracies are in percent to one decimal.
    """
    pool: dict[tuple[int, ...], int] = {}
    scale: dict[str, int] = {}
    cells: dict[str, list[Any]] = {}
    for row, record in rows.items():
        kept = _kept(record, thin)
        epochs = tuple(int(record.curve.epoch[i] or 0) for i in kept)
        texts = {}
        for name, values in _quantities(record):
            scale[name] = 10 if name in FRACTIONS else 0
            shown = [values[i] if i < len(values) else None for i in kept]
            texts[name] = ",".join(_texts(shown, name in FRACTIONS))
        cells[str(row)] = [pool.setdefault(epochs, len(pool)), texts]
    return {"epochs": [list(epochs) for epochs in pool], "scale": scale, "cells": cells}


def _quantities(record: Record) -> Iterable[tuple[str, Sequence[float | int | None]]]:
    """Yield the curves and diagnostics of a record that have a number at all."""
    for name, values in {**record.curve.columns, **record.diagnostics}.items():
        if name != "epoch" and any(map(finite, values)):
            yield name, values


def _evaluated(record: Record) -> list[int]:
    """List rows with a finite number on the test set, else all rows."""
    test = record.curve.test_accuracy
    rows = _rows(record)
    return [row for row in rows if row < len(test) and finite(test[row])] or rows


def _rows(record: Record) -> list[int]:
    """List the last row of each epoch."""
    return sorted({epoch: row for row, epoch in enumerate(record.curve.epoch)}.values())


def _kept(record: Record, thin: Thinning) -> list[int]:
    if not thin.evaluated:
        return _rows(record)
    rows = _evaluated(record)
    if thin.most is None or len(rows) <= thin.most:
        return rows
    step = (len(rows) - 1) / (thin.most - 1)
    return [rows[round(i * step)] for i in range(thin.most)]


def _texts(values: Iterable[float | None], fraction: bool) -> list[str]:
    """Format numbers in few characters; nothing where one is absent or not finite."""
    if fraction:
        return ["" if v is None or not isfinite(v) else str(round(1000 * v)) for v in values]
    return ["" if v is None or not isfinite(v) else f"{v:.3g}" for v in values]
