"""Whole files: there or not, and nothing beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.files import write_whole


def test_a_file_appears_with_its_folder_and_replaces_what_had_its_name(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "file.txt"
    write_whole(file, "ä\n")
    assert file.read_bytes() == b"\xc3\xa4\n"
    write_whole(file, b"other")
    assert file.read_bytes() == b"other"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_what_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_whole(tmp_path / "file", "old")
    monkeypatch.setattr(*((os, fails) if fails == "fsync" else (Path, fails)), full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "file", "new")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "file", "\ud800")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "old")]
