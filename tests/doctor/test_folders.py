"""Full disks, caches that cannot be written, entries of killed runs."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.doctor import folders
from tests.doctor.subjects import problems, subject


@pytest.mark.parametrize(("free", "files"), [(2**20, 10**6), (2**40, 5)])
def test_a_full_disk_says_where_else_to_write(
    free: int, files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    monkeypatch.setattr(folders, "free_files", lambda place: files)
    wrong = problems(folders.disks(subject(tmp_path / "a" / "store", cache=tmp_path / "cache")))
    assert [one.check for one in wrong] == ["disk of store", "disk of cache", "disk of temporary files"]
    assert str(tmp_path) in wrong[0].found
    assert wrong[0].mend == "bench run --store FOLDER"
    assert len(problems(folders.disks(subject("memory://store", cache=tmp_path)))) == 2


def test_a_file_system_that_counts_no_files_is_not_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda place: SimpleNamespace(f_files=0, f_favail=0))
    assert folders.free_files(tmp_path) is None


def test_the_size_of_a_cache_and_what_killed_runs_left(tmp_path: Path) -> None:
    (told,) = folders.cache(subject(cache=tmp_path / "none"))
    assert "does not exist yet" in told.found
    left = tmp_path / "features" / ".0123-train-abc.tmp"
    left.mkdir(parents=True)
    (left / "array").write_bytes(b"0" * 2048)
    told, note = folders.cache(subject(cache=tmp_path))
    assert told.found.startswith("2 KiB in ")
    assert note.state == "note"
    assert note.mend.startswith(f"rm -r {tmp_path}/features/.*.tmp")


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    (wrong,) = problems(folders.cache(subject(cache=tmp_path)))
    assert "Read-only" in wrong.found
    assert wrong.mend == "export NOISY_PROMPT_BENCH_CACHE=FOLDER"
