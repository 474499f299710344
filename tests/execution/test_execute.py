"""The driver of a run: members of a pack that their worker has lost are run again, each by itself, and once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from bench.execution import execute
from bench.execution.collector import Collector
from bench.execution.execute import Request, Setup, execute_plan, set_up
from bench.execution.observer import Observer
from bench.execution.packs import MOST
from bench.execution.plan import Plan, make_plan
from bench.execution.progress import Listener, Progress
from bench.grid.expansion import Grid, PlannedCell
from bench.records.store import Store
from bench.schedulers import claims
from bench.schedulers.contract import CellOutcome, Pack, StoreLost
from bench.schedulers.work import Work
from bench.settings.schema import load_config
from tests.schedulers.fakes import NO_ROOM, VERSIONS, cell, packs, scheduler

DEAD = "the worker ended with exit code 7 before it left a record"
KEYS = [pack[0][0] for pack in packs(12)]


class Told(Observer):
    """Keeps outcomes and notes."""

    def __init__(self, outcomes: list[CellOutcome], notes: list[str]) -> None:
        self.outcomes, self.notes = outcomes, notes

    def training(self, plan: Plan) -> AbstractContextManager[Listener]:
        return nullcontext(lambda outcome, _: self.outcomes.append(outcome))

    def note(self, text: str) -> None:
        self.notes.append(text)


def planned(count: int, store: Path, retry: str | None = None) -> Plan:
    cells = [cell(seed) for seed in range(1, count + 1)]
    return make_plan(Grid("quick", tuple(PlannedCell(one.key(VERSIONS), one) for one in cells)), Store(store), retry)


def drive(
    patch: pytest.MonkeyPatch, store: Path, mishaps: Mapping[str, str], count: int, size: int, name: str = "local",
    fail_fast: bool = False, workers: int = 1, retry: str | None = None,
) -> tuple[Progress, dict[str, tuple[str, str | None]]]:  # fmt: skip
    """Run so many cells in packs of this size; what became of each, as the listener was told."""
    settings: dict[str, Any] = {"mishaps": dict(mishaps), "timeout": 1.0, "device": "cpu", "store": str(store)}
    work = Work(str(store), settings, "tests.schedulers.fakes:run_pack", "builtins:dict", grace=1.0)
    patch.setattr(execute, "_work", lambda *_: work)
    told: list[CellOutcome] = []
    plan = planned(count, store, retry)
    todo = {one.key for one in plan.todo}
    chosen = [tuple(member for member in pack if member[0] in todo) for pack in packs(count, size)]
    setup = Setup(scheduler(name), "local", workers, "cpu", tuple(pack for pack in chosen if pack))
    progress = execute_plan(plan, Store(store), load_config(), setup, Request(fail_fast=fail_fast), Told(told, []))
    assert [outcome.key for outcome in told] == [outcome.key for outcome in progress.done]
    assert len({outcome.key for outcome in told}) == len(told), "a cell ends once"
    return progress, {outcome.key: (outcome.status, outcome.reason) for outcome in told}


def statuses(found: Mapping[str, tuple[str, str | None]], keys: Sequence[str]) -> list[str]:
    return [found[key][0] if key in found else "not run" for key in keys]


def test_only_the_guilty_of_a_pack_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mishaps = {"2": "die", "4": "fail", "8": "hang", "11": "raise"}
    progress, found = drive(monkeypatch, tmp_path, mishaps, 12, 3, workers=2)
    expected: list[tuple[str, str | None]] = [("done", None)] * 12
    expected[1], expected[3] = ("failed", DEAD), ("failed", "as ordered")
    expected[7], expected[10] = ("timeout", "no step ended within 1 s"), ("failed", "OSError: no space left")
    assert [found[key] for key in KEYS] == expected
    store = Store(tmp_path)
    assert store.statuses() == {key: status for key, (status, _) in found.items()}
    lost = {key: [tried["reason"] for tried in record.attempts] for key in KEYS if (record := store.read(key))}
    died, hung, raised = [DEAD], ["no step ended within 1 s"], ["OSError: no space left"]
    assert [lost[key] for key in KEYS] == [[], died, died, [], [], [], [], hung, hung, [], raised, raised]
    assert progress.left() == 0


@pytest.mark.slow
@pytest.mark.long
def test_ray_starts_again_for_what_was_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = drive(monkeypatch, tmp_path, {"2": "die", "6": "fail"}, 6, 3, "ray", workers=2)
    assert statuses(found, KEYS[:6]) == ["done", "failed", "done", "done", "done", "failed"]
    assert (found[KEYS[1]][1], found[KEYS[5]][1]) == (DEAD, "as ordered")


def test_a_pack_that_only_dies_together_is_done_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = drive(monkeypatch, tmp_path, {"2": "die in company"}, 4, 4)
    assert statuses(found, KEYS[:4]) == ["done"] * 4


def test_a_single_cell_whose_worker_dies_has_a_second_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended the worker may have been anything; a cell that hangs or raises has itself to blame."""
    mishaps = {"1": "die once", "2": "die", "3": "hang", "4": "raise"}
    _, found = drive(monkeypatch, tmp_path, mishaps, 5, 1)
    assert statuses(found, KEYS[:5]) == ["done", "failed", "timeout", "failed", "done"]
    tried = [
        [(one["status"], one["reason"]) for one in record.attempts] for record in Store(tmp_path).records(KEYS[:5])
    ]
    assert tried == [[("failed", DEAD)], [("failed", DEAD)], [], [], []]
    assert found[KEYS[1]] == ("failed", DEAD)
    again, same = drive(monkeypatch, tmp_path, {}, 5, 1)
    assert (again.total, same) == (0, {}), "what has failed is left to --retry"


