"""Print lines, tables, errors and the progress of a run. No other module prints.

On a terminal, tables keep to its width and progress is rich's; elsewhere both are plain lines that a log can hold.
Where the standard output is for a program, as with --json, everything for people goes to the standard error.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from bench import streams
from bench.errors import printable
from bench.layout import fact_lines, table_lines

PARTS = 10
YEAR = 365 * 24 * 3600


@dataclass
class Verbosity:
    """What is said of a command, and where.

    Attributes:
        quiet: whether lines for people, tables and progress are left out.
        verbose: whether details are told.
        json: whether the standard output is for a program.
    """

    quiet: bool = False
    verbose: bool = False
    json: bool = False


verbosity = Verbosity()  # of the command that runs; the command line sets it anew for each


def line(text: str = "") -> None:
    """Print a line for people."""
    if not verbosity.quiet:
        _write(_people(), printable(text))


def complaint(text: str) -> None:
    """Print a line on what went wrong, like any other and also where the command is to be quiet."""
    _write(sys.stderr if verbosity.quiet else _people(), printable(text))


def detail(text: str) -> None:
    """Print a line on the standard error, with --verbose alone."""
    if verbosity.verbose:
        _write(sys.stderr, printable(text))


def result(text: str) -> None:
    """Print what a program reads, such as JSON or CSV, on the standard output; on a terminal escaped."""
    stream = streams.results()
    _write(stream, "\n".join(map(printable, text.split("\n"))) if stream.isatty() else text)


def _write(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")
    stream.flush()


def _people() -> TextIO:
    return sys.stderr if verbosity.json else sys.stdout


def error(text: str) -> None:
    """Print one line on the standard error, whatever breaks are in the text."""
    sys.stderr.write(f"error: {printable(' '.join(text.split()))}\n")


def warn(text: str) -> None:
    """Print one line on the standard error."""
    sys.stderr.write(f"note: {printable(' '.join(text.split()))}\n")


def as_json(value: Any) -> None:
    """Print a value as JSON on the standard output; what JSON lacks, inf, nan and dates of settings, as text."""
    result(json.dumps(_in_json(value), indent=1, default=str))


def _in_json(value: Any) -> Any:
    """Return a value with numbers that are not finite as text: JSON has none."""
    if isinstance(value, dict):
        return {key: _in_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_in_json(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table, see `bench.layout`."""
    if title:
        line(title)
    for text in table_lines(columns, [[*map(printable, row)] for row in rows], _room()):
        line(text)


def facts(found: Sequence[tuple[str, str]]) -> None:
    """Print names and their descriptions, see `bench.layout`."""
    for text in fact_lines([(name, printable(text)) for name, text in found], _room()):
        line(text)


def duration(seconds: float) -> str:
    """Format seconds for display.

    >>> duration(200), duration(3e8)
    ('3 min 20 s', '10 years')
    """
    if seconds >= YEAR:
        return f"{seconds / YEAR:,.0f} years" if seconds >= 2 * YEAR else "a year"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def amount(label: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Return a reporter of progress. It is called with the amount so far and the whole, None where unknown.

    Args:
        label: what is being done.
        unit: what is counted; "bytes" are shown as MiB.
    """
    if not live():
        yield _plain_amount(label, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    text = TextColumn("{task.description}", markup=False)
    bar = Bar(text, BarColumn(), TextColumn("{task.fields[so_far]}"), TimeRemainingColumn(), console=Console(),
              transient=True)  # fmt: skip
    with bar:
        task = bar.add_task(printable(label), total=None, so_far="")
        yield lambda done, total: bar.update(task, completed=done, total=total, so_far=_of(done, total, unit))


def _plain_amount(label: str, unit: str) -> Callable[[int, int | None], None]:
    """Print a line per tenth; per doubling where the whole is unknown."""
    shown = 0

    def report(done: int, total: int | None) -> None:
        nonlocal shown
        part = done * PARTS // total if total else (done >> 20).bit_length()
        if part > shown:
            shown = part
            line(f"{label}: {_of(done, total, unit)}")

    return report


def _of(done: int, total: int | None, unit: str) -> str:
    shown = size if unit == "bytes" else lambda count: f"{count:,} {unit}"
    return shown(done) if total is None else f"{done * 100 // max(total, 1)} % of {shown(total)}"


def size(count: int) -> str:
    """Format bytes for display.

    >>> size(137_414_764)
    '131 MiB'
    """
    for power, name in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >> power:
            return f"{count / 2**power:.3g} {name}" if count / 2**power < 999.5 else f"{count / 2**power:.0f} {name}"
    return f"{count} B"


def _room() -> int | None:
    """Return the width of the terminal in characters; None where there is none and lines are unlimited."""
    return shutil.get_terminal_size().columns if _people().isatty() else None


def live() -> bool:
    """Return whether a progress bar is wanted and can be redrawn."""
    wanted = not (verbosity.quiet or verbosity.json)
    return wanted and sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
