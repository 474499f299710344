"""Digest image files, record how their headers say they are read, and find those that cannot be decoded.

Each takes a pass over all files, so all are remembered in the user's cache (or where NOISY_PROMPT_BENCH_CACHE says),
under a stamp of the listing: the folder, and of every file its name, size and time of change. A file that is touched is
looked at again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import PIL
from numpy.typing import NDArray
from pydantic import TypeAdapter

from bench.clip.place import cache_folder
from bench.contracts.dataset import SplitName
from bench.contracts.noise import Labels
from bench.errors import BenchError
from bench.files import file_sha256, write_whole
from bench.images.decode import TURNED, UNDECODABLE, read_image, reading
from bench.images.grey import SCALED

T = TypeVar("T")
LIMIT: Final = 100_000
SIZES_ONLY: Final = "sizes-"
_SHARE: Final = 256
_LISTED: Final = TypeAdapter(list[str])
_READING: Final = 1  # of `bench.images.decode.reading`; another one where it says something else of the same file
_JPEG: Final = (".jpg", ".jpeg", ".jpe", ".jfif")


def listing_digest(
    root: Path, parts: Mapping[SplitName, tuple[Sequence[str], Labels]], upright: bool = False, limit: int = LIMIT
) -> str:
    """Return the SHA-256 of names, labels and bytes of the files of all splits, 64 hexadecimal digits.

    Above `limit` files the sizes stand for the bytes, and the digest begins with "sizes-". How images are read enters
    where it is not Pillow's own conversion (`readings`).

    Args:
        root: the folder that the names are relative to.
        parts: of every split the N names, with forward slashes, and the labels [N].
        upright: whether images are turned as their EXIF orientation says.
        limit: files whose bytes are read.

    Raises:
        BenchError: a file is not there or cannot be read.
    """
    names = [name for split in parts for name in parts[split][0]]
    stats = _stats(root, names)
    state = hashlib.sha256()
    for split, (own, labels) in parts.items():
        state.update(f"{split} {len(own)}\n".encode() + labels.astype("<i8").tobytes())
    found = zip(names, readings(root, names, upright), strict=True)
    state.update("".join(f"{name}\tis {how}\n" for name, how in found if how).encode())
    if len(names) > limit:
        state.update("".join(f"{name}\t{size}\n" for name, (size, _) in zip(names, stats, strict=True)).encode())
        return SIZES_ONLY + state.hexdigest()
    contents = _remembered("contents", root, names, stats, lambda: _each(file_sha256, root, names))
    state.update("".join(f"{name}\t{content}\n" for name, content in zip(names, contents, strict=True)).encode())
    return state.hexdigest()


def stamps(root: Path, names: Sequence[str]) -> NDArray[np.int64]:
    """Return size and modification time in nanoseconds of every file, [N, 2].

    Raises:
        BenchError: a file is not there.
    """
    return np.array(_stats(root, names), np.int64).reshape(-1, 2)


def broken(root: Path, names: Sequence[str]) -> list[str]:
    """Return the names of files that cannot be decoded, in the order given. Every file is decoded once.

    Raises:
        BenchError: a file is not there.
    """
    return _remembered("broken", root, names, _stats(root, names), lambda: _undecodable(root, names))


def readings(root: Path, names: Sequence[str], upright: bool = False) -> list[str]:
    """Return from each image's header how it is read, see `bench.images.decode.reading`. Nothing is decoded.

    Args:
        root: the folder that the names are relative to.
        names: N paths.
        upright: whether images are turned as their EXIF orientation says; else JPEG holds nothing of interest.

    Raises:
        BenchError: a file is not there.
    """
    asked = [name for name in names if upright or not name.casefold().endswith(_JPEG)]
    if not asked:
        return [""] * len(names)
    what = f"readings-{_READING}-{'upright' if upright else 'plain'}-{PIL.__version__}"
    stats = _stats(root, asked)
    found = _remembered(what, root, asked, stats, lambda: _each(lambda file: reading(file, upright), root, asked))
    known = dict(zip(asked, found, strict=True))
    return [known.get(name, "") for name in names]


def reading_notes(found: Sequence[str]) -> list[str]:
    """Describe the images that are not read by Pillow's own conversion, from their `readings` [N]."""
    counts = {code: sum(code in how.split() for how in found) for code in (*SCALED, TURNED)}
    said = {code: f"greyscale {text}" for code, text in SCALED.items()}
    said[TURNED] = "turned upright, as EXIF says"
    return [
        f"{count:,} images are {said[code]}." if count > 1 else f"One image is {said[code]}."
        for code, count in counts.items()
        if count
    ]


def _stats(root: Path, names: Sequence[str]) -> list[tuple[int, int]]:
    """Return size and modification time, in nanoseconds, of every file."""

    def one(file: Path) -> tuple[int, int]:
        found = file.stat()
        return found.st_size, found.st_mtime_ns

    return _each(one, root, names)


def _undecodable(root: Path, names: Sequence[str]) -> list[str]:
    def fails(file: Path) -> bool:
        try:
            read_image(file)
        except UNDECODABLE:
            return True
        return False

    return [name for name, failed in zip(names, _each(fails, root, names), strict=True) if failed]


def _each(work: Callable[[Path], T], root: Path, names: Sequence[str]) -> list[T]:
    """Apply `work` to every file in threads, one per core. Reading and decoding release the interpreter."""

    def one(name: str) -> T:
        try:
            return work(root / name)
        except OSError as error:
            raise BenchError(f'image "{root / name}" cannot be read: {error.strerror}; restore it.') from error

    shares = (names[start : start + _SHARE] for start in range(0, len(names), _SHARE))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return [made for share in pool.map(lambda share: [one(name) for name in share], shares) for made in share]


def _remembered(
    what: str,
    root: Path,
    names: Sequence[str],
    stats: Sequence[tuple[int, int]],
    compute: Callable[[], list[str]],
) -> list[str]:
    """Return what `compute` returns, cached by listing; without a cache, computed."""
    listing = [[name, *stat] for name, stat in zip(names, stats, strict=True)]
    stamp = hashlib.sha256(json.dumps([what, str(root.resolve()), listing]).encode()).hexdigest()
    file = cache_folder() / "digests" / f"{what}-{stamp}.json"
    try:
        return _LISTED.validate_json(file.read_bytes())
    except (OSError, ValueError):
        value = compute()
    with suppress(OSError):  # a full or read-only cache costs another pass, nothing else
        write_whole(file, json.dumps(value))
    return value
