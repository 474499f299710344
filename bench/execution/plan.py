"""Plan of a grid: the cells that are to be run, and what they will cost. Needs neither data nor weights in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bench import dataset_name
from bench.data.library import Library
from bench.errors import BenchError, did_you_mean
from bench.execution.estimate import Estimate, estimated, pack_gain
from bench.execution.packs import makespan, pack_cells
from bench.grid.expansion import Grid, PlannedCell
from bench.grid.freshness import stale_lines, stale_parts
from bench.machine import Machine
from bench.records.record import UNFINISHED, Record, Status
from bench.records.store import Store
from bench.schedulers.contract import Pack

RETRY = (*UNFINISHED, "all")
# Of Ray, or of one worker, with the import of torch in each and the end of both: roughly, and not learned from records.
START_SECONDS: Final = {"local": 5.0, "ray": 14.0}


@dataclass(frozen=True)
class Plan:
    """Cells of a grid, compared with a store.

    Attributes:
        statuses: of its cells that have a record.
        unfinished: records of its cells that did not finish and will not be retried now.
        todo: cells to run, in the order of the grid.
        problems: one line per file of the store that is no record.
        stale: what done cells were made by or from that is not as it is now, by key; asked for on request.
        pack: cells of a pack at most, as the user says; None for as many as keep all workers busy.
        tries: number of earlier attempts of the cells to run that have a record.
        retry: as `make_plan` was told, and so `rerun`.
    """

    grid: Grid
    statuses: Mapping[str, Status]
    unfinished: tuple[Record, ...]
    todo: tuple[PlannedCell, ...]
    estimate: Estimate
    problems: tuple[str, ...] = field(default=())
    stale: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pack: int | None = None
    tries: Mapping[str, int] = field(default_factory=dict)
    retry: str | None = None
    rerun: bool = False

    @property
    def from_files(self) -> tuple[str, ...]:
        """Data sets whose images are still to be encoded before the first cell. This is not in the estimate."""
        names = dict.fromkeys(planned.cell.dataset for planned in self.todo)
        return tuple(name for name in names if not dataset_name.embedded(name))

    def state(self, key: str) -> str:
        """Return the state of a cell: "to do", "stale", or the status of its record."""
        if key in self.estimate.seconds:
            return "to do"
        return "stale" if key in self.stale else self.statuses[key]

    def packs(self, workers: int = 1) -> tuple[Pack, ...]:
        """Spread the cells to run over packs, the longest first; see `bench.execution.packs`."""
        return pack_cells(self.todo, self.estimate.seconds, workers, self.pack)

    def expected(self, packs: Sequence[Pack]) -> dict[str, float]:
        """Estimate the seconds of each cell in these packs, its own share of its pack's, by key.

        Records hold such shares too. A pack saves what was measured: with small towers, which mostly wait.
        """
        seconds, apart = self.estimate.seconds, self.estimate.apart
        return {
            key: seconds[key] * pack_gain(cell, 1 if key in apart else len(pack))
            for pack in packs
            for key, cell in pack
        }

    def duration(self, packs: Sequence[Pack], workers: int) -> float:
        """Estimate the wall-clock seconds of these packs on `workers` workers."""
        expected = self.expected(packs)
        return makespan((sum(expected[key] for key, _ in pack) for pack in packs), workers)

    def fitting(self, machine: Machine, asked: int | None = None) -> int:
        """Return how many workers fit on a machine, on GPUs by the peaks of their packs.

        Fewer workers have larger packs, which take more memory.
        """
        count = machine.workers(asked, max(1, len(self.todo)))
        if machine.gpus and asked is None:
            alone = self.estimate.gpu_memory([((planned.key, planned.cell),) for planned in self.todo])
            count, before = machine.workers(None, max(1, len(self.todo)), alone), 0
            while count != before:
                before, peak = count, self.estimate.gpu_memory(self.packs(count))
                count = min(count, machine.workers(None, max(1, len(self.todo)), peak))
        return count

    def starting(self, workers: int) -> float:
        """Return the seconds that workers take to start and end, beside those of cells."""
        return START_SECONDS["ray" if workers > 1 else "local"] if self.todo else 0.0

    def counts(self, workers: int = 1) -> dict[str, Any]:
        """Return what `bench plan --json` prints. Seconds are wall-clock seconds on `workers` workers at most.

        `start_seconds` come on top of `estimate_seconds`.
        """
        by_status, packs = Counter(self.statuses.values()), self.packs(workers)
        workers = max(1, min(workers, len(packs)))
        return {
            "grid": self.grid.name,
            "cells": len(self.grid.cells),
            "done": by_status["done"],
            "failed": sum(by_status[status] for status in UNFINISHED),
            "skipped": by_status["skipped"],
            "stale": len(self.stale),
            "todo": len(self.todo),
            "reference": sum(planned.reference for planned in self.grid.cells),
            "packs": len(packs),
            "workers": workers,
            "estimate_seconds": round(self.duration(packs, workers), 1),
            "start_seconds": self.starting(workers),
            "worker_seconds": round(sum(self.expected(packs).values()), 1),
            "estimated_from_records": self.estimate.measured,
            "estimated_from_other_machines": len(self.estimate.elsewhere),
            "disk_bytes": self.estimate.disk,
            "from_files": list(self.from_files),
            "by_status": dict(sorted(by_status.items())),
        }


def make_plan(
    grid: Grid,
    store: Store,
    retry: str | None = None,
    *,
    library: Library | None = None,
    rerun: bool = False,
    pack: int | None = None,
    device: str = "auto",
) -> Plan:
    """Compare a grid with a store.

    Args:
        store: read only; need not exist.
        retry: a status of unfinished cells, or "all", to run again; None for none.
        library: opens the data sets that done cells are held against, as is the code; None: neither is looked at.
        rerun: whether done cells of other code or data are to be run anew.
        pack: cells of a pack at most; None for as many as keep all workers busy.
        device: "auto", "cpu" or "cuda", where cells would run: records that were made there tell their time best.

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
    tries = {key: len(records[key].attempts) for key in chosen}
    estimate = estimated(todo, known, device)
    return Plan(grid, statuses, left, todo, estimate, problems, stale, pack, tries, retry, rerun)


def remarks(plan: Plan, rerun: bool = False) -> list[str]:
    """List notes of the grid, store files that are no records, and cells of other code or data."""
    return [*plan.grid.notes, *plan.problems, *stale_lines(plan.stale, rerun)]
