"""Whole files: there or not, and nothing beside them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.files import LocalFiles, open_folder, temporary_name, write_whole


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


Lie = Callable[[Any, Any], None]


def done_and_denied(number: int) -> Callable[[Lie], Lie]:
    """What a network file system says of a request that it has carried out, and whose answer was lost."""

    def lies(true: Lie) -> Lie:
        def lie(source: Any, target: Any) -> None:
            true(source, target)
            raise OSError(number, os.strerror(number))

        return lie

    return lies


def forgetful(true: Lie) -> Lie:
    def lie(source: Any, target: Any) -> None:
        true(source, target)
        Path(target).write_bytes(b"")

    return lie


def refusing(number: int) -> Callable[[Lie], Lie]:
    def lies(_: Lie) -> Lie:
        def lie(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        return lie

    return lies


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOENT, errno.EIO])
def test_a_rename_that_is_done_and_denied_is_done(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = LocalFiles(tmp_path)
    files.write("a", b"old", replace=True)
    monkeypatch.setattr(Path, "replace", done_and_denied(number)(Path.replace))
    assert files.write("a", b"new", replace=True)
    assert (files.read("a"), files.names("")) == (b"new", ["a"])


@pytest.mark.parametrize("number", [errno.EEXIST, errno.ESTALE])
def test_a_link_that_is_done_and_denied_is_done(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = LocalFiles(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", done_and_denied(number)(os.link))
        assert files.write("a", b"one", replace=False)
        assert files.create("b", b"claim")
    assert not files.write("a", b"two", replace=False)
    assert not files.create("b", b"of another")
    assert (files.read("a"), files.read("b"), files.names("")) == (b"one", b"claim", ["a", "b"])


@pytest.mark.parametrize(
    ("lies", "number", "kept"),
    [(refusing(errno.EXDEV), errno.EXDEV, b"old"), (refusing(errno.ESTALE), errno.ESTALE, b"old"),
     (forgetful, errno.EIO, b"")],
    ids=["another disk", "stale", "lost"],
)  # fmt: skip
def test_a_rename_that_is_not_done_is_an_error(
    lies: Callable[[Lie], Lie], number: int, kept: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = LocalFiles(tmp_path)
    files.write("a", b"old", replace=True)
    monkeypatch.setattr(Path, "replace", lies(Path.replace))
    with pytest.raises(OSError, match=r"^\[Errno") as told:
        files.write("a", b"new", replace=True)
    assert told.value.errno == number
    assert (files.read("a"), files.names("")) == (kept, ["a"])


def test_what_a_killed_process_left_is_removed_at_once_and_nothing_of_one_that_runs(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom bench.files import LocalFiles, temporary_name\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "LocalFiles(Path(sys.argv[1])).write('file', b'half', replace=True)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    [half] = tmp_path.iterdir()
    mine, foreign = tmp_path / temporary_name(), tmp_path / ".0123-another host-12-345.0.tmp"
    for file in (mine, foreign):
        file.write_text("")
    LocalFiles(tmp_path).prepare()
    assert not half.exists()
    assert {*tmp_path.iterdir()} == {mine, foreign}, "what cannot be seen from here is left until it is old"
    for file in (mine, foreign):
        os.utime(file, (0, 0))
    LocalFiles(tmp_path).prepare()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["local", "memory"])
def test_many_files_are_read_in_their_order_and_an_error_is_of_its_file_alone(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = open_folder(str(tmp_path) if place == "local" else f"memory://{tmp_path.name}[1]")
    for name in ("a", "large", "b"):
        files.write(name, name.encode(), replace=True)
    assert files.read_many([]) == []
    assert files.read_many(["b", "none", "a", "b"]) == [b"b", None, b"a", b"b"]
    for module in ("bench.files", "bench.url_files"):
        monkeypatch.setattr(f"{module}.MOST_BYTES", 3, raising=False)
    first, error, last = files.read_many(["b", "large", "a"])
    assert (first, last) == (b"b", b"a")
    assert isinstance(error, OSError)
    assert error.strerror == "it has 5 bytes, more than any file of a store"
