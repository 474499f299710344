"""What stands for images in files: digests and broken files, computed once and remembered."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.contracts.dataset import SplitName
from bench.data.files.digests import SIZES_ONLY, broken, listing_digest
from bench.errors import BenchError
from bench.images.decode import FileImages

NAMES = ["a/0.bin", "a/1.bin", "b/0.bin"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(folder))
    return folder


def written(root: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def digest(root: Path, names: list[str] | None = None, labels: list[int] | None = None, limit: int = 100) -> str:
    names, labels = names or NAMES, labels or [0, 0, 1]
    parts: dict[SplitName, Any] = {
        "train": (names[:2], np.array(labels[:2])),
        "test": (names[2:], np.array(labels[2:])),
    }
    return listing_digest(root, parts, limit=limit)


def forbidden(*_: Any) -> Any:
    raise AssertionError("files are read again")


def test_a_copy_elsewhere_has_the_same_digest_and_every_change_another(tmp_path: Path) -> None:
    contents = {name: name.encode() * 3 for name in NAMES}
    root = written(tmp_path / "first", contents)
    first = digest(root)
    assert len(first) == 64
    assert digest(written(tmp_path / "copy", contents)) == first
    changed = {
        "content": digest(written(tmp_path / "content", {**contents, "a/1.bin": b"other"})),
        "label": digest(root, labels=[0, 1, 1]),
        "order": digest(root, [NAMES[1], NAMES[0], NAMES[2]]),
        "name": digest(written(tmp_path / "name", {"a/0.bin": b"x", "a/2.bin": contents["a/1.bin"], **contents}),
                       ["a/0.bin", "a/2.bin", "b/0.bin"]),
    }  # fmt: skip
    assert first not in changed.values()
    assert len(set(changed.values())) == len(changed)


@given(
    contents=st.lists(st.binary(max_size=8), min_size=3, max_size=3), other=st.binary(max_size=8), at=st.integers(0, 2)
)
@settings(max_examples=15, deadline=None)
def test_the_digest_depends_on_bytes_alone(
    contents: list[bytes], other: bytes, at: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one = written(tmp_path_factory.mktemp("one"), dict(zip(NAMES, contents, strict=True)))
    two = written(
        tmp_path_factory.mktemp("two"), dict(zip(NAMES, [*contents[:at], other, *contents[at + 1 :]], strict=True))
    )
    assert (digest(one) == digest(two)) == (contents[at] == other)


def test_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = written(tmp_path, dict.fromkeys(NAMES, b"abc"))
    first = digest(root)
    monkeypatch.setattr(hashlib, "file_digest", forbidden)
    assert digest(root) == first
    assert digest(root, labels=[0, 1, 2]) != first  # another question about the same files
    os.utime(root / "a/0.bin", ns=(1, 1))
    with pytest.raises(AssertionError, match="read again"):
        digest(root)


def test_a_changed_file_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    root = written(tmp_path, dict.fromkeys(NAMES, b"abc"))
    first = digest(root)
    (root / "b/0.bin").write_bytes(b"abd")
    os.utime(root / "b/0.bin", ns=(5, 5))
    assert digest(root) != first


def test_two_folders_with_the_same_stamps_are_not_mixed_up(tmp_path: Path) -> None:
    """Archives often set one time for all files, so names, sizes and times may agree where contents do not."""
    digests = []
    for name, letter in (("one", b"a"), ("two", b"b")):
        root = written(tmp_path / name, dict.fromkeys(NAMES, letter * 3))
        for file in NAMES:
            os.utime(root / file, ns=(7, 7))
        digests.append(digest(root))
    assert digests[0] != digests[1]


def test_above_the_limit_sizes_stand_for_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashlib, "file_digest", forbidden)
    root = written(tmp_path / "one", dict.fromkeys(NAMES, b"abc"))
    first = digest(root, limit=2)
    assert first.startswith(SIZES_ONLY)
    assert digest(written(tmp_path / "two", dict.fromkeys(NAMES, b"xyz")), limit=2) == first
    assert digest(written(tmp_path / "three", dict.fromkeys(NAMES, b"abcd")), limit=2) != first


@pytest.mark.parametrize("damage", ["no folder", "not JSON"])
def test_a_cache_that_cannot_be_used_costs_only_time(damage: str, tmp_path: Path, cache: Path) -> None:
    root = written(tmp_path, dict.fromkeys(NAMES, b"abc"))
    if damage == "no folder":
        (cache / "digests").write_text("in the way")
        assert digest(root) == digest(root)
        return
    first = digest(root)
    for file in (cache / "digests").iterdir():
        file.write_text("{")
    assert digest(root) == first
    assert not list((cache / "digests").glob("*.tmp"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    root = written(tmp_path, dict.fromkeys(NAMES[:2], b"abc"))
    for ask in (lambda: digest(root), lambda: broken(root, NAMES)):
        with pytest.raises(BenchError, match=r"b/0\.bin.*No such file"):
            ask()


def test_broken_images_are_found_once_in_the_order_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{i:03d}.jpg" for i in range(300)]  # more than one thread's share
    rng = np.random.default_rng(0)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name)
    whole = (tmp_path / names[0]).read_bytes()
    for name, content in ((names[290], b""), (names[3], whole[: len(whole) // 2]), (names[40], b"no image")):
        (tmp_path / name).write_bytes(content)
    assert broken(tmp_path, names) == [names[3], names[40], names[290]]
    with monkeypatch.context() as patched:
        patched.setattr(Image, "open", forbidden)
        assert broken(tmp_path, names) == [names[3], names[40], names[290]]
    images = FileImages(tmp_path, names)
    for name in (names[3], names[40], names[290]):
        with pytest.raises(BenchError, match=name) as error:
            images[names.index(name)]
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16", "LA"])
def test_every_mode_is_shown_in_colour(mode: str, tmp_path: Path) -> None:
    image = Image.new("L", (4, 4), 200).convert("RGB")
    image = Image.new("I;16", (4, 4), 3) if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "x.tif")
    assert FileImages(tmp_path, ["x.tif"])[0].mode == "RGB"


def test_a_palette_with_transparency_warns_of_nothing(tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    image = Image.fromarray(pixels).convert("RGB").quantize(16)
    image.save(tmp_path / "x.png", transparency=bytes(range(16)))
    shown = np.asarray(FileImages(tmp_path, ["x.png"])[0])
    assert (shown == np.asarray(image.convert("RGB"))).all()


def test_a_damaged_memo_is_computed_anew(tmp_path: Path, cache: Path) -> None:
    root = written(tmp_path / "root", {name: name.encode() for name in NAMES})
    first = digest(root)
    memos = {file: file.read_bytes() for file in (cache / "digests").iterdir()}
    for damaged in (b"5", b"[1, 2]", b"[", b'{"a": []}'):
        for memo in memos:
            memo.write_bytes(damaged)
        assert digest(root) == first
        assert {file: file.read_bytes() for file in memos} == memos
