"""Transfer a file over HTTP into a partial file that a later transfer can resume.

pooch asks, follows and copies (`pooch.HTTPDownloader`). It neither resumes nor looks at headers, and `pooch.retrieve`
drops what has come when a connection breaks, leaves a nameless file when it is killed, and replaces a user's own file.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel

from bench.errors import BenchError
from bench.files import write_whole

AGENT = "noisy-prompt-bench"
CHUNK = 1 << 15  # what a stalled transfer may lose
PARTIAL, PARTIAL_RESPONSE, UNSATISFIABLE = ".part", 206, 416
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that another try may not get
FULL = (errno.ENOSPC, errno.EDQUOT)

Report: TypeAlias = Callable[[int, int | None], None]


class Refused(Exception):
    """Mirror without the file; another may have it."""


class Interrupted(Exception):
    """Transfer that did not reach its end; another try may.

    Attributes:
        wait: seconds that the server asks for, or None.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class RemoteFile(BaseModel, frozen=True):
    """Headers that identify the version of a file on a server.

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
    def of(cls, url: str, headers: Mapping[str, str], total: int | None) -> RemoteFile:
        """Read the headers of an answer."""
        etag = headers.get("ETag", "")
        strong = "" if etag.startswith("W/") else etag
        return cls(url=url, validator=strong or headers.get("Last-Modified", ""), etag=etag, total=total)


class PartialFile:
    """Partial file NAME.part of a download, with a note beside it of the remote file that its bytes are of."""

    def __init__(self, final: Path) -> None:
        self.file = final.with_name(final.name + PARTIAL)
        self._note = final.with_name(f"{final.name}{PARTIAL}.json")

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.file.stat().st_size if self.file.exists() else 0

    @property
    def origin(self) -> RemoteFile | None:
        """Remote file of the bytes so far; None where nothing is known."""
        try:
            return RemoteFile.model_validate_json(self._note.read_bytes())
        except (OSError, ValueError):
            return None

    def begin(self, origin: RemoteFile) -> None:
        """Drop the bytes so far, and note the origin of those to come."""
        self.drop()
        write_whole(self._note, origin.model_dump_json())

    def open(self) -> IO[bytes]:
        """Open the file for appending."""
        return self.file.open("ab", buffering=0)

    def drop(self) -> None:
        """Remove the file and its note."""
        self.file.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def publish(self, final: Path) -> None:
        """Move the whole file to its name."""
        self.file.replace(final)
        self._note.unlink(missing_ok=True)

    def offset(self, url: str, hashed: bool) -> int:
        """Return the byte to resume from. Without a hash the server itself must vouch that the file is the same."""
        origin = self.origin
        if origin is None or not (hashed or (origin.url == url and origin.validator)):
            return 0
        return self.size


def transfer_file(url: str, part: PartialFile, hashed: bool, timeout: float, report: Report) -> bool:
    """Complete a partial file from one URL, resuming where possible.

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
    import requests

    body = _Body(url, part, part.offset(url, hashed), report)
    try:
        with body.opened:
            if url.startswith("file://"):
                _copy(body)
            else:
                _download(body, timeout)
    except requests.HTTPError as error:
        return _refused(error.response, part, body.offset)
    except (requests.RequestException, ValueError) as error:
        below = _below(error)
        unknown = isinstance(below, socket.gaierror) and below.errno == socket.EAI_NONAME
        raise (Refused if unknown or isinstance(error, ValueError) else Interrupted)(_reason(below)) from error
    except OSError as error:
        raise _unwritable(part, error) from error
    if body.total is not None and part.size < body.total:
        raise Interrupted(f"ended after {part.size:,} of {body.total:,} bytes")
    return body.resumed


