"""One transfer over HTTP into a partial file, which a later one may go on with."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, TypeAlias

from bench.errors import BenchError

AGENT = "noisy-prompt-bench"
CHUNK = 1 << 18
PARTIAL, PARTIAL_RESPONSE, UNSATISFIABLE = ".part", 206, 416
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that another try may not get
FULL = (errno.ENOSPC, errno.EDQUOT)

Report: TypeAlias = Callable[[int, int | None], None]


class Refused(Exception):
    """This mirror does not have the file; another may."""


class Interrupted(Exception):
    """A transfer that did not reach its end; another try may.

    Attributes:
        wait: seconds that the server asks for, or None.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Origin:
    """Where the bytes of a partial file came from.

    Attributes:
        url: as it was asked for.
        validator: strong ETag or date by which the server tells a changed file, or empty.
        etag: as sent, also a weak one.
        total: bytes of the whole file, or None where the server did not say.
    """

    url: str
    validator: str
    etag: str
    total: int | None

    @classmethod
    def of(cls, url: str, headers: Message, total: int | None) -> Origin:
        """What the headers of an answer say."""
        etag = headers.get("ETag", "")
        strong = etag if etag and not etag.startswith("W/") else ""
        return cls(url, strong or headers.get("Last-Modified", ""), etag, total)


