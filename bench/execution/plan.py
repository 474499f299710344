"""Plan of a grid: the cells that are to be run, and what they will cost. Needs neither data nor weights in memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from bench import dataset_name
from bench.data.library import Library
from bench.errors import BenchError, did_you_mean
from bench.grid.expansion import Grid, PlannedCell
from bench.grid.freshness import stale_lines, stale_parts
from bench.plugins import METHODS
from bench.records.cell import Cell
from bench.records.record import UNFINISHED, Record, Status
from bench.records.store import Store

RETRY = (*UNFINISHED, "all")
# Where no like cell has been run: seconds per epoch of CoOp, and once per cell. Measured with `tiny` on one core; a
# ViT-B/16 without GPU takes about thirty times as long. What a method takes relative to CoOp stands in its row.
SECONDS_PER_EPOCH = {"tiny": 0.06}
OTHER_SECONDS_PER_EPOCH = 3.0
CELL_SECONDS = 1.0
RECORD_BYTES = 100_000


@dataclass(frozen=True)
class Estimate:
    """Cost of the cells that are to be run.

    Attributes:
        seconds: of one worker, by key.
        measured: how many of them stem from records of like cells.
        disk: bytes in the store.
        gpu_memory: the largest measured peak of a like cell in bytes, 0 where unknown.
    """

    seconds: Mapping[str, float]
    measured: int
    disk: int
    gpu_memory: int = 0

    @property
    def total(self) -> float:
        """Seconds on one worker."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Plan:
    """Cells of a grid, compared with a store.

    Attributes:
        statuses: of its cells that have a record.
        unfinished: records of its cells that did not finish and will not be retried now.
        todo: cells to run, in the order of the grid.
        problems: one line per file of the store that is no record.
        stale: what done cells were made by or from that is not as it is now, by key; asked for on request.
    """

    grid: Grid
    statuses: Mapping[str, Status]
    unfinished: tuple[Record, ...]
    todo: tuple[PlannedCell, ...]
    estimate: Estimate
    problems: tuple[str, ...] = field(default=())
    stale: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def from_files(self) -> tuple[str, ...]:
        """Data sets whose images are still to be encoded before the first cell. This is not in the estimate."""
        return tuple(dict.fromkeys(p.cell.dataset for p in self.todo if not dataset_name.embedded(p.cell.dataset)))

    def state(self, key: str) -> str:
        """Return the state of a cell: "to do", "stale", or the status of its record."""
        if key in self.estimate.seconds:
            return "to do"
        return "stale" if key in self.stale else self.statuses[key]

    def counts(self, workers: int = 1) -> dict[str, Any]:
        """Return what `bench plan --json` prints. Seconds are wall-clock seconds on `workers` workers."""
        by_status = Counter(self.statuses.values())
        return {
            "grid": self.grid.name,
            "cells": len(self.grid.cells),
            "done": by_status["done"],
            "failed": sum(by_status[status] for status in UNFINISHED),
            "skipped": by_status["skipped"],
            "stale": len(self.stale),
            "todo": len(self.todo),
            "reference": sum(planned.reference for planned in self.grid.cells),
            "workers": workers,
            "estimate_seconds": round(self.estimate.total / workers, 1),
            "worker_seconds": round(self.estimate.total, 1),
            "estimated_from_records": self.estimate.measured,
            "disk_bytes": self.estimate.disk,
            "from_files": list(self.from_files),
            "by_status": dict(sorted(by_status.items())),
        }


def make_plan(
    grid: Grid, store: Store, retry: str | None = None, *, library: Library | None = None, rerun: bool = False
) -> Plan:
    """Compare a grid with a store.

    Args:
        store: read only; need not exist.
        retry: a status of unfinished cells, or "all", to run again; None for none.
        library: opens the data sets that done cells are held against, as is the code; None: neither is looked at.
        rerun: whether done cells of other code or data are to be run anew.

    Raises:
        BenchError: `retry` is not one of these.
    """
    if retry is not None and retry not in RETRY:
        raise BenchError(f"--retry {retry}: {did_you_mean(retry, RETRY)} Expected one of {', '.join(RETRY)}.")
    again: Collection[str] = () if retry is None else UNFINISHED if retry == "all" else (retry,)
    records = {record.key: record for record in store.records(planned.key for planned in grid.cells)}
    stale = {} if library is None else stale_parts((r for r in records.values() if r.status == "done"), library)
    chosen = {key for key, record in records.items() if record.status in again} | (set(stale) if rerun else set())
    todo = tuple(planned for planned in grid.cells if planned.key not in records or planned.key in chosen)
    left = tuple(r for r in records.values() if r.status in UNFINISHED and r.status not in again)
    problems = tuple(store.problems.values())
    known = list(store.records()) if todo else []
    statuses = {key: record.status for key, record in records.items()}
    return Plan(grid, statuses, left, todo, _estimate(todo, known), problems, stale)


def remarks(plan: Plan, rerun: bool = False) -> list[str]:
    """List notes of the grid, store files that are no records, and cells of other code or data."""
    return [*plan.grid.notes, *plan.problems, *stale_lines(plan.stale, rerun)]


def _estimate(todo: Iterable[PlannedCell], records: Iterable[Record]) -> Estimate:
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
    seconds_by_key, measured, peak = {}, 0, 0
    for planned in todo:
        cell = planned.cell
        rate = next((means[name] * _scale(cell, name) for name in _likeness(cell) if name in means), None)
        measured += rate is not None
        seconds_by_key[planned.key] = _default_seconds(cell) if rate is None else rate * cell.epochs
        peak = max(peak, peaks[cell.backbone])
    return Estimate(seconds_by_key, measured, len(seconds_by_key) * RECORD_BYTES, peak)


def _default_seconds(cell: Cell) -> float:
    rate = SECONDS_PER_EPOCH.get(cell.backbone, OTHER_SECONDS_PER_EPOCH)
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
