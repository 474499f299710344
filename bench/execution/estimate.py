"""Estimate what cells cost, from records of like cells or by default."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from bench import dataset_name
from bench.grid.expansion import PlannedCell
from bench.plugins import DATASETS, METHODS
from bench.records.cell import Cell
from bench.records.record import Record

# Where no like cell has been run: seconds per epoch of CoOp, and once per cell. Measured with `tiny` and digits on one
# core; a ViT-B/16 without GPU takes more than a hundred times as long. What a method takes relative to CoOp, or a data
# set relative to digits, stands in its row.
SECONDS_PER_EPOCH = {"tiny": 0.02}
OTHER_SECONDS_PER_EPOCH = 3.0
CELL_SECONDS = 0.2
RECORD_BYTES = 100_000


@dataclass(frozen=True)
class Estimate:
    """Cost of the cells that are to be run.

    Attributes:
        seconds: of one worker, by key: those that a cell takes alone, or what like cells took of their packs'.
        learned: the cells whose seconds stem from records of like cells.
        disk: bytes in the store.
        gpu_memory: the largest measured peak of a like cell in bytes, 0 where unknown.
    """

    seconds: Mapping[str, float]
    learned: frozenset[str]
    disk: int
    gpu_memory: int = 0

    @property
    def measured(self) -> int:
        """Number of cells whose seconds stem from records of like cells."""
        return len(self.learned)

    @property
    def total(self) -> float:
        """Seconds on one worker, cell after cell."""
        return sum(self.seconds.values())


def estimated(todo: Iterable[PlannedCell], records: Iterable[Record]) -> Estimate:
    """Estimate seconds from cells of the same method, data set and backbone, else of any method, else by default."""
    rates: dict[tuple[str, ...], list[float]] = defaultdict(list)
    peaks: dict[str, int] = defaultdict(int)
    for record in records:
        seconds = record.cost.seconds
        if record.status == "done" and isinstance(seconds, (int, float)):
            for name in _likeness(record.cell):
                rates[name].append(seconds / record.cell.epochs / _scale(record.cell, name))
        peak = record.cost.peak_memory_bytes
        peaks[record.cell.backbone] = max(peaks[record.cell.backbone], peak if isinstance(peak, int) else 0)
    means = {name: fmean(values) for name, values in rates.items()}
    seconds_by_key, learned, peak = {}, set(), 0
    for planned in todo:
        cell = planned.cell
        rate = next((means[name] * _scale(cell, name) for name in _likeness(cell) if name in means), None)
        if rate is not None:
            learned.add(planned.key)
        seconds_by_key[planned.key] = _default_seconds(cell) if rate is None else rate * cell.epochs
        peak = max(peak, peaks[cell.backbone])
    return Estimate(seconds_by_key, frozenset(learned), len(seconds_by_key) * RECORD_BYTES, peak)


def _default_seconds(cell: Cell) -> float:
    rate = SECONDS_PER_EPOCH.get(cell.backbone, OTHER_SECONDS_PER_EPOCH)
    dataset = DATASETS.find(dataset_name.base(cell.dataset))
    rate *= 1.0 if dataset is None else dataset.cost
    return rate * relative_cost(cell.method) * cell.epochs + CELL_SECONDS


def relative_cost(method: str) -> float:
    """Return seconds of a method relative to CoOp's, as its row says; of an unknown one 1."""
    row = METHODS.find(method)
    return 1.0 if row is None else row.cost


def _scale(cell: Cell, likeness: tuple[str, ...]) -> float:
    """Return the factor that divides a rate shared by all methods, and multiplies it again."""
    return 1 if cell.method in likeness else relative_cost(cell.method)


def _likeness(cell: Cell) -> tuple[tuple[str, ...], ...]:
    return (
        (cell.method, cell.dataset, cell.backbone, str(cell.shots)),
        (cell.method, cell.dataset, cell.backbone),
        (cell.dataset, cell.backbone),
    )
