from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli.plan import on_top
from bench.console import duration
from bench.errors import BenchError
from bench.execution.estimate import relative_cost
from bench.execution.plan import make_plan
from bench.grid.expansion import Grid, PlannedCell
from bench.machine import WORKER_BYTES, Machine, cpus, this_machine
from bench.records.cell import Cell
from bench.records.store import Store
from tests.schedulers.fakes import VERSIONS, cell, record


def grid(*cells: Cell) -> Grid:
    return Grid("g", tuple(PlannedCell(one.key(VERSIONS), one, one.subset == "clean") for one in cells))


CELLS = (*(cell(seed) for seed in (1, 2, 3, 4, 5)), cell(1, subset="clean"))
KEYS = [one.key(VERSIONS) for one in CELLS]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.publish(record(KEYS[0], CELLS[0], cost={"seconds": 3.0}), {})
    store.publish(record(KEYS[1], CELLS[1], status="failed", reason="broke"), {})
    store.publish(record(KEYS[2], CELLS[2], status="diverged", reason="not finite"), {})
    store.publish(record(KEYS[3], CELLS[3], status="skipped", reason="cannot"), {})
    return store


def todo(store: Store, retry: str | None) -> list[int]:
    return [KEYS.index(planned.key) for planned in make_plan(grid(*CELLS), store, retry).todo]


def test_an_estimate_of_years_is_said_in_years() -> None:
    assert [duration(seconds) for seconds in (86400.0, 365 * 86400.0, 1e10)] == ["24 h 0 min", "a year", "317 years"]


def test_a_plain_run_does_what_has_no_record_and_retry_adds_by_status(store: Store) -> None:
    assert todo(store, None) == [4, 5]
    assert todo(store, "failed") == [1, 4, 5]
    assert todo(store, "diverged") == [2, 4, 5]
    assert todo(store, "timeout") == [4, 5]
    assert todo(store, "all") == [1, 2, 4, 5]
    with pytest.raises(BenchError, match="--retry fail: did you mean"):
        todo(store, "fail")


def test_counts_and_the_unfinished_that_stay(store: Store) -> None:
    plan = make_plan(grid(*CELLS), store)
    counts = plan.counts(workers=2)
    assert {name: counts[name] for name in ("grid", "cells", "done", "failed", "skipped", "todo", "reference")} == {
        "grid": "g", "cells": 6, "done": 1, "failed": 2, "skipped": 1, "todo": 2, "reference": 1,
    }  # fmt: skip
    assert counts["by_status"] == {"diverged": 1, "done": 1, "failed": 1, "skipped": 1}
    assert [record.reason for record in plan.unfinished] == ["broke", "not finite"]
    assert [record.reason for record in make_plan(grid(*CELLS), store, "failed").unfinished] == ["not finite"]


def test_time_is_scaled_from_like_cells_and_shared_by_workers(store: Store) -> None:
    longer, other, dear = cell(7, epochs=4), cell(7, method="sce"), cell(7, method="deft")
    dearer = make_plan(grid(dear), store).estimate.seconds[dear.key(VERSIONS)]
    assert dearer == pytest.approx(3.0 * relative_cost("deft"))
    plan = make_plan(grid(longer, other), store)
    assert plan.estimate.seconds[longer.key(VERSIONS)] == pytest.approx(6.0)  # 3 s for 2 epochs
    assert plan.estimate.seconds[other.key(VERSIONS)] == pytest.approx(3.0)  # no like method: data set and backbone
    assert plan.counts(workers=1)["estimate_seconds"] == plan.counts(workers=2)["worker_seconds"] == pytest.approx(9.0)
    assert plan.counts(workers=2)["estimate_seconds"] == pytest.approx(6.0)  # the longer of the two
    assert plan.estimate.measured == 2


def test_records_say_a_cells_own_share_of_its_pack(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.publish(record(KEYS[0], CELLS[0], cost={"seconds": 3.0}), {})
    plan = make_plan(grid(*(cell(seed) for seed in range(1, 9))), store)
    assert max(len(pack) for pack in plan.packs(1)) > 1
    assert plan.counts(1)["estimate_seconds"] == pytest.approx(7 * 3.0), "packs are in it already"


def test_letters_cost_more_than_digits_and_what_trains_nothing_less(tmp_path: Path) -> None:
    def seconds(**changes: object) -> float:
        return make_plan(grid(cell(1, epochs=50, **changes)), Store(tmp_path)).estimate.total

    assert seconds(dataset="letters") > 2 * seconds()
    assert seconds(method="zero-shot") < 0.5 * seconds()
    assert seconds(method="visprompt") > 5 * seconds()


def test_without_like_cells_a_default_is_used_and_said_to_be_one(tmp_path: Path) -> None:
    plan = make_plan(grid(cell(1, epochs=10)), Store(tmp_path))
    assert plan.estimate.measured == 0
    assert 0 < plan.estimate.total < 60
    assert make_plan(grid(cell(1, backbone="ViT-B-16/openai")), Store(tmp_path)).estimate.total > 5


def test_images_that_come_from_files_are_named_beside_the_estimate(tmp_path: Path) -> None:
    cells = [cell(1), *(cell(seed).model_copy(update={"dataset": "caltech101"}) for seed in (1, 2))]
    plan = make_plan(grid(*cells), Store(tmp_path))
    assert plan.from_files == ("caltech101",)
    assert plan.counts()["from_files"] == ["caltech101"]
    assert on_top(plan) == " (and image features of caltech101, if not stored yet)"
    assert on_top(make_plan(grid(cell(1)), Store(tmp_path))) == ""


def test_a_torn_file_is_named_and_its_cell_is_to_do(store: Store) -> None:
    store.files.write(f"{KEYS[0]}.json", b"{", replace=True)
    plan = make_plan(grid(*CELLS), store)
    assert KEYS[0] in [planned.key for planned in plan.todo]
    assert [KEYS[0] in problem for problem in plan.problems] == [True]


def test_planning_creates_nothing(tmp_path: Path) -> None:
    make_plan(grid(*CELLS), Store(tmp_path / "store"))
    assert list(tmp_path.iterdir()) == []


def test_workers_are_what_fits_or_what_was_asked_for_and_never_more_than_packs() -> None:
    machine = Machine(cpus=8, memory=100 * WORKER_BYTES)
    assert machine.workers(None, packs=100) == 8
    assert machine.workers(None, packs=3) == 3
    assert machine.workers(12, packs=100) == 12
    assert machine.workers(12, packs=1) == 1
    assert Machine(cpus=8, memory=2 * WORKER_BYTES).workers(None, packs=9) == 2
    assert Machine(cpus=8, memory=0).workers(None, packs=9) == 1
    assert machine.fraction(8) == 0


def test_gpus_are_shared_by_measured_memory_in_whole_parts() -> None:
    machine = Machine(cpus=32, memory=100 * WORKER_BYTES, gpus=2, gpu_memory=24 * 2**30)
    assert machine.workers(None, packs=100) == 12  # 4 GiB each where nothing was measured
    assert machine.workers(None, packs=100, trial_bytes=10 * 2**30) == 2
    assert machine.fraction(12) == pytest.approx(1 / 6)
    assert machine.fraction(3) == pytest.approx(0.5)
    assert machine.fraction(1) == 1


def test_this_machine_has_a_processor_and_says_when_a_gpu_is_missing() -> None:
    assert cpus() >= 1
    assert this_machine("cpu").gpus == 0
    if not this_machine("auto").gpus:
        with pytest.raises(BenchError, match="finds no GPU"):
            this_machine("cuda")
