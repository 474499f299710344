from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli.plan import on_top
from bench.console import duration
from bench.errors import BenchError
from bench.execution import estimate, execute
from bench.execution.estimate import gain, relative_cost
from bench.execution.execute import Request
from bench.execution.plan import START_SECONDS, make_plan
from bench.grid.expansion import Grid, PlannedCell
from bench.machine import UNMEASURED_BYTES, WORKER_BYTES, Machine, cpus, this_machine
from bench.plugins import METHODS
from bench.records.cell import Cell
from bench.records.provenance import processor
from bench.records.store import Store
from bench.rows import Row
from bench.schedulers.ray_tune import RayTune
from bench.settings.schema import load_config
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
    store.publish(record(KEYS[0], CELLS[0], cost={"seconds": 3.0, "lockstep": 7}), {})
    plan = make_plan(grid(*(cell(seed) for seed in range(1, 9))), store)
    assert [len(pack) for pack in plan.packs(1)] == [7]
    assert plan.counts(1)["estimate_seconds"] == pytest.approx(7 * 3.0), "packs are in it already"


def test_what_a_cell_took_alone_is_less_in_a_pack_and_the_other_way_round(tmp_path: Path) -> None:
    many = grid(*(cell(seed) for seed in range(2, 9)))

    def seconds(pack: int | None, **cost: object) -> float:
        store = Store(tmp_path / str((pack, cost)))
        store.publish(record(KEYS[0], CELLS[0], cost={"seconds": 3.0, **cost}), {})
        return float(make_plan(many, store, pack=pack).counts(1)["worker_seconds"])

    assert seconds(7) == pytest.approx(7 * 3.0 * gain("coop", 7), abs=0.1)
    assert seconds(1) == pytest.approx(7 * 3.0)
    assert seconds(1, lockstep=7) == pytest.approx(7 * 3.0 / gain("coop", 7), abs=0.1)
    assert seconds(7, lockstep=7, not_in_lockstep="it draws") == pytest.approx(7 * 3.0), "nothing was saved"
    assert seconds(7, trained_parameters=0) == pytest.approx(7 * 3.0)


def test_records_of_this_processor_come_before_any_others(tmp_path: Path) -> None:
    """Those of another are better than a guess, and said to be of another."""
    store, elsewhere = Store(tmp_path), cell(9, epochs=4)
    store.publish(record("1" * 16, CELLS[0], cost={"seconds": 9.0}, provenance={"processor": "Abacus"}), {})
    plan = make_plan(grid(*CELLS[1:5]), store, pack=1)
    assert plan.counts()["worker_seconds"] == pytest.approx(36.0)
    assert plan.counts()["estimated_from_other_machines"] == 4
    store.publish(record("2" * 16, elsewhere, cost={"seconds": 2.0}, provenance={"processor": processor()}), {})
    plan = make_plan(grid(*CELLS[1:5]), store, pack=1)
    assert plan.counts()["worker_seconds"] == pytest.approx(4.0), "though of other epochs"
    assert (plan.estimate.measured, plan.estimate.elsewhere) == (4, frozenset())


