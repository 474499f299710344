"""The table at the end of a run: per method and noise, what came out and what it took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

from bench.cell import Record, noise_text
from bench.data.named import shown
from bench.resolve import told
from bench.variants import variant_text

COLUMNS = ["dataset", "noise", "method", "seeds", "accuracy %", "memorized %", "seconds", "unfinished"]
Row = tuple[str, ...]


def summary_rows(records: Iterable[Record]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows, in the order of the records.

    Accuracy is the mean over seeds of the last test accuracy, memorized that of the last share of mislabeled samples
    predicted as their given label, both in percent; seconds are a cell's mean.
    """
    groups: dict[Row, list[Record]] = defaultdict(list)
    records = list(records)
    varying = _varying(records)
    for record in records:
        cell = record.cell
        method = variant_text(cell.method, told(cell.method, cell.options)) + cell.suffix
        others = tuple(f"{name} {getattr(cell, name)}" for name in ("backbone", "shots", "epochs") if name in varying)
        groups[" · ".join((shown(cell.dataset), *others)), noise_text(cell.noise, cell.rate), method].append(record)
    return COLUMNS, [[*name, *_numbers(group)] for name, group in groups.items()]


def _numbers(group: list[Record]) -> list[str]:
    done = [record for record in group if record.status == "done"]
    memorized = [values[-1] for record in done if (values := record.curve.get("memorized"))]
    return [
        str(len(done)),
        _mean([record.accuracy.get("last") for record in done], 100),
        _mean(memorized, 100),
        _mean([record.cost.get("seconds") for record in done], 1),
        str(len(group) - len(done)) if len(done) < len(group) else "",
    ]


def _mean(values: list[float | int | None], scale: float) -> str:
    known = [value for value in values if value is not None]
    return f"{scale * fmean(known):.1f}" if known else "–"


def _varying(records: list[Record]) -> set[str]:
    """Fields of the cell that differ between the records."""
    seen: dict[str, set[object]] = defaultdict(set)
    for record in records:
        for field in ("backbone", "shots", "epochs"):
            seen[field].add(getattr(record.cell, field))
    return {name for name, values in seen.items() if len(values) > 1}