class _Body:
    """Partial file as pooch writes to it, opened once the headers of the answer have been checked."""

    def __init__(self, url: str, part: PartialFile, offset: int, report: Report) -> None:
        self.url, self.part, self.offset, self.report = url, part, offset, report
        self.resumed = False
        self.total: int | None = None
        self.opened = ExitStack()

    def answered(self, answer: Any, **_: object) -> None:
        """Check an answer before its body is read, as a hook of requests."""
        self.opened.callback(answer.close)
        if answer.is_redirect or not answer.ok:
            return
        answer.raw.enforce_content_length = False  # else what came in front of a break is thrown away; counted here
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "text/html" and not self.url.endswith((".html", ".htm")):
            raise Refused("answered with a web page instead of the file")
        if answer.status_code == PARTIAL_RESPONSE and self.offset:
            self.resume(answer.headers)
        else:
            self.begin(answer.headers, _number(answer.headers.get("Content-Length", "")))

    def resume(self, headers: Mapping[str, str]) -> None:
        """Open the file at its end, if the headers are of the same remote file."""
        start, total = _range(headers)
        origin, now = self.part.origin, RemoteFile.of(self.url, headers, total)
        assert origin is not None  # noqa: S101 - there is no offset without one
        same = origin.url != self.url or not origin.etag or not now.etag or origin.etag == now.etag
        if start != self.offset or not same or (origin.total is not None and total not in (None, origin.total)):
            raise _changed(self.part)
        self.resumed = True
        self._open(total or origin.total)

    def begin(self, headers: Mapping[str, str], total: int | None) -> None:
        """Start from the first byte."""
        self.part.begin(RemoteFile.of(self.url, headers, total))
        self._open(total)

    def _open(self, total: int | None) -> None:
        self.total, file, left = total, self.part.file, (total or 0) - self.part.size
        free = shutil.disk_usage(file.parent).free
        if left > free:
            raise BenchError(
                f'"{file.parent}" has {free:,} bytes free, and {file.stem} needs {left:,} more; '
                "make room or name another folder."
            )
        self.out = self.opened.enter_context(self.part.open())
        self.report(self.part.size, total)

    def write(self, chunk: bytes) -> None:
        """Append some bytes; a full disk keeps those that fit."""
        rest = memoryview(chunk)
        while rest:
            rest = rest[self.out.write(rest) :]
        self.report(self.part.size, self.total)

    def flush(self) -> None:
        """Pass, since nothing is buffered."""


def _download(body: _Body, timeout: float) -> None:
    import pooch

    if not body.url.startswith(("http://", "https://")):
        raise Refused("is no http, https or file address")
    headers, origin = {"User-Agent": AGENT, "Accept-Encoding": "identity"}, body.part.origin
    if body.offset and origin is not None:
        headers["Range"] = f"bytes={body.offset}-"
        if origin.url == body.url and origin.validator:
            headers["If-Range"] = origin.validator
    hooks = {"response": body.answered}
    pooch.HTTPDownloader(chunk_size=CHUNK, timeout=timeout, headers=headers, hooks=hooks)(body.url, body, None)


def _copy(body: _Body) -> None:
    """Read a file on this machine, which pooch does not."""
    try:
        source = Path(unquote(urlsplit(body.url).path)).open("rb")  # noqa: SIM115 - closed with the body
    except OSError as error:
        raise Refused(_reason(error)) from error
    body.opened.enter_context(source)
    body.begin({}, os.fstat(source.fileno()).st_size)
    shutil.copyfileobj(source, body, CHUNK)


def _refused(answer: Any, part: PartialFile, offset: int) -> bool:
    """Handle an answer without a file. True where the part is whole already; else an error is raised."""
    if answer.status_code == UNSATISFIABLE and offset:
        if _range(answer.headers)[1] == offset:
            return True
        raise _changed(part)
    reason = f"answered {answer.status_code} {answer.reason}"
    if answer.status_code in PASSING:
        raise Interrupted(reason, _number(answer.headers.get("Retry-After", "")))
    raise Refused(reason)


def _changed(part: PartialFile) -> Interrupted:
    part.drop()
    return Interrupted("the file has changed since the last try")


def _unwritable(part: PartialFile, error: OSError) -> BenchError:
    if error.errno in FULL:
        return BenchError(
            f'the disk is full: "{part.file}" has {part.size:,} bytes so far; make room, and run the same command to '
            "resume."
        )
    return BenchError(f'"{part.file}" cannot be written: {error.strerror}.')


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _range(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Parse Content-Range: first byte and size of the whole, each None where it is not given."""
    span, _, total = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    return _number(span.partition("-")[0]), _number(total)


def _below(error: BaseException) -> BaseException:
    """Find the system's or the protocol's error below those of requests and urllib3; without one, the error itself."""
    below: BaseException | None = error
    while below is not None:
        system = isinstance(below, OSError) and (below.strerror or type(below) is TimeoutError)
        if system or isinstance(below, HTTPException):
            return below
        below = below.__cause__ or below.__context__
    return error


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "sent nothing for too long"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return " ".join(str(error).split()) or type(error).__name__
