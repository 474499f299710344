"""Memory between cells: collected where it has grown, and not otherwise."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench.engine.memory import MemoryCare
from bench.schedulers.work import Work
from bench.schedulers.worker import Worker
from tests.cells import make_cell

MEGABYTE = 2**20


class Cycle:
    """What a cell leaves: objects that refer to each other, few and large."""

    def __init__(self, megabytes: int) -> None:
        self.own = self
        self.weights = np.ones(megabytes * MEGABYTE, dtype=np.uint8)


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """The generations that are collected, while nothing is by itself."""
    found: list[int] = []

    def note(phase: str, told: dict[str, int]) -> None:
        found.extend([told["generation"]] if phase == "stop" else [])

    gc.collect()
    gc.disable()
    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)
    gc.enable()


def test_cells_that_leave_little_are_not_collected(collections: list[int]) -> None:
    care = MemoryCare("cpu")
    for _ in range(20):
        Cycle(1)
        care.tidy()
    assert collections == []


def test_few_large_objects_are_collected_as_soon_as_they_weigh(collections: list[int]) -> None:
    care, cells = MemoryCare("cpu", slack=100 * MEGABYTE), list[weakref.ref[Cycle]]()
    for _ in range(20):
        cells.append(weakref.ref(Cycle(40)))
        care.tidy()
        assert sum(cell() is not None for cell in cells) <= 4
    assert 4 <= len(collections) <= 10


def test_what_is_needed_for_longer_is_not_collected_time_and_again(collections: list[int]) -> None:
    care = MemoryCare("cpu", slack=50 * MEGABYTE)
    kept = Cycle(120)
    for _ in range(5):
        care.tidy()
    assert len(collections) == 1
    assert kept.own is kept


def test_a_worker_does_not_grow_with_its_cells(tmp_path: Path) -> None:
    """Of a process that has run 20 cells, 40 more change neither what it holds nor which process it is."""
    worker = Worker(Work(str(tmp_path / "store"), {"cache": str(tmp_path / "cache")}))
    try:
        sizes, processes = [], set()
        for number in range(6):
            worker.give(
                tuple((f"{number}-{seed}", make_cell(dataset="digits", backbone="tiny", method="zero-shot", shots=1,
                                                     options={"template": "dataset"}, seed=seed)) for seed in range(10))
            )  # fmt: skip
            while (outcomes := worker.collected()) is None:
                worker.pipe.poll(10)
            assert {outcome.status for outcome in outcomes} == {"done"}, outcomes[0].reason
            process = psutil.Process(worker._process.pid)
            sizes.append(process.memory_info().rss / MEGABYTE)
            processes.add(process.pid)
        assert worker.usable
        assert len(processes) == 1
        assert sizes[-1] - sizes[1] < 15, sizes
    finally:
        worker.end()