class Part:
    """The partial file NAME.part of a download, and beside it what is known of its origin."""

    def __init__(self, final: Path) -> None:
        self.file = final.with_name(final.name + PARTIAL)
        self._note = final.with_name(f"{final.name}{PARTIAL}.json")

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.file.stat().st_size if self.file.exists() else 0

    @property
    def origin(self) -> Origin | None:
        """Of the bytes so far; None where nothing is known."""
        try:
            return Origin(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def begin(self, origin: Origin) -> None:
        """Empty the file and note the origin of what will be in it."""
        self.drop()
        partial = self._note.with_name(self._note.name + ".tmp")
        partial.write_text(json.dumps(asdict(origin)), encoding="utf-8")
        partial.replace(self._note)

    def drop(self) -> None:
        """Remove the file and its note."""
        self.file.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def publish(self, final: Path) -> None:
        """Give the whole file its name."""
        os.replace(self.file, final)  # noqa: PTH105 - one call that replaces everywhere
        self._note.unlink(missing_ok=True)

    def offset(self, url: str, hashed: bool) -> int:
        """From which byte to go on at `url`: without a hash only where the server can say that it is the same file."""
        origin = self.origin
        if origin is None or not (hashed or (origin.url == url and origin.validator)):
            return 0
        return self.size


def transfer(url: str, part: Part, hashed: bool, timeout: float, report: Report) -> bool:
    """Bring the part to its end from one URL, going on where it stands if it may.

    Args:
        url: http, https or file.
        part: where the bytes go.
        hashed: whether the whole file's hash is known, so that a mixture of two files would be found out.
        timeout: seconds without a single byte after which the transfer counts as stalled.
        report: called with the bytes so far and the whole number, if that is known.

    Returns:
        Whether bytes of an earlier transfer were kept.

    Raises:
        Refused: the server does not have the file.
        Interrupted: the transfer did not reach its end.
        BenchError: the disk is full or cannot be written.
    """
    offset = part.offset(url, hashed)
    try:
        with _asked(url, part.origin if offset else None, offset, timeout) as response:
            kept, total = _begun(url, response, part, offset)
            _copied(response, part, total, report)
            return kept
    except urllib.error.HTTPError as error:
        with error:
            if error.code == UNSATISFIABLE and offset:
                return _at_the_end(error, part, offset)
            reason = f"answered {error.code} {error.reason}"
            if error.code in PASSING:
                raise Interrupted(reason, _seconds(error.headers.get("Retry-After", ""))) from error
            raise Refused(reason) from error
    except urllib.error.URLError as error:
        unknown = isinstance(error.reason, socket.gaierror) and error.reason.errno == socket.EAI_NONAME
        if unknown or url.startswith("file://"):
            raise Refused(_reason(error.reason)) from error
        raise Interrupted(_reason(error.reason)) from error
    except (OSError, HTTPException) as error:
        raise Interrupted(_reason(error)) from error


def _asked(url: str, origin: Origin | None, offset: int, timeout: float) -> Any:
    if not url.startswith(("http://", "https://", "file://")):
        raise Refused("is no http, https or file address")
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if origin is not None and origin.url == url and origin.validator:
            headers["If-Range"] = origin.validator
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked above
    return urllib.request.urlopen(request, timeout=timeout)  # noqa: S310


def _begun(url: str, response: Any, part: Part, offset: int) -> tuple[bool, int | None]:
    """Whether the answer goes on with what is there, else everything starts anew; and the size of the whole."""
    headers = response.headers
    if headers.get_content_type() == "text/html" and not url.endswith((".html", ".htm")):
        raise Refused("answered with a web page instead of the file")
    if response.status == PARTIAL_RESPONSE and offset:
        start, total = _range(headers.get("Content-Range", ""))
        origin, now = part.origin, Origin.of(url, headers, total)
        assert origin is not None  # noqa: S101 - there is no offset without one
        same = origin.url != url or not origin.etag or not now.etag or origin.etag == now.etag
        if start != offset or not same or (origin.total is not None and total not in (None, origin.total)):
            part.drop()
            raise Interrupted("the file has changed since the last try")
        return True, total or origin.total
    length = headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else None
    try:
        part.begin(Origin.of(url, headers, total))
    except OSError as error:
        raise _unwritable(part, error) from error
    return False, total


def _copied(response: Any, part: Part, total: int | None, report: Report) -> None:
    done = part.size
    free = shutil.disk_usage(part.file.parent).free
    if total is not None and total - done > free:
        raise BenchError(
            f'"{part.file.parent}" has {free:,} bytes of room, and {total - done:,} of {part.file.stem} are to come; '
            "make room or name another folder."
        )
    report(done, total)
    with _opened(part) as out:
        while chunk := response.read1(CHUNK):
            _written(out, chunk, part)
            done += len(chunk)
            report(done, total)
    if total is not None and done < total:
        raise Interrupted(f"ended after {done:,} of {total:,} bytes")


def _opened(part: Part) -> IO[bytes]:
    try:
        return part.file.open("ab", buffering=0)
    except OSError as error:
        raise _unwritable(part, error) from error


def _written(out: IO[bytes], chunk: bytes, part: Part) -> None:
    try:
        rest = memoryview(chunk)
        while rest:
            rest = rest[out.write(rest) :]
    except OSError as error:
        raise _unwritable(part, error) from error


def _unwritable(part: Part, error: OSError) -> BenchError:
    if error.errno in FULL:
        return BenchError(
            f'the disk is full: "{part.file}" has {part.size:,} bytes so far; make room, and the same command goes on '
            "from there."
        )
    return BenchError(f'"{part.file}" cannot be written: {error.strerror}.')


def _at_the_end(error: urllib.error.HTTPError, part: Part, offset: int) -> bool:
    """What to make of an answer that nothing lies behind the part's last byte: it is whole, or of another file."""
    if _range(error.headers.get("Content-Range", ""))[1] == offset:
        return True
    part.drop()
    raise Interrupted("the file has changed since the last try")


def _range(text: str) -> tuple[int | None, int | None]:
    """First byte and size of the whole of a Content-Range header, each None where it is not told."""
    span, _, total = text.removeprefix("bytes ").partition("/")
    start = span.partition("-")[0]
    return int(start) if start.isdigit() else None, int(total) if total.isdigit() else None


def _seconds(text: str) -> float | None:
    return float(text) if text.isdigit() else None


def _reason(error: Any) -> str:
    if isinstance(error, TimeoutError):
        return "sent nothing for too long"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return " ".join(str(error).split()) or type(error).__name__
