"""Claims of cells: who gets one, whose are given free, and when their owner counts as dead."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from bench import url_files
from bench.errors import BenchError
from bench.files import LocalFiles, open_folder
from bench.records.store import Store
from bench.schedulers.claims import CLAIM, DRIVER, FOLDER, LOOKS, NOBODY, Claims, Fleet, who
from bench.schedulers.driver import Driver
from bench.schedulers.work import Work
from bench.url_files import UrlFiles
from tests.schedulers.fakes import packs

FOREIGN = Driver("f" * 32, "node7", "elsewhere", 12, 34.0)
RARELY = 3600.0  # between beats: the tests look themselves


@pytest.fixture(params=["folder", "url"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}"


@pytest.fixture
def dead() -> Driver:
    """A driver of this machine that has ended."""
    program = (
        "import dataclasses, json; from bench.schedulers.driver import Driver; "
        "print(json.dumps(dataclasses.asdict(Driver.here())))"
    )
    import json

    return Driver(**json.loads(subprocess.check_output([sys.executable, "-c", program])))


def beat(root: str, driver: Driver, count: int) -> None:
    """What a driver on another host does every few seconds."""
    content = Claims(root, driver)._content + f"\n{count}\n".encode()
    open_folder(f"{root}/{FOLDER}").write(driver.id + DRIVER, content, replace=True)


def left(root: str) -> list[str]:
    return [name for name in open_folder(f"{root}/{FOLDER}").names("") if name]


def test_a_cell_has_one_owner(root: str) -> None:
    mine, theirs = Claims(root, Driver.here()), Claims(root, Driver.here())
    assert mine.take("k")
    assert mine.take("k"), "a worker of the same driver tries again"
    assert not theirs.take("k")
    assert mine.holder("k") == theirs.holder("k") == mine.owner
    theirs.release("k")
    assert mine.holder("k") == mine.owner, "only its owner gives it free"
    mine.release("k")
    assert theirs.holder("k") is None
    assert theirs.take("k")
    assert Store(root).keys() == [], "a claim is no record"


@pytest.mark.parametrize("days", [-3, 3])
def test_a_clock_that_jumps_takes_no_claim_away(root: str, days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs, now = Claims(root, Driver.here()), Claims(root, Driver.here()), time.time()
    assert mine.take("k")
    before = left(root)
    monkeypatch.setattr(time, "time", lambda: now + days * 24 * 3600)
    Store(root).prepare()
    assert not theirs.take("k")
    assert left(root) == before
    mine.release("k")
    assert theirs.take("k")


def test_of_many_that_try_at_a_time_one_has_it(tmp_path: Path) -> None:
    claims = [Claims(str(tmp_path), Driver.here()) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        for key in map(str, range(20)):
            assert sum(pool.map(lambda one, key=key: one.take(key), claims)) == 1


def test_where_there_are_no_hard_links_files_are_opened_exclusively(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    files = LocalFiles(tmp_path)
    assert [files.create("a", b"1"), files.create("a", b"2"), files.read("a")] == [True, False, b"1"]
    assert files.names("") == ["a"]


def test_claims_of_a_dead_process_of_this_machine_are_gone_at_the_start(root: str, dead: Driver) -> None:
    assert not dead.alive()
    Claims(root, dead).take("k")
    beat(root, dead, 5)
    notes: list[str] = []
    with Fleet(root, notes.append, RARELY) as fleet:
        assert fleet.claims.holder("k") is None
    assert notes == [f"another run ({who(dead)}) ended before its cells did; what it has not trained is run here."]
    assert left(root) == []


def test_one_that_died_meanwhile_is_buried_at_the_end(root: str, dead: Driver) -> None:
    with Fleet(root, pytest.fail, RARELY):
        beat(root, dead, 5)
    assert left(root) == []


def test_a_number_that_another_process_has_by_now_is_no_driver(root: str) -> None:
    here = Driver.here()
    assert here.alive()
    assert not replace(here, started=here.started - 1).alive()
    assert replace(here, started=here.started - 1, place="elsewhere").alive(), "it cannot be asked"


@pytest.mark.parametrize("file", [True, False], ids=["with its file", "without"])
def test_a_driver_of_another_host_is_dead_after_some_looks_at_a_stale_heartbeat(root: str, file: bool) -> None:
    Claims(root, FOREIGN).take("k")
    if file:
        beat(root, FOREIGN, 5)
    notes: list[str] = []
    with Fleet(root, notes.append, RARELY) as fleet:
        for _ in range(LOOKS - 1):
            fleet.look()
            assert fleet.claims.holder("k") == FOREIGN
            assert not fleet.claims.take("k")
        fleet.look()
        fleet.look()
        assert fleet.claims.take("k")
    assert [who(FOREIGN) in note for note in notes] == [True]
    assert left(root) == []


def test_a_driver_of_another_host_with_a_fresh_heartbeat_keeps_its_claims(root: str) -> None:
    Claims(root, FOREIGN).take("k")
    with Fleet(root, pytest.fail, RARELY) as fleet:
        for count in range(2 * LOOKS):
            if count % 3 == 0:
                beat(root, FOREIGN, count)
            fleet.look()
        assert not fleet.claims.take("k")
    assert left(root) == sorted([FOREIGN.id + DRIVER, "k" + CLAIM]), "what is not ours stays"


def test_looks_between_heartbeats_do_not_count(root: str) -> None:
    Claims(root, FOREIGN).take("k")
    with Fleet(root, pytest.fail, RARELY) as fleet:
        for _ in range(3 * LOOKS):
            fleet.look(timed=False)
        assert not fleet.claims.take("k")


def test_a_torn_claim_is_nobodys_and_not_for_ever(root: str) -> None:
    open_folder(f"{root}/{FOLDER}").create("k" + CLAIM, b"")
    with Fleet(root, lambda _: None, RARELY) as fleet:
        assert fleet.claims.holder("k") == NOBODY
        assert not fleet.claims.take("k")
        for _ in range(LOOKS + 1):
            fleet.look()
        assert fleet.claims.take("k")


def test_one_buries_and_if_it_dies_of_that_another_does(root: str, dead: Driver) -> None:
    digger = replace(FOREIGN, id="d" * 32)
    Claims(root, dead).take("k")
    Claims(root, digger).take(f"buried-{dead.id}")
    with Fleet(root, lambda _: None, RARELY) as fleet:
        assert fleet.claims.holder("k") == dead, "another buries it"
        for _ in range(LOOKS + 3):
            fleet.look()
        assert fleet.claims.holder("k") is None
    assert left(root) == []


def test_a_worker_leaves_what_another_has_and_what_another_has_done(tmp_path: Path) -> None:
    root, ((first, _), (second, _), (third, _)) = str(tmp_path), (pack := packs(3, 3)[0])
    work = Work(root, {}, "tests.schedulers.fakes:run_pack", "builtins:dict", owner=Driver.here())
    work(pack[1:2])
    Claims(root, FOREIGN).take(first)
    outcomes, spent = work(pack)
    assert [(one.key, one.elsewhere) for one in outcomes] == [(first, "held"), (second, "ended"), (third, "")]
    assert not spent
    assert sorted(Store(root).keys()) == sorted([second, third])
    assert left(root) == [first + CLAIM]


class Plain(MemoryFileSystem):
    """A file system that looks whether a file is there, and then writes it."""

    protocol = "plainmemory"


@pytest.fixture
def plain(tmp_path: Path) -> str:
    fsspec.register_implementation("plainmemory", Plain, clobber=True)
    return f"plainmemory://{tmp_path.name}"


def test_a_file_system_that_creates_nothing_exclusively_has_one_driver(plain: str, dead: Driver) -> None:
    assert not UrlFiles(plain).exclusive
    with pytest.raises(OSError, match="no file can be created exclusively there"):
        UrlFiles(plain).create("a", b"")
    refused = r'store "plainmemory://.* is in use by another run \(.*, process \d+\), and its file system cannot create'
    with Fleet(plain, pytest.fail, RARELY) as fleet:
        assert fleet.owner is None, "no cell is claimed"
        with pytest.raises(BenchError, match=refused), Fleet(plain, pytest.fail, 0.01):
            pytest.fail("both run")
    beat(plain, dead, 1)
    with Fleet(plain, pytest.fail, 0.01):
        pass
    beat(plain, FOREIGN, 1)
    with Fleet(plain, pytest.fail, 0.01):
        pass
    assert left(plain) == []


class Heedless(MemoryFileSystem):
    """An object store whose server does not heed the condition of a request, as some that speak S3."""

    protocol = "heedless"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> None:
        super().pipe_file(path, value, **more)


class Azure(MemoryFileSystem):
    """An object store whose package calls the condition otherwise, as adlfs does."""

    protocol = "azure"

    def pipe_file(self, path: str, value: bytes, overwrite: bool = True, **more: Any) -> None:
        super().pipe_file(path, value, mode="overwrite" if overwrite else "create", **more)


@pytest.mark.parametrize(("kind", "exclusive"), [(Heedless, False), (Azure, True)])
def test_whether_a_server_heeds_the_condition_is_tried(
    kind: type[MemoryFileSystem], exclusive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(url_files, "OBJECT_STORES", frozenset({kind.protocol}))
    fsspec.register_implementation(kind.protocol, kind, clobber=True)
    files = UrlFiles(f"{kind.protocol}://{tmp_path.name}")
    assert files.exclusive is exclusive
    assert files.names("") == []
    assert [files.write("a", b"1", replace=False), files.write("a", b"2", replace=False)] == [True, False]
    assert files.read("a") == b"1"


def test_one_that_ends_while_it_is_watched_makes_room(plain: str) -> None:
    beat(plain, FOREIGN, 1)
    fleet, looks = Fleet(plain, pytest.fail, 0.01), iter(range(100))
    real: Callable[[bool], None] = fleet.look

    def look(timed: bool = True) -> None:
        if next(looks) == 2:
            fleet._files.remove(FOREIGN.id + DRIVER)
        real(timed)

    fleet.look = look  # type: ignore[method-assign]
    with fleet:
        assert next(looks) < LOOKS


def test_a_driver_elsewhere_whose_heart_beats_is_refused_too(plain: str) -> None:
    fleet, looks = Fleet(plain, pytest.fail, 0.01), iter(range(1, 100))
    real: Callable[[bool], None] = fleet.look

    def look(timed: bool = True) -> None:
        beat(plain, FOREIGN, next(looks))
        real(timed)

    fleet.look = look  # type: ignore[method-assign]
    with pytest.raises(BenchError, match=r"in use by another run \(node7, process 12\)"), fleet:
        pytest.fail("both run")
    assert left(plain) == [FOREIGN.id + DRIVER]


def test_a_store_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("")
    with (
        pytest.raises(BenchError, match=r'store ".*" cannot be written: .*; change --store'),
        Fleet(str(tmp_path), pytest.fail),
    ):
        pytest.fail("runs")
