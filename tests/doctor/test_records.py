"""Stores that cannot be written, files that are no records, what dead runs left."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from bench.doctor import records
from bench.records.store import Store
from bench.url_files import STALE_SECONDS
from tests.doctor.subjects import problems, subject
from tests.reports.factory import cell, record


def filled(root: Path) -> Store:
    store = Store(root)
    for seed in (1, 2):
        store.publish(record(cell(seed=seed)), {})
    return store


def test_a_sound_store_and_one_that_is_not_there(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    for check in (records.access, records.content, records.leftovers):
        assert not problems(check(subject(tmp_path / "store")))
        assert not problems(check(subject(tmp_path / "none")))
    assert not (tmp_path / "none").exists()
    (told,) = records.content(subject(tmp_path / "store"))
    assert told.found == "2 of 2 read and whole"


def test_a_store_that_is_a_file_or_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file" in problems(records.access(subject(tmp_path / "file")))[0].found
    filled(tmp_path / "store")
    monkeypatch.setattr(records, "unwritable", lambda folder: "Permission denied")
    (wrong,) = problems(records.access(subject(tmp_path / "store")))
    assert wrong.mend == f"chmod u+rwx {tmp_path}/store"


def test_a_store_behind_a_url_is_probed_and_left_as_it_was() -> None:
    system = fsspec.filesystem("memory")
    system.makedirs("/doctor", exist_ok=True)
    try:
        assert not problems(records.access(subject("memory://doctor")))
        assert system.ls("/doctor") == []
    finally:
        system.rm("/doctor", recursive=True)


def test_what_dead_runs_left_behind_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    system = fsspec.filesystem("memory")
    system.pipe_file("/left/.abc.tmp", b"")
    real = type(system).modified
    old = timedelta(seconds=STALE_SECONDS + 60)

    def modified(self: object, path: str) -> datetime:
        return real(self, path) - (old if path.endswith("/.abc.tmp") else timedelta())

    monkeypatch.setattr(type(system), "modified", modified)
    (wrong,) = records.leftovers(subject("memory://left"))
    assert (wrong.found, wrong.mend) == ("1 temporary files or folders of dead runs", "bench run  # removes them")
    Store("memory://left").prepare()
    assert not system.exists("/left/.abc.tmp")


def test_files_that_are_no_records(tmp_path: Path) -> None:
    store = filled(tmp_path)
    for number in range(7):
        (tmp_path / f"{number}.json").write_text("{")
    found = list(records.content(subject(store.root)))
    assert len(problems(found)) == records.NAMED
    assert [one.found for one in found[-2:]] == ["and 2 more files that are no records", "2 of 9 read and whole"]


def test_reading_a_large_store_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    monkeypatch.setattr(records, "READ_SECONDS", -1.0)
    assert list(records.content(subject(tmp_path))) == []


def test_what_dead_runs_left(tmp_path: Path) -> None:
    filled(tmp_path)
    old = time.time() - 7200
    for name in (".abc.tmp", ".lock.tmp", ".young.tmp"):
        (tmp_path / name).touch()
    (tmp_path / ".state of ray.tmp").mkdir()
    for name in (".abc.tmp", ".lock.tmp", ".state of ray.tmp"):
        os.utime(tmp_path / name, (old, old))
    (tmp_path / "key.json.1.aside").touch()
    wrong, note = records.leftovers(subject(tmp_path))
    assert wrong.mend == f"rm -r {tmp_path}/.abc.tmp '{tmp_path}/.state of ray.tmp'"
    assert (note.state, note.found) == ("note", "1 files that were no records are kept as *.aside")
