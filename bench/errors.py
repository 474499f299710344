"""Errors of a user's making, printed as one line each, and near-match suggestions."""

from __future__ import annotations

import difflib
import errno
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

# What torch's plain RuntimeErrors say where memory is short: its allocators, CUDA's, and its libraries'.
SHORT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc")

JOINERS = "\u200c\u200d"  # zero-width, of Persian, Indian scripts and emoji


class BenchError(Exception):
    """Error in the user's input.

    The text is one line that says what was found, what was expected and what to change. The command line prints it
    without a traceback and exits with `exit_code`.
    """

    exit_code = 2

    @property
    def lines(self) -> tuple[str, ...]:
        """Lines to print: one, or of `Several` one for each error."""
        return (str(self),)


class Several(BenchError):
    """Several errors, one line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self._lines = tuple(lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """Lines as given."""
        return self._lines


class NothingCompared(BenchError):
    """Error where both sides of a comparison are readable, and nothing matches (exit code 3)."""

    exit_code = 3


def escape(error: BaseException) -> str:
    """Describe how foreign code left without an ordinary error: "mine.py, line 3, called sys.exit(0)"."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "_sitebuiltins" not in frame.filename]
    where = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}, " if frames else ""
    if isinstance(error, SystemExit):
        return f"{where}called sys.exit({'' if error.code is None else repr(error.code)})"
    return f"{where}raised {described(error)}"


def text_of(error: BaseException, most: int = 2000) -> str:
    """Return an error's text in one printable line of at most `most` characters.

    Empty where it says nothing, or fails to.
    """
    try:
        text = " ".join(str(error).split())
    except BaseException:  # noqa: BLE001 - foreign code's own, whose way to fail must not become ours
        return ""
    text = printable(text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str) -> str:
    r"""Escape control characters, turns of the writing direction, and halves of characters that no file takes.

    Every place where a text of others is shown calls this: a terminal, a report, a figure. Joiners of letters, which
    some scripts need, stay.

    >>> printable("a\x1b[31mb\udcff")
    'a\\x1b[31mb\\udcff'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in JOINERS else repr(c)[1:-1] for c in text)


def in_line(text: str) -> str:
    r"""Escape a text for a paragraph of a document, where the line breaks of our own sentences are spaces.

    >>> in_line("two\nlines\x1b")
    'two lines\\x1b'
    """
    return printable(text.replace("\n", " "))


def described(error: BaseException) -> str:
    """Return an error's kind and text: "OSError: no space left", or "MemoryError"."""
    text = text_of(error)
    return f"{type(error).__name__}{f': {text}' if text else ''}"


def short_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory was short, of a device or of the machine; needs no torch.

    >>> short_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."))
    True
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(text in text_of(error) for text in SHORT_OF_MEMORY)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a clause naming the nearest of `known`, or the first twenty if none is near.

    >>> did_you_mean("copp", ["coop", "joapr"])
    'did you mean "coop"?'
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    if not known:
        return "none is known here."
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    return f"known: {', '.join(known[:20])}{more}."


def legible(text: str) -> str:
    r"""Escape the bytes of a path that are no UTF-8, so that any stream takes it.

    >>> legible("caf\udce9.png")
    'caf\\xe9.png'
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
