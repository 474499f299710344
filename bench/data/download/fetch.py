"""Fetch a file from one of several mirrors: resumed after a break, checked, and only then given its name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from bench.data.catalogue import Download
from bench.data.download.transfer import PARTIAL, Interrupted, PartialFile, Refused, Report, transfer_file
from bench.errors import BenchError

LOCK: Final = ".lock.tmp"
DRIVE: Final = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com")
PAGE: Final = (b"<!doctype html", b"<html")

Note: TypeAlias = Callable[[str], None]


class FetchFailed(BenchError):
    """Failure of all mirrors of a file, with what each did and what to do by hand."""


@dataclass(frozen=True)
class Patience:
    """Limits on tries and waits.

    Attributes:
        tries: of one mirror in a row that bring it no further.
        stalled: seconds without a single byte after which a try is over.
        first_wait: seconds between the first two tries; doubled from try to try.
        longest_wait: the most of them, also where a server asks for more.
        sleep: waits so many seconds.
    """

    tries: int = 4
    stalled: float = 30.0
    first_wait: float = 1.0
    longest_wait: float = 60.0
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Fetched:
    """File in its place.

    Attributes:
        file: its path.
        sha256: of its content.
        url: the mirror it came from, or empty where it was there before.
    """

    file: Path
    sha256: str
    url: str = ""


def quiet(*_: object) -> None:
    """Report nothing."""


def fetch_file(
    download: Download, folder: Path, patience: Patience | None = None, report: Report = quiet, note: Note = quiet
) -> Fetched:
    """Fetch a file, unless it is there.

    It arrives as NAME.part, which a later call resumes, and gets its name once it is whole and checked: by sha256, else
    md5, else size; where none of these is known, a note says so.

    Args:
        download: name, mirrors and what is known of the content.
        folder: where the file goes; created if missing.
        patience: how long to try.
        report: called with the bytes so far and the whole number, None where unknown.
        note: called with what a user should know of it, in a sentence.

    Raises:
        FetchFailed: no mirror gave it.
        BenchError: what is there is another file, or the disk is full or cannot be written.
    """
    final = folder / download.name
    with locked(final.parent, note):
        if final.exists():
            if problem := mismatch(download, final):
                raise BenchError(f'"{final}" is not the expected file ({problem}); remove it and fetch it again.')
            return Fetched(final, _sha256(download, final))
        part, tried = PartialFile(final), []
        for url in download.urls:
            try:
                _from_mirror(url, download, part, patience or Patience(), report)
            except Refused as reason:
                tried.append(f"{url}: {reason}{_drive(url, str(reason))}")
                continue
            sha256 = _sha256(download, part.file)
            if not (download.sha256 or download.md5 or download.bytes):
                note(f"{download.name} cannot be checked, as no digest or size is known; its sha256 is {sha256}.")
            part.publish(final)
            return Fetched(final, sha256, url)
    raise FetchFailed(by_hand(download, folder, tried))


@contextmanager
def locked(folder: Path, note: Note = quiet) -> Iterator[None]:
    """Hold the lock of a data set's folder, waiting for other processes. The system frees it when its holder dies.

    Raises:
        BenchError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, is_singleton=True)  # one object, so that a holder may ask again
        try:
            lock.acquire(timeout=0)
        except Timeout:
            note(f'another process is working in "{folder}"; waiting for it.')
            lock.acquire()
    except OSError as error:
        raise BenchError(f'the folder "{folder}" cannot be written: {error.strerror}; name another.') from error
    try:
        yield
    finally:
        lock.release()


def mismatch(download: Download, file: Path) -> str:
    """Compare a file with the strongest check that is known. Returns how it differs, or an empty text."""
    import pooch

    for name in ("sha256", "md5"):
        wanted = getattr(download, name).lower()
        if wanted:
            found = pooch.file_hash(file, name)
            return "" if found == wanted else f"{name} {found}, expected {wanted}"
    size = file.stat().st_size
    return f"{size:,} bytes, expected {download.bytes:,}" if download.bytes not in (0, size) else ""


def _sha256(download: Download, file: Path) -> str:
    """Return the digest of a file that `mismatch` has passed. It is hashed again only after another check."""
    import pooch

    return download.sha256.lower() or str(pooch.file_hash(file))


def _from_mirror(url: str, download: Download, part: PartialFile, patience: Patience, report: Report) -> None:
    """Complete a partial file from one mirror and check it.

    A wrong part may be a mixture of two versions where it was put together from several transfers, or cut short where
    the server did not say how long it is, so the same mirror is then asked once more for the whole.
    """
    hashed = bool(download.sha256 or download.md5)
    for again in (True, False):
        resumed = _persistent(url, part, hashed, patience, report)
        problem = _page(part.file) or mismatch(download, part.file)
        if not problem:
            return
        doubtful = resumed or part.origin is None or part.origin.total is None
        part.drop()
        if not (doubtful and again):
            break
    raise Refused(f"sent another content ({problem})")


def _persistent(url: str, part: PartialFile, hashed: bool, patience: Patience, report: Report) -> bool:
    """Repeat transfers until the part is whole or several in a row gained nothing. Returns whether it was resumed."""
    left, wait, furthest = patience.tries, patience.first_wait, 0
    while True:
        try:
            return transfer_file(url, part, hashed, patience.stalled, report)
        except Interrupted as reason:
            origin = part.origin
            gain = 0 if origin is None or origin.total is None else origin.total // 100  # a step worth waiting for
            further = part.size > furthest + gain
            left, wait = (patience.tries, patience.first_wait) if further else (left - 1, wait)
            furthest = max(furthest, part.size)
            if left == 0:
                raise Refused(f"{reason}, {patience.tries} times in a row") from reason
            patience.sleep(min(reason.wait or wait, patience.longest_wait))
            wait *= 2


def _page(file: Path) -> str:
    with file.open("rb") as stream:
        start = stream.read(512)
    if not start:
        return "an empty file"
    wanted = file.name.removesuffix(PARTIAL).endswith((".html", ".htm"))
    return "a web page instead of the file" if start.lstrip().lower().startswith(PAGE) and not wanted else ""


def _drive(url: str, reason: str) -> str:
    page = "web page" in reason and urlsplit(url).hostname in DRIVE
    return "; Google Drive gives this file to browsers only" if page else ""


def by_hand(download: Download, folder: Path, tried: Sequence[str] = ()) -> str:
    """Explain what to do where no mirror gave the file; `tried` is what each of them did."""
    final = folder / download.name
    manual = download.manual.rstrip(".") or "fetch it by hand" + (f" from {download.urls[0]}" if download.urls else "")
    if not tried:
        return f'{download.name} must be fetched by hand: {manual}; put it at "{final}".'
    return f'{download.name} could not be fetched ({"; ".join(tried)}); {manual}, and put it at "{final}".'
