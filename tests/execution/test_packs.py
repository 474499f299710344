"""Which cells may share a pack, and how large packs are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench
from bench.errors import BenchError
from bench.execution.packs import MOST, gain, makespan, pack_cells, pack_seconds
from bench.execution.plan import make_plan
from bench.execution.progress import Progress
from bench.grid.expansion import Grid, PlannedCell, expand
from bench.grid.options import alone, scalar_names
from bench.records.store import Store
from bench.schedulers.contract import CellOutcome, Pack
from bench.settings.schema import load_config
from tests.cells import make_cell
from tests.schedulers.fakes import VERSIONS, cell


def planned(*cells: Any) -> tuple[PlannedCell, ...]:
    return tuple(PlannedCell(one.key(VERSIONS), one) for one in cells)


def packed(
    cells: Sequence[PlannedCell], workers: int = 1, size: int | None = None, **seconds: float
) -> tuple[Pack, ...]:
    """Packs of cells that take a second, or what is said of their method."""
    return pack_cells(cells, {one.key: seconds.get(one.cell.method, 1.0) for one in cells}, workers, size)


def sizes(packs: Sequence[Pack]) -> list[int]:
    return [len(pack) for pack in packs]


def together(*cells: Any) -> bool:
    return len(packed(planned(*cells), size=len(cells))) == 1


def test_what_cells_of_a_pack_may_differ_in() -> None:
    one = make_cell(method="gce-coop", options={"q": 0.7, "context": 16})
    assert "q" in scalar_names("gce-coop")
    assert "context" not in scalar_names("gce-coop")
    for change in ({"seed": 9}, {"rate": 0.1}, {"noise": "asymmetric"}, {"options": {"q": 0.5, "context": 16}}):
        assert together(one, one.model_copy(update=change)), change
    for change in (
        {"dataset": "letters"}, {"shots": 1}, {"method": "coop"}, {"options": {"q": 0.7, "context": 4}},
        {"backbone": "ViT-B-16/openai"}, {"epochs": 9}, {"learning_rate": 1.0}, {"eval_every": 7},
        {"subset": "clean"}, {"subset": "fold1of4"}, {"validation": "clean"}, {"views": 3},
    ):  # fmt: skip
        assert not together(one, one.model_copy(update=change)), change
    folds = [one.model_copy(update={"subset": f"fold{fold}of4"}) for fold in (1, 2, 3)]
    assert together(*folds)
    assert not together(*folds, folds[0].model_copy(update={"subset": "fold1of5"}))


@pytest.mark.filterwarnings("ignore:Pydantic serializer")  # values are of any type here
def test_every_field_of_a_cell_keeps_cells_apart_or_is_declared_to_differ() -> None:
    one = make_cell()
    others = {"noise", "rate", "seed", "subset", "options"}
    for name in type(one).model_fields.keys() - others:
        assert not together(one, one.model_copy(update={name: "another"})), name


def test_a_method_that_says_why_is_trained_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    options = dict(make_cell(method="plot").options)
    some = [make_cell(method="plot", options={**options, "faithful": True}, seed=seed) for seed in (1, 2, 3)]
    assert sizes(packed(planned(*some))) == [1, 1, 1]
    assert sizes(packed(planned(*some), size=3)) == [1, 1, 1], "whatever the user says"
    assert alone("plot", {"faithful": True}) == "its transport stops by the mean over the batch"
    assert not alone("plot", {"faithful": False})
    assert not alone("coop", {})
    assert not alone("unknown", {})


@pytest.mark.usefixtures("registries")
def test_third_parties_say_it_by_their_row() -> None:
    bench.register("mine", bench.CoOp, "CoOp by me", alone="it reads the clock")
    bench.register("ours", bench.CoOp, "CoOp by us", alone="it reads the clock", alone_when="contxt>4")
    assert sizes(packed(planned(*(cell(seed, method="mine") for seed in (1, 2))))) == [1, 1]
    with pytest.raises(BenchError, match=r'"ours" from .*: alone_when = "contxt>4" is no condition on its options'):
        packed(planned(cell(1, method="ours")))


def test_a_method_that_does_not_load_has_no_scalar_options() -> None:
    assert scalar_names("no-such-method") == ()
    unknown = [cell(seed, method="gone", options={"a": 1}) for seed in (1, 2)]
    assert sizes(packed(planned(*unknown), size=2)) == [2]


@pytest.mark.parametrize(
    ("count", "workers", "good"),
    [(1, 1, [1]), (5, 2, [3, 2]), (16, 1, [6, 5, 5]), (40, 2, [10] * 4), (4, 4, [1] * 4), (3, 8, [1] * 3)],
)
def test_one_group_ends_as_soon_as_with_a_good_division(count: int, workers: int, good: list[int]) -> None:
    """CoOp's cells, of which a pack pays three quarters once."""
    found = packed(planned(*(cell(seed) for seed in range(count))), workers)
    assert sum(sizes(found)) == sum(good)
    ends = [makespan([0.75 + 0.25 * size for size in some], workers) for some in (sizes(found), good)]
    assert ends[0] <= 1.04 * ends[1]


def test_the_longest_begin_first_and_none_lasts_to_a_lonely_end() -> None:
    cells = planned(*(cell(seed, method=method) for method in ("coop", "visprompt") for seed in range(40)))
    seconds = {one.key: {"coop": 1.0, "visprompt": 12.0}[one.cell.method] for one in cells}
    found = packed(cells, 2, visprompt=12.0)
    durations = [pack_seconds(pack, seconds) for pack in found]
    assert durations == sorted(durations, reverse=True)
    assert durations[0] <= 1.1 * sum(durations) / 2 / 3
    assert makespan(durations, 2) <= 1.05 * sum(durations) / 2
    assert max(sizes([pack for pack in found if pack[0][1].method == "coop"])) > 4, "what costs little is not torn up"


