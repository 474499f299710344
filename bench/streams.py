"""Standard streams that can write every text, and end the program when their reader goes away.

A terminal, a pipe or a code page may lack a character; it is then written as its nearest plain one, or escaped. A
stream that was closed before the start is replaced by one that goes nowhere, so that no file of ours gets its number.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any, TextIO

EXIT_CLOSED = 141  # what a shell shows of a program that SIGPIPE has ended
EXIT_UNWRITABLE = 2
HANDLER = "noisy-prompt-bench"
_reserved: list[TextIO] = []  # the standard output, once it is kept for results
ASCII = {"·": "-", "–": "-", "…": "...", "→": "->", "±": "+-", "─": "-", "━": "-", "†": "+", "×": "x"}


class OutputLost(BaseException):
    """Error of a standard output that cannot be written any more.

    No `Exception`: nothing between a line of output and the command line may take it for the failure of a cell.

    Attributes:
        exit_code: `EXIT_CLOSED` where the reader has gone, which is no mistake; else `EXIT_UNWRITABLE`.
        reason: one line, empty where the reader has gone.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        closed = isinstance(error, BrokenPipeError)
        self.exit_code = EXIT_CLOSED if closed else EXIT_UNWRITABLE
        self.reason = "" if closed else f"the standard output cannot be written: {error.strerror}."


class Output(io.TextIOWrapper):
    """Text stream that turns a failed write into `OutputLost`, or drops it.

    Args:
        stream: whose bytes, encoding and buffering are taken over.
        ends: whether a failed write ends the program.
    """

    def __init__(self, stream: io.TextIOWrapper, ends: bool) -> None:
        self._ends, self._owner = ends, stream  # whose end would close the buffer
        super().__init__(
            stream.buffer, stream.encoding, HANDLER,
            line_buffering=stream.line_buffering, write_through=stream.write_through,
        )  # fmt: skip

    def write(self, text: str, /) -> int:
        """Write, see the class."""
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Flush the buffer, see the class."""
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - what is held back must go somewhere at the end
            os.dup2(nowhere.fileno(), self.fileno())
        if self._ends:
            raise OutputLost(error) from error


def prepare(ends: bool = True) -> None:
    """Replace both standard streams. Call it once, before anything is written or opened.

    Args:
        ends: whether an output that cannot be written ends the program; not in a worker, whose output nobody awaits.
    """
    codecs.register_error(HANDLER, _replacement)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number is this one
    sys.stdout = _replaced(sys.stdout, 1, ends)
    sys.stderr = _replaced(sys.stderr, 2, False)


def reserve() -> None:
    """Keep the standard output for `results`; what plugins, libraries and workers print goes to the standard error."""
    if isinstance(sys.stdout, Output) and not _reserved:
        sys.stdout.flush()
        kept = open(os.dup(1), "w", encoding=sys.stdout.encoding)  # noqa: SIM115, PTH123 - as long as the process
        _reserved.append(Output(kept, True))
        os.dup2(2, 1)


def results() -> TextIO:
    """Return the stream of what a program reads."""
    return _reserved[0] if _reserved else sys.stdout


def finished(code: int) -> int:
    """Return the exit code of the program, after the last of its output has been written."""
    try:
        sys.stdout.flush()
    except OutputLost as lost:
        return lost.exit_code
    return code


def _replaced(stream: TextIO | None, number: int, ends: bool) -> Any:
    if stream is None:
        stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    return Output(stream, ends) if isinstance(stream, io.TextIOWrapper) else stream


def _replacement(error: UnicodeError) -> tuple[str, int]:
    """Return replacements for characters that the encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking), error.end
