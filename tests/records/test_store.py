from __future__ import annotations

import gc
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.contracts.noise import Foreign, NoisyLabels, Sampled
from bench.errors import BenchError, text_of
from bench.files import LocalFiles
from bench.records.parts import Accuracy, Data, TrainingLabels
from bench.records.record import Record
from bench.records.store import Store
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
    back = store.outcomes(KEY)
    for name, array in ARRAYS.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
    assert not store.files.names(".tmp") or store.files.names(".tmp") == [".lock.tmp"]


def test_texts_that_no_file_takes_are_written_out(store: Store) -> None:
    failed = FAILED.model_copy(update={"reason": text_of(ValueError("bad \udcff \x1b[31m"))})
    notes = {"data": Data.model_construct(notes=["half of a \ud83d character"])}
    store.publish(failed.model_copy(update=notes), {})
    (read,) = store.records()
    assert read.reason == r"bad \udcff \x1b[31m"
    assert read.data.notes == [r"half of a \ud83d character"]


def test_a_done_record_is_never_replaced(store: Store) -> None:
    store.publish(DONE, ARRAYS)
    assert not store.publish(record(KEY, CELL, accuracy={"last": 0.0}), {"observed": np.zeros(1)})
    assert not store.publish(FAILED, {})
    assert store.read(KEY) == DONE
    assert len(store.outcomes(KEY)) == len(ARRAYS)


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
    assert store.outcomes(KEY) == {}
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
        assert set(store.outcomes(one.key)["value"]) == {one.accuracy.last}


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


def test_prepare_removes_a_folder_that_a_killed_driver_of_a_cluster_left(tmp_path: Path) -> None:
    old, new = tmp_path / ".88ba68d187e74ae3b8a763413a721ca3.tmp", tmp_path / ".0.tmp"
    for folder in (old, new):
        (folder / "_train" / "driver_artifacts").mkdir(parents=True)
        (folder / "_train" / "tuner.pkl").write_bytes(b"state")
    os.utime(old, (0, 0))
    Store(tmp_path).prepare()
    assert (old.exists(), new.exists()) == (False, True)