def test_the_second_try_keeps_what_an_earlier_run_has_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch, tmp_path, {"1": "fail"}, 1, 1)
    drive(monkeypatch, tmp_path, {"1": "die once"}, 1, 1, retry="all")
    record = Store(tmp_path).read(KEYS[0])
    assert record is not None
    assert (record.status, [tried["reason"] for tried in record.attempts]) == ("done", ["as ordered", DEAD])


@pytest.mark.parametrize("name", ["local", "ray"])
def test_what_runs_out_of_memory_has_one_more_try_in_half_the_pack(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mishaps = {"2": "run short in company", "3": "run short in company", "4": "run short"}
    given: list[tuple[list[list[str]], int]] = []
    again = Collector.again

    def noted(collector: Collector) -> tuple[Pack, ...]:
        packs = again(collector)
        given.append(([[key for key, _ in pack] for pack in packs], collector.workers))
        return packs

    monkeypatch.setattr(Collector, "again", noted)
    _, found = drive(monkeypatch, tmp_path, mishaps, 5, 5, name, workers=2)
    assert given == [([[KEYS[1], KEYS[2]], [KEYS[3]]], 1), ([], 2)]
    assert statuses(found, KEYS[:5]) == ["done", "done", "done", "out_of_memory", "done"]
    records = list(Store(tmp_path).records(KEYS[:5]))
    assert [record.status for record in records] == statuses(found, KEYS[:5])
    assert [record.attempts for record in records] == [[], *[[NO_ROOM]] * 3, []]


def test_memory_that_is_short_outside_a_trial_is_named_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = drive(monkeypatch, tmp_path, {"1": "raise a lack of memory"}, 2, 1)
    assert found[KEYS[0]] == ("out_of_memory", "MemoryError: no room")
    first = Store(tmp_path).read(KEYS[0])
    assert first is not None
    assert first.attempts == [{"status": "out_of_memory", "reason": "MemoryError: no room"}]


def test_a_worker_that_died_before_leaves_the_try_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Death has its one more try and so has short memory; then it ends."""
    drive(monkeypatch, tmp_path, {"1": "die once and run short"}, 1, 1)
    record = Store(tmp_path).read(KEYS[0])
    assert record is not None
    assert record.status == "out_of_memory"
    assert [tried["status"] for tried in record.attempts] == ["failed", "out_of_memory"]


def test_fail_fast_stops_only_after_the_second_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = drive(monkeypatch, tmp_path / "a", {"1": "die once"}, 3, 1, fail_fast=True)
    assert statuses(found, KEYS[:3]) == ["done"] * 3
    _, found = drive(monkeypatch, tmp_path / "b", {"1": "die"}, 3, 1, fail_fast=True)
    assert statuses(found, KEYS[:3]) == ["failed", "not run", "not run"]


def test_fail_fast_finds_the_guilty_and_begins_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = drive(monkeypatch, tmp_path, {"2": "die"}, 9, 3, fail_fast=True)
    assert statuses(found, KEYS[:3]) == ["done", "failed", "not run"]
    assert statuses(found, KEYS[3:9]) == ["not run"] * 6


def test_fail_fast_goes_on_where_nobody_is_guilty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = drive(monkeypatch, tmp_path, {"2": "die in company"}, 6, 3, fail_fast=True)
    assert statuses(found, KEYS[:6]) == ["done"] * 6


def test_what_an_abandoned_pack_has_published_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two workers one hangs within its pack when the other's has failed."""
    _, found = drive(monkeypatch, tmp_path, {"1": "wait for a record", "2": "fail", "5": "hang"}, 6, 3, fail_fast=True,
                     workers=2)  # fmt: skip
    assert statuses(found, KEYS[:6]) == ["done", "failed", "done", "done", "not run", "not run"]


def test_a_request_becomes_packs_and_no_more_workers_than_these(tmp_path: Path) -> None:
    plan, config = planned(40, tmp_path), load_config()
    setup = set_up(plan, config, Request(workers=2))
    assert sorted(key for pack in setup.packs for key, _ in pack) == sorted(planned.key for planned in plan.todo)
    assert (setup.workers, max(map(len, setup.packs)) <= MOST) == (2, True)
    known = set_up(plan, config, Request(workers=2, address="auto"))
    unknown = set_up(plan, config, Request(address="auto"))
    assert (known.workers, known.packs) == (2, setup.packs)
    assert unknown.workers == len(unknown.packs) > 2
    fixed = set_up(make_plan(plan.grid, Store(tmp_path), pack=20), config, Request(workers=8))
    assert (fixed.workers, [len(pack) for pack in fixed.packs]) == (2, [20, 20])


Mount = Callable[[str], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Mount]]:
    """A file system of 48 KiB, and what mounts it anew with other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    if not sys.platform.startswith("linux") or os.getuid():
        pytest.skip("only root of a Linux can mount a file system")
    mount("size=48k")
    try:
        yield place, mount
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def whole(store: Path) -> int:
    """How many records a store has, all of them done and none torn."""
    opened = Store(store)
    found = opened.statuses()
    assert set(found.values()) <= {"done"}
    assert opened.problems == {}
    return len(found)


LOST = (
    r"^store \".+\" cannot be written any more: {}; {} of 12 cells are done and kept. Make room or give permission, and"
)


@pytest.mark.parametrize("name", ["local", pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.long])])
def test_a_full_disk_ends_the_run_and_keeps_what_is_done(
    name: str, disk: tuple[Path, Mount], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, mount = disk
    with pytest.raises(StoreLost, match=LOST.format("No space left on device", r"\d")) as lost:
        drive(monkeypatch, place, {}, 12, 1, name)
    assert 0 < whole(place) < 12
    assert f"; {whole(place)} of 12" in str(lost.value)
    assert lost.value.exit_code == 4
    mount("remount,size=1m")
    drive(monkeypatch, place, {}, 12, 1, name)
    assert whole(place) == 12


def test_permission_lost_in_mid_run_ends_the_run_and_keeps_what_is_done(
    disk: tuple[Path, Mount], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, mount = disk
    mount("remount,size=1m")
    with pytest.raises(StoreLost, match=LOST.format("Read-only file system", "2")):
        drive(monkeypatch, place, {"3": "lose permission"}, 12, 1)
    assert whole(place) == 2
    mount("remount,rw,size=1m")
    monkeypatch.setattr(claims, "LOOKS", 1)  # what the first could not give free is its own, and this process is alive
    drive(monkeypatch, place, {}, 12, 1)
    assert whole(place) == 12


@pytest.mark.parametrize(("number", "lasts"), [(28, True), (30, True), (13, True), (5, False), (116, False)])
def test_a_worker_says_whether_the_store_takes_nothing_more(
    number: int, lasts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Store, "publish", refuse)
    work = Work(str(tmp_path), {}, "tests.schedulers.fakes:run_pack", "builtins:dict")
    (outcomes, _), (pack,) = work(packs(2, 2)[0]), packs(2, 2)
    assert [outcome.key for outcome in outcomes] == [key for key, _ in pack]
    assert {outcome.lost for outcome in outcomes} == {True}
    assert {outcome.unwritten for outcome in outcomes} == {os.strerror(number) if lasts else ""}
