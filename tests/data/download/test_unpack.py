"""Archives: whole or not at all, and nothing outside the folder."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.data.download.unpack import unpack_archive
from bench.errors import BenchError
from tests.data.archives import listed, special, tar_of, zip_of

FILES = {"jpg/a/1.jpg": b"one", "jpg/a/2.jpg": b"two", "labels.txt": b"a"}


def written(folder: Path, content: bytes, name: str = "x.bin") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_bytes(content)
    return file


def refused(tmp_path: Path, content: bytes, target: Path | None = None) -> str:
    """The complaint; nothing is left but the archive, inside the folder and beside it."""
    archive = written(tmp_path / "in", content)
    before = listed(tmp_path)
    with pytest.raises(BenchError) as failure:
        unpack_archive(archive, target or tmp_path / "in" / "out")
    assert listed(tmp_path) == before
    assert sorted(entry.name for entry in (tmp_path / "in").iterdir()) == ["x.bin"]
    assert "\n" not in str(failure.value)
    return str(failure.value)


@pytest.mark.parametrize("content", [tar_of(FILES, "w"), tar_of(FILES), tar_of(FILES, "w:xz"), zip_of(FILES)])
def test_every_kind_of_archive_appears_whole(content: bytes, tmp_path: Path) -> None:
    archive = written(tmp_path, content)
    for _ in range(2):  # again changes nothing
        unpack_archive(archive, tmp_path / "deep" / "out")
        assert listed(tmp_path / "deep") == {f"out/{name}": content for name, content in FILES.items()}


def test_a_folder_that_is_there_keeps_the_rest_and_gets_whole_entries(tmp_path: Path) -> None:
    target = tmp_path / "out"
    (target / "jpg" / "old").mkdir(parents=True)
    (target / "mine.txt").write_text("mine")
    (target / ".jpg.tmp").mkdir()  # left by a killed run
    (target / ".out.tmp" / "half").mkdir(parents=True)
    unpack_archive(written(tmp_path, tar_of(FILES)), target)
    assert listed(target) == {**FILES, "mine.txt": b"mine"}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "x.bin"]
    assert sorted(entry.name for entry in target.iterdir()) == ["jpg", "labels.txt", "mine.txt"]


def test_a_folder_that_holds_the_whole_archive_can_be_left_out(tmp_path: Path) -> None:
    packed = {f"dtd/{name}": content for name, content in FILES.items()}
    mac = {"__MACOSX/x": b"", "._dtd": b""}
    unpack_archive(written(tmp_path, zip_of({**packed, **mac})), tmp_path / "a", "dtd")
    assert listed(tmp_path / "a") == FILES
    unpack_archive(written(tmp_path, tar_of(packed)), tmp_path / "dtd")
    assert listed(tmp_path / "dtd") == packed
    unpack_archive(written(tmp_path, tar_of(FILES)), tmp_path / "c", "dtd")
    assert listed(tmp_path / "c") == FILES


def test_archives_inside_are_unpacked_where_they_belong(tmp_path: Path) -> None:
    inner = {
        "caltech/101_ObjectCategories.tar.gz": tar_of({"101_ObjectCategories/ant/1.jpg": b"ant"}),
        "caltech/n01.tar": tar_of({"1.JPEG": b"1", "2.JPEG": b"2"}, "w"),
        "caltech/notes.gz": b"no archive of many files",
    }
    unpack_archive(written(tmp_path, zip_of(inner)), tmp_path / "caltech", "caltech")
    assert listed(tmp_path / "caltech") == {
        "101_ObjectCategories/ant/1.jpg": b"ant",
        "n01/1.JPEG": b"1",
        "n01/2.JPEG": b"2",
        "notes.gz": b"no archive of many files",
    }
    assert not list(tmp_path.rglob(".*"))


ESCAPES = ["/abs.txt", "../up.txt", "a/../../up.txt", "..", "C:\\x.txt", "a\\..\\..\\x.txt", "\\x.txt"]


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_a_path_that_leaves_the_folder(name: str, make: Any, tmp_path: Path) -> None:
    text = refused(tmp_path, make({"good.txt": b"good", name: b"bad"}))
    assert "leaves the folder; get it from another source" in text


@pytest.mark.parametrize(
    "members",
    [
        [special("link", tarfile.SYMTYPE, "/etc/passwd")],
        [special("link", tarfile.SYMTYPE, "../..")],
        [special("a", tarfile.SYMTYPE, "."), special("a/b", tarfile.SYMTYPE, "..")],
        [special("link", tarfile.LNKTYPE, "../x.bin")],
        [special("dev", tarfile.CHRTYPE)],
        [special("dev", tarfile.BLKTYPE)],
        [special("pipe", tarfile.FIFOTYPE)],
    ],
    ids=lambda members: members[0].name if members else "",
)
def test_links_out_of_the_folder_and_devices(members: list[tarfile.TarInfo], tmp_path: Path) -> None:
    content = tar_of({"good.txt": b"good", **{member.name: member for member in members}})
    assert "is refused: " in refused(tmp_path, content)


def test_a_link_in_a_zip(tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as packed:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
    (tmp_path / "y").mkdir()
    assert "neither a file nor a folder" in refused(tmp_path / "y", file.read_bytes())


def test_a_link_inside_is_kept(tmp_path: Path) -> None:
    content = tar_of({"jpg/1.jpg": b"one", "same.jpg": special("same.jpg", tarfile.SYMTYPE, "jpg/1.jpg")})
    unpack_archive(written(tmp_path, content), tmp_path / "out")
    assert (tmp_path / "out" / "same.jpg").read_bytes() == b"one"


def test_damaged_archives(tmp_path: Path) -> None:
    big = {"x/1": bytes(range(256)) * 400, "x/2": b"2" * 5000}
    packed, zipped = tar_of(big, "w"), zip_of(big)
    flipped = zipped.replace(b"\x01\x02\x03", b"\x01\x02\x04", 1)
    for number, (content, text) in enumerate([
        (packed[: len(packed) // 3], "damaged"), (tar_of(big)[:-40], "damaged"), (flipped, "damaged (Bad CRC"),
        (zipped[:-30], "neither a tar nor a zip"), (b"", "neither"), (b"<html>", "neither"), (tar_of({}), "is empty"),
    ]):  # fmt: skip
        (tmp_path / str(number)).mkdir()
        assert text in refused(tmp_path / str(number), content)


def test_a_bad_archive_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "in" / "out"
    unpack_archive(written(tmp_path / "in", tar_of(FILES)), target)
    archive = written(tmp_path / "in", tar_of({"jpg/new.jpg": b"new", "../up": b""}))
    with pytest.raises(BenchError):
        unpack_archive(archive, target)
    assert listed(target) == FILES
    assert sorted(entry.name for entry in (tmp_path / "in").iterdir()) == ["out", "x.bin"]


def test_a_full_disk_and_an_interruption_leave_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(tarfile.TarFile, "extractall", full)
        assert "the disk is full" in refused(tmp_path, tar_of(FILES))

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tarfile.TarFile, "extractall", interrupt)
        with pytest.raises(KeyboardInterrupt):
            unpack_archive(tmp_path / "in" / "x.bin", tmp_path / "in" / "out")
    assert [entry.name for entry in (tmp_path / "in").iterdir()] == ["x.bin"]


names = st.lists(st.sampled_from(["..", ".", "a", "b", "/", "c.txt"]), min_size=1, max_size=4).map("/".join)


@given(members=st.lists(names, min_size=1, max_size=4, unique=True), zipped=st.booleans())
@example(members=["."], zipped=True)
@settings(max_examples=60, deadline=None)
def test_whatever_the_names_nothing_is_written_outside(
    members: list[str], zipped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("any")
    content = (zip_of if zipped else tar_of)(dict.fromkeys(members, b"x"))
    archive = written(root / "in", content)
    try:
        unpack_archive(archive, root / "in" / "out")
    except BenchError:
        assert [entry.name for entry in (root / "in").iterdir()] == ["x.bin"]
    assert [entry.name for entry in root.iterdir()] == ["in"]
    assert {entry.name for entry in (root / "in").iterdir()} <= {"x.bin", "out"}
    shutil.rmtree(root)