def test_ten_thousand_records_are_read_in_seconds(tmp_path: Path) -> None:
    text = DONE.to_json()
    for number in range(1000):
        key = f"{number:016x}"
        (tmp_path / f"{key}.json").write_text(text.replace(KEY, key))
    start = time.perf_counter()
    assert len(list(Store(tmp_path).records())) == 1000
    assert time.perf_counter() - start < 2.0


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite number"):
        record(KEY, CELL, accuracy={"last": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        Record.to_json(DONE.model_copy(update={"accuracy": Accuracy.model_construct(last=float("nan"))}))


NOT_OURS: dict[str, bytes] = {
    "newer": DONE.to_json().replace('"schema": 1', '"schema": 2, "invention": {}').encode(),
    "unknown field": DONE.to_json().replace('"schema": 1', '"schema": 1, "invention": {}').encode(),
    **{
        f"schema {text}": DONE.to_json().replace('"schema": 1,', f'"schema": {text},').encode()
        for text in ("0", "-1", "true", "null", '"1"')
    },
    "no schema": DONE.to_json().replace('"schema": 1,', "").encode(),
    "truth for a number": DONE.to_json().replace('"seed": 1', '"seed": true').encode(),
    "text for a number": DONE.to_json().replace('"seed": 1', '"seed": "1"').encode(),
    "another key": DONE.to_json().replace(KEY, "0" * 16).encode(),
    "cut short": DONE.to_json().encode()[:100],
    "empty": b"",
}


@pytest.mark.parametrize("what", NOT_OURS)
def test_what_is_no_record_of_ours_is_set_aside_and_never_written_over(store: Store, what: str) -> None:
    store.files.write(f"{KEY}.json", NOT_OURS[what], replace=True)
    store.files.write(f"{KEY}.safetensors", b"its own", replace=True)
    assert store.publish(DONE, ARRAYS)
    assert store.read(KEY) == DONE
    assert store.files.read(f"{KEY}.json.1.aside") == NOT_OURS[what]
    assert store.files.read(f"{KEY}.safetensors.1.aside") == b"its own"
    store.files.write(f"{KEY}.json", NOT_OURS[what], replace=True)
    store.read(KEY)
    assert store.set_aside(KEY) == f"{KEY}.json.2.aside"
    assert (store.keys(), store.problems) == ([], {})


def test_the_schema_is_told_before_fields_that_only_a_newer_version_knows(store: Store) -> None:
    store.files.write(f"{KEY}.json", NOT_OURS["newer"], replace=True)
    assert store.read(KEY) is None
    assert "schema 2 is newer than 1, which this version reads" in store.problems[KEY]


WRONG = {
    "accuracy NaN": ('"last": ', '"last": NaN, "x": '),
    "accuracy in percent": ('"last": ', '"last": 93.5, "x": '),
    "infinite curve": ('"memorized": [\n   ', '"memorized": [Infinity, '),
    "text for a number": ('"seconds": ', '"seconds": "fast", "x": '),
    "too large for a number": ('"seconds": ', '"seconds": 1e999, "x": '),
    "list for a mapping": ('"noise": {}', '"noise": []'),
    "number for a name": ('"noise": {}', '"noise": {"digest": 5}'),
    "names that are none": ('"data": {}', '"data": {"class_names": [1, 2]}'),
    "a digest that is none": ('"provenance": {}', '"provenance": {"sources": {"engine": null}}'),
    "an identity without options": ('"provenance": {}', '"provenance": {"resolved": {"noise": {"kind": "mask"}}}'),
    "a curve in percent": ('"memorized": [\n   ', '"memorized": [57.5, '),
    "a curve of other epochs": ('"memorized": [\n   ', '"memorized": [0.5, '),
}


@pytest.mark.parametrize("what", WRONG)
def test_numbers_and_types_that_no_run_writes_are_named_and_left_out(store: Store, what: str) -> None:
    old, new = WRONG[what]
    text = DONE.to_json()
    assert old in text
    store.files.write(f"{KEY}.json", text.replace(old, new, 1).encode(), replace=True)
    assert list(store.records()) == []
    assert f"{KEY}.json is not a record" in store.problems[KEY]


def test_other_records_are_read_where_one_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = Store(tmp_path), cell(2)
    key = other.key(VERSIONS)
    store.publish(record(key, other), {})
    for number, make in enumerate((os.mkfifo, os.mkdir, lambda path: Path(path).symlink_to("/dev/zero"))):
        make(tmp_path / f"{number:016d}.json")
    read = LocalFiles.read

    def refused(self: LocalFiles, name: str) -> bytes | None:
        if name == f"{KEY}.json":
            raise PermissionError(13, "Permission denied")
        return read(self, name)

    monkeypatch.setattr(LocalFiles, "read", refused)
    (tmp_path / f"{KEY}.json").write_text(DONE.to_json())
    assert [one.key for one in store.records()] == [key]
    assert len(store.problems) == 4
    assert all("it is no regular file" in text for name, text in store.problems.items() if name != KEY)
    assert "Permission denied" in store.problems[KEY]


def test_a_done_record_gives_way_to_a_rerun_of_other_code_and_is_kept_whole(store: Store) -> None:
    def by(code: str, last: float) -> Record:
        return record(KEY, CELL, accuracy={"last": last}, provenance={"sources": {"method": code}})

    store.publish(FAILED, {})
    store.publish(by("one", 0.25), ARRAYS)
    assert not store.publish(by("two", 0.5), {}), "without being asked for"
    assert not store.publish(by("one", 0.5), {}, rerun=True), "of the same code"
    assert store.publish(by("two", 0.5), {}, rerun=True)
    assert not store.publish(by("two", 0.75), {}, rerun=True), "it is of that code by now"
    found = store.read(KEY)
    assert found is not None
    assert found.accuracy == Accuracy(last=0.5)
    failed, done = found.attempts
    assert (failed["status"], done["status"], done["reason"]) == ("failed", "done", "")
    kept = Record.model_validate({**done["record"], "attempts": [failed]})
    assert kept.accuracy == Accuracy(last=0.25)
    assert store.outcomes(KEY) == {}, "what the earlier one left is none of the new one's"


def test_prompts_of_an_earlier_record_do_not_stay_beside_a_new_one(store: Store) -> None:
    kept = {**ARRAYS, "prompts": np.frombuffer(b"learned", np.uint8)}
    store.publish(record(KEY, CELL, provenance={"sources": {"method": "one"}}), kept)
    assert store.prompts(KEY) == b"learned"
    store.publish(record(KEY, CELL, provenance={"sources": {"method": "two"}}), ARRAYS)
    assert store.prompts(KEY) == b"learned", "a done record stays, with all that is beside it"
    store.publish(record(KEY, CELL, provenance={"sources": {"method": "two"}}), ARRAYS, rerun=True)
    assert store.prompts(KEY) is None
    assert store.outcomes(KEY).keys() == ARRAYS.keys()


def outcomes() -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """Of four samples of three classes, two evaluated epochs, fifty test images."""
    return {
        "positions": np.arange(4), "true": np.array([0, 1, 2, -1]), "observed": np.array([0, 1, 2, 0]),
        "visible": np.array([0, 2]), "losses": np.ones((2, 4), np.float32), "predictions": np.zeros((2, 4), np.int16),
        "unseen": np.array([1, 3]), "probabilities": np.full((2, 3), 1 / 3, np.float32),
        "selected": np.array([1, -1, 0, -1], np.int8), "foreign": np.array([-1, -1, -1, 7]),
        "test_confidence": np.linspace(0.4, 1, 50, dtype=np.float32), "test_predicted": np.zeros(50, np.int16),
        "test_correct": np.arange(50) % 3 > 0,
    }  # fmt: skip


def of_these(**changes: Any) -> Record:
    """The record of a run that left `outcomes`."""
    arrays = outcomes()
    noisy = NoisyLabels(arrays["true"], arrays["observed"], 3)
    sampled = Sampled(arrays["positions"], noisy, foreign=Foreign("letters", arrays["foreign"]))
    told = {
        "data": {"class_names": ["a", "b", "c"]}, "accuracy": {"last": float(arrays["test_correct"].mean())},
        "noise": {"digest": noisy.digest, "images_digest": sampled.images_digest, "foreign": "letters"},
    }  # fmt: skip
    return record(KEY, CELL, **{**told, **changes})


MISFITS = {
    "missing": ("observed", None),
    "too long": ("observed", np.zeros(5, np.int64)),
    "a class that is not there": ("observed", np.array([0, 1, 3, 0])),
    "not whole": ("predictions", np.zeros((2, 4), np.float32)),
    "not a number": ("losses", np.full((2, 4), np.nan, np.float32)),
    "of one epoch": ("losses", np.ones(4, np.float32)),
    "no such sample": ("visible", np.array([0, 4])),
    "no probability": ("probabilities", np.full((2, 3), 2.0, np.float32)),
    "of other classes": ("probabilities", np.full((2, 2), 0.5, np.float32)),
    "of other images": ("test_correct", np.ones(60, bool)),
    "of another run": ("test_correct", np.arange(50) % 3 > 1),
    "labels of another run": ("observed", np.array([0, 1, 2, 1])),
    "images of another run": ("positions", np.array([0, 2, 1, 3])),
}


@pytest.mark.parametrize("what", MISFITS)
def test_outcomes_that_are_not_of_the_record_are_named_and_left_out(store: Store, what: str) -> None:
    one = of_these()
    name, array = MISFITS[what]
    changed = {**outcomes(), name: array} if array is not None else {k: v for k, v in outcomes().items() if k != name}
    store.publish(one, changed)  # type: ignore[arg-type]
    assert store.outcomes_of([one])(KEY) == {}
    assert f"{KEY}.safetensors holds no outcomes of this record ({name} " in store.problems[KEY]


@pytest.mark.parametrize("told", [of_these().noise, TrainingLabels()])
def test_outcomes_of_the_record_are_all_there(store: Store, told: TrainingLabels) -> None:
    one = of_these(noise=told)
    store.publish(one, outcomes())
    assert store.outcomes_of([one])(KEY).keys() == outcomes().keys()
    assert store.problems == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 7, b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}", b"\x02" + bytes(7) + b"{]" + bytes(9)],
)
def test_a_sidecar_that_is_none_is_named_and_left_out(store: Store, content: bytes) -> None:
    store.publish(DONE, ARRAYS)
    store.files.write(f"{KEY}.safetensors", content, replace=True)
    assert store.outcomes(KEY) == {}
    assert store.outcomes_of([DONE])(KEY) == {}
    assert f"{KEY}.safetensors holds no outcomes of this record" in store.problems[KEY]


def test_collection_of_cycles_is_as_before_once_records_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "torn.json").write_text("{")
    for enabled in (False, True):
        (gc.enable if enabled else gc.disable)()
        try:
            assert list(store.records()) == []
            assert gc.isenabled() == enabled
        finally:
            gc.enable()
    assert list(store.problems) == ["torn"]
