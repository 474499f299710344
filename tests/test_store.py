from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from bench.cell import Record
from bench.errors import BenchError
from bench.files import LocalFiles
from bench.store import Store
from tests.schedulers.fakes import VERSIONS, cell, record

CELL = cell()
KEY = CELL.key(VERSIONS)
DONE = record(KEY, CELL)
FAILED = record(KEY, CELL, status="failed", reason="it broke", accuracy={}, curve={})
ARRAYS = {"observed": np.arange(4), "wrong": np.array([True, False]), "losses": np.ones((2, 3), dtype=np.float32).T}


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path / "new" / "store" if request.param == "folder" else f"memory://{tmp_path.name}/store")


def test_a_record_and_its_sidecar_come_back_as_they_were(store: Store) -> None:
    assert not store.exists()
    assert store.publish(DONE, ARRAYS)
    assert store.read(KEY) == DONE
    assert store.keys() == [KEY]
    assert store.statuses() == {KEY: "done"}
    back = store.sidecar(KEY)
    for name, array in ARRAYS.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
    assert not store.files.names(".tmp") or store.files.names(".tmp") == [".lock.tmp"]


def test_a_done_record_is_never_replaced(store: Store) -> None:
    store.publish(DONE, ARRAYS)
    assert not store.publish(record(KEY, CELL, accuracy={"last": 0.0}), {"observed": np.zeros(1)})
    assert not store.publish(FAILED, {})
    assert store.read(KEY) == DONE
    assert len(store.sidecar(KEY)) == len(ARRAYS)


def test_a_retried_cell_keeps_its_earlier_reasons(store: Store) -> None:
    store.publish(FAILED, {})
    store.publish(record(KEY, CELL, status="timeout", reason="too slow"), {})
    store.publish(DONE, {})
    kept = store.read(KEY)
    assert kept is not None
    assert kept.status == "done"
    assert kept.attempts == [
        {"status": "failed", "reason": "it broke"},
        {"status": "timeout", "reason": "too slow"},
    ]


def test_an_absent_key_or_folder_is_no_record(store: Store) -> None:
    assert store.read(KEY) is None
    assert store.keys() == []
    assert list(store.records()) == []
    assert store.sidecar(KEY) == {}
    assert store.problems == {}


@pytest.mark.parametrize(
    "content",
    [
        b"", b'{"schema": 1, "key"', b"[]", b"\xff\xfe", b'{"schema": 1}',
        DONE.to_json().replace('"schema": 1', '"schema": 99').encode(),
        DONE.to_json().replace(KEY, "0" * 16).encode(),
        DONE.to_json().replace('"done"', '"perfect"').encode(),
    ],
)  # fmt: skip
def test_a_torn_or_foreign_file_is_named_and_not_counted(store: Store, content: bytes) -> None:
    store.files.write(f"{KEY}.json", content, replace=True)
    assert store.statuses() == {}
    assert list(store.problems) == [KEY]
    assert f"{KEY}.json is not a record" in store.problems[KEY]
    assert "\n" not in store.problems[KEY]
    assert store.publish(DONE, {})  # its cell is to do, and takes the place
    assert store.statuses() == {KEY: "done"}
    assert store.problems == {}


def test_only_records_end_in_json(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.publish(DONE, ARRAYS)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock.tmp", f"{KEY}.json", f"{KEY}.safetensors"]
    assert json.loads((tmp_path / f"{KEY}.json").read_text())["schema"] == 1


def test_a_record_that_cannot_be_written_whole_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        Store(tmp_path).publish(DONE, {})
    assert [file.name for file in tmp_path.iterdir()] == [".lock.tmp"]


def test_without_hard_links_a_file_is_still_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    files = LocalFiles(tmp_path)
    assert files.write("a", b"first", replace=False)
    assert not files.write("a", b"second", replace=False)
    assert files.read("a") == b"first"
    assert files.names("") == ["a"]


def publish_many(root: str, value: float) -> None:
    for seed in range(20):
        one = cell(seed)
        Store(root).publish(record(one.key(VERSIONS), one, accuracy={"last": value}), {"value": np.full(1000, value)})


def test_two_writers_leave_whole_records_with_their_own_sidecars(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=publish_many, args=(str(tmp_path), value)) for value in (0.25, 0.75)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    store = Store(tmp_path)
    records = list(store.records())
    assert (len(records), store.problems) == (20, {})
    for one in records:
        assert set(store.sidecar(one.key)["value"]) == {one.accuracy["last"]}


def test_prepare_proves_that_the_store_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="is a file; expected a folder"):
        Store(tmp_path / "file")
    with pytest.raises(BenchError, match="cannot be written"):
        Store(tmp_path / "file" / "below").prepare()
    with pytest.raises(BenchError, match="cannot be opened"):
        Store("nosuchprotocol://bucket")
    Store(tmp_path / "a" / "b").prepare()
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_prepare_removes_what_killed_runs_left_an_hour_ago(tmp_path: Path) -> None:
    for name, age in (("old.tmp", 7200), ("new.tmp", 0), ("old.json", 7200)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    Store(tmp_path).prepare()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new.tmp", "old.json"]


def test_ten_thousand_records_are_read_in_seconds(tmp_path: Path) -> None:
    text = DONE.to_json()
    for number in range(1000):
        key = f"{number:016x}"
        (tmp_path / f"{key}.json").write_text(text.replace(KEY, key))
    start = time.perf_counter()
    assert len(list(Store(tmp_path).records())) == 1000
    assert time.perf_counter() - start < 2.0


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Record.to_json(record(KEY, CELL, accuracy={"last": float("nan")}))