def test_cells_that_differ_in_noise_and_seed_alone_come_before_other_variants(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.publish(record("1" * 16, cell(1, options={"context": 4}), cost={"seconds": 1.0}), {})
    store.publish(record("2" * 16, cell(1, subset="clean"), cost={"seconds": 2.0}), {})
    store.publish(record("3" * 16, cell(1, noise="asymmetric", rate=0.25), cost={"seconds": 6.0}), {})
    one, variant = cell(7), cell(7, options={"context": 8})
    seconds = make_plan(grid(one, variant), store).estimate.seconds
    assert seconds[one.key(VERSIONS)] == pytest.approx(6.0)
    assert seconds[variant.key(VERSIONS)] == pytest.approx(3.0), "of all variants the mean"


def test_the_speed_of_a_machine_is_known_from_other_data(tmp_path: Path) -> None:
    """Letters have 2.6 times the classes: as many more steps, of 2.02 times the tokens, a third of CoOp's time."""
    store, letters = Store(tmp_path), cell(1, dataset="letters", method="sce")
    store.publish(record(KEYS[0], CELLS[0], cost={"seconds": 100.0}), {})
    estimate = make_plan(grid(letters), store).estimate
    assert estimate.seconds[letters.key(VERSIONS)] == pytest.approx(100.0 * 2.6 * (1 + (95 / 47 - 1) / 3))
    assert estimate.measured == 1


def times_as_long(first: Cell, second: Cell, folder: Path) -> float:
    """Estimate one cell by default, relative to the other."""
    before, after = (make_plan(grid(one), Store(folder)).estimate.total for one in (first, second))
    return (after - estimate.CELL_SECONDS) / (before - estimate.CELL_SECONDS)


@pytest.mark.parametrize(
    ("method", "options", "tokens"),
    [("maple", {}, 1), ("cocoop", {}, 95 / 47), ("visprompt", {}, 95 / 47), ("visprompt", {"control": "coop"}, 1.3404)],
)
def test_how_a_step_grows_with_the_classes_depends_on_what_it_computes(
    method: str, options: dict[str, str], tokens: float, tmp_path: Path
) -> None:
    digits, letters = (cell(1, dataset=name, method=method, options=options) for name in ("digits", "letters"))
    assert times_as_long(digits, letters, tmp_path) == pytest.approx(2.6 * tokens, rel=1e-3)


def test_a_large_tower_waits_for_nothing_and_a_data_set_has_no_more_images_than_it_has(tmp_path: Path) -> None:
    pets, scenes = (cell(1, dataset=name, backbone="ViT-B-16/openai") for name in ("oxfordpets", "sun397"))
    assert times_as_long(pets, scenes, tmp_path) == pytest.approx(397 / 37 * (17 + 3 * 397) / (17 + 3 * 37))
    few, every = cell(1), cell(1, shots=1000)
    assert times_as_long(few, every, tmp_path) == pytest.approx(898 / 160)


def test_workers_take_seconds_to_start_that_are_said_beside_the_estimate(store: Store) -> None:
    plan = make_plan(grid(*CELLS), store)
    assert plan.counts(1)["start_seconds"] == START_SECONDS["local"] < START_SECONDS["ray"]
    assert plan.counts(2)["start_seconds"] == START_SECONDS["ray"]
    assert make_plan(grid(CELLS[0]), store).counts()["start_seconds"] == 0


LARGE = {"backbone": "ViT-B-16/openai", "dataset": "caltech101"}
GIB = 2**30


def measured(store: Store, seed: int, peak: int, width: int, **changes: object) -> None:
    made, cost = cell(seed, **{**LARGE, **changes}), {"seconds": 1.0, "peak_memory_bytes": peak, "lockstep": width}
    store.publish(record(made.key(VERSIONS), made, cost=cost), {})


def test_gpu_memory_of_a_pack_is_that_of_the_next_wider_or_grows_with_its_width(tmp_path: Path) -> None:
    store = Store(tmp_path)
    measured(store, 101, 2 * GIB, 2)
    measured(store, 102, 5 * GIB, 8)
    measured(store, 103, 4 * GIB, 8)
    measured(store, 104, 9 * GIB, 1, method="deft")
    cells = [cell(seed, **LARGE) for seed in range(1, 17)]
    plan = make_plan(grid(*cells, cell(99, **LARGE, method="deft"), cell(98)), store)
    coop = tuple((one.key(VERSIONS), one) for one in cells)
    peaks = [plan.estimate.gpu_memory([coop[:count]]) for count in (1, 2, 3, 8, 16)]
    assert peaks == [2 * GIB, 2 * GIB, 5 * GIB, 5 * GIB, 10 * GIB]
    dear, unknown = (((one.key, one.cell),) for one in plan.todo[-2:])
    assert plan.estimate.gpu_memory([coop[:1], dear]) == 9 * GIB
    assert plan.estimate.gpu_memory([unknown]) == 0, "the rule for first runs"
    assert plan.estimate.gpu_memory([unknown, coop[:1]]) == UNMEASURED_BYTES


def test_workers_share_a_gpu_as_the_peaks_of_like_cells_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Machine(cpus=32, memory=100 * WORKER_BYTES, gpus=2, gpu_memory=24 * GIB)
    monkeypatch.setattr(execute, "this_machine", lambda _: card)
    monkeypatch.setattr(estimate, "processor_here", lambda _: "card")

    def set_up(store: Store, **request: int) -> tuple[int, float, int]:
        plan = make_plan(Grid("quick", grid(*(cell(seed, **LARGE) for seed in range(1, 65))).cells), store)
        made = execute.set_up(plan, load_config(), Request(scheduler="ray", **request))
        assert isinstance(made.scheduler, RayTune)
        return made.workers, made.scheduler.fraction, max(map(len, made.packs))

    first, small, large = (Store(tmp_path / name) for name in ("first", "small", "large"))
    assert set_up(first)[:2] == (12, 1 / 6), "4 GiB each, the rule"
    measured(small, 101, GIB, 16)
    assert set_up(small)[:2] == (26, 1 / 13), "1.2 and 0.6 GiB each"
    measured(large, 101, 8 * GIB, 16)
    assert set_up(large)[:2] == (4, 1 / 2)
    measured(large, 102, 4 * GIB, 2)
    workers, fraction, width = set_up(large)
    assert (workers, fraction) == (4, 1 / 2), "packs of four workers are wide"
    assert width > 2
    assert set_up(large, workers=8)[:2] == (8, 1 / 4), "as asked for"


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
    small, large = (grid(cell(1, backbone=name)) for name in ("tiny", "ViT-B-16/openai"))
    assert make_plan(large, Store(tmp_path)).estimate.total > 10 * make_plan(small, Store(tmp_path)).estimate.total


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


@pytest.mark.parametrize("row", [row for row in METHODS.rows() if row.options], ids=lambda row: row.name)
def test_options_say_what_a_step_computes_for_each_image_as_the_methods_needs_do(row: Row) -> None:
    options, kind = METHODS.options(row.name), METHODS.get(row.name)
    controls = ("image-free", "shuffled", "coop") if "control" in options.model_fields else ()
    for chosen in [options(), *(options(control=control) for control in controls)]:
        needs = kind.needs(chosen)
        assert (chosen.per_image == "pixels", chosen.per_image == "texts") == (needs.pixels, needs.per_image_text)