def test_a_number_is_what_the_user_gets_in_even_parts() -> None:
    cells = planned(*(cell(seed) for seed in range(17)))
    assert sizes(packed(cells, 8, size=16)) == [9, 8]
    assert sizes(packed(cells, 8, size=36)) == [17]
    assert sizes(packed(cells, 8, size=1)) == [1] * 17


METHOD = st.sampled_from(["coop", "visprompt", "zero-shot", "deft"])


@given(
    st.lists(st.tuples(METHOD, st.integers(0, 30)), max_size=60, unique=True),
    st.integers(1, 9),
    st.dictionaries(METHOD, st.floats(0, 1e4)),
    st.none() | st.integers(1, 40),
)
def test_every_cell_is_in_one_pack_and_all_workers_have_one(
    drawn: list[tuple[str, int]], workers: int, seconds: dict[str, float], size: int | None
) -> None:
    cells = planned(*(cell(seed, method=method) for method, seed in drawn))
    found = packed(cells, workers, size, **seconds)
    assert Counter(key for pack in found for key, _ in pack) == Counter(one.key for one in cells)
    assert all(len({one.method for _, one in pack}) == 1 for pack in found)
    assert max(sizes(found), default=0) <= (size or MOST)
    if size is None:
        assert len(found) >= min(workers, len(cells))
    assert found == packed(cells, workers, size, **seconds)


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(1, 6))
def test_the_end_is_between_its_bounds(durations: list[float], workers: int) -> None:
    end, least = makespan(durations, workers), max([sum(durations) / workers, *durations], default=0.0)
    assert least * (1 - 1e-9) <= end <= 2 * least + 1e-9


def test_a_pack_takes_longer_than_a_cell_and_less_than_its_cells() -> None:
    for method in ("coop", "visprompt", "deft"):
        pack = tuple((str(seed), cell(seed, method=method)) for seed in range(16))
        alone = {key: 2.0 for key, _ in pack}
        assert 2.0 < pack_seconds(pack, alone) < 32.0
        assert pack_seconds(pack[:1], alone) == 2.0
    assert gain(tuple((str(seed), cell(seed)) for seed in range(16))) == pytest.approx(0.3, abs=0.02)


def test_a_plan_says_its_packs_and_what_they_take(tmp_path: Path) -> None:
    cells = planned(*(cell(seed, epochs=50) for seed in range(32)))
    plan = make_plan(Grid("g", cells), Store(tmp_path))
    counts = plan.counts(2)
    assert counts["packs"] == len(plan.packs(2)) >= 2
    assert counts["worker_seconds"] == pytest.approx(sum(plan.expected(plan.packs(2)).values()), abs=0.1)
    assert counts["worker_seconds"] < 0.6 * plan.estimate.total, "from a default, of cells alone"
    large = make_plan(
        Grid("g", planned(*(cell(seed, backbone="ViT-B-16/openai") for seed in range(32)))), Store(tmp_path)
    )
    assert large.counts(2)["worker_seconds"] == pytest.approx(large.estimate.total), (
        "nothing is saved that was not seen"
    )
    assert max(sizes(large.packs(2))) > 1
    one = make_plan(Grid("g", cells), Store(tmp_path), pack=1).counts(2)
    assert (one["packs"], one["worker_seconds"]) == (32, pytest.approx(plan.estimate.total, abs=0.1))
    assert make_plan(Grid("g", cells), Store(tmp_path), pack=32).counts(8)["workers"] == 1


def test_the_packaged_grids_are_packed_evenly(tmp_path: Path) -> None:
    config = load_config()
    for name, workers in (("quick", 2), ("ci", 2), ("embedded", 8)):
        plan = make_plan(expand(config, name), Store(tmp_path))
        packs = plan.packs(workers)
        whole = sum(plan.expected(packs).values()) / workers
        assert whole <= plan.duration(packs, workers) <= 1.1 * whole, name
        assert len(packs) < len(plan.todo) / 2, name


def test_what_is_left_is_told_by_the_seconds_of_cells_not_by_when_packs_end() -> None:
    """The cells of a pack end at one moment, so that the time between two of them says nothing of the pace."""
    keys = [[f"{pack}{member}" for member in range(4)] for pack in range(4)]
    state = Progress(16, {key: 1.0 for pack in keys for key in pack}, 2, keys)
    assert state.left() == 8.0
    for key in keys[0]:
        state.add(CellOutcome(key, "done", None, 3.0))
    assert state.left() == 24.0, "a pack of twelve seconds on one worker, two on the other"
    for key in [*keys[1], *keys[2]]:
        state.add(CellOutcome(key, "failed", "lost", 0.0))
    assert state.left() == 12.0, "what was lost took no seconds of its own"
    for key in keys[3]:
        state.add(CellOutcome(key, "done", None, 3.0))
    assert state.left() == 0.0


def test_a_first_cell_that_waits_for_imports_does_not_set_the_pace() -> None:
    keys = [[f"{number}"] for number in range(10)]
    state = Progress(10, {key: 2.0 for (key,) in keys}, 1, keys)
    state.add(CellOutcome("0", "done", None, 30.0))
    for number in (1, 2):
        state.add(CellOutcome(f"{number}", "done", None, 1.0))
    assert state.left() == 7.0
