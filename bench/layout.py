"""Lay out tables and lists of facts as lines of text, for a terminal's width or for a file.

No name is ever cut. In a given width a table is set in columns, whose cells are wrapped between words and behind
commas, slashes and opening brackets. Where even the longest of these pieces do not fit beside each other, columns that
say the same in every row are told once above the table; where that does not help either, every row becomes a few lines
of "column: value". Without a width, in a file or a pipe, every row is one line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

GAPS = "  ", " "  # between columns: the first that fits
COLUMN_GAP = " | "
INDENT = "  "
LONGEST_CELL = 100  # characters to which a column of a file is padded; longer cells move what stands behind them
_PIECE = re.compile(r"[^\s,/\[]*[\s,/\[]+|[^\s,/\[]+$")
Row = Sequence[str]


def table_lines(columns: Row, rows: Sequence[Row], room: int | None = None) -> list[str]:
    """Format a table; columns whose every cell is a number are set to the right.

    Args:
        columns: their names.
        rows: a text for each column.
        room: characters of a line, None for as many as it takes.
    """
    if room is None:
        return _set(columns, rows, _padded([columns, *rows]), GAPS[0])
    common = [len(rows) > 1 and len({row[index] for row in rows}) == 1 for index in range(len(columns))]
    for told in ([False] * len(columns), common):
        kept = [[cell for cell, once in zip(row, told, strict=True) if not once] for row in (columns, *rows)]
        for gap in GAPS:
            widths = _fitting(kept, room - len(gap) * (len(kept[0]) - 1))
            if kept[0] and widths is not None:
                once = [index for index, found in enumerate(told) if found and rows[0][index]]
                above = _pairs([columns[i] for i in once], [rows[0][i] for i in once], room) if once else []
                return [*above, *_set(kept[0], kept[1:], widths, gap, rule=True)]
    return [line for row in rows for line in _pairs(columns, row, room)]


def fact_lines(facts: Sequence[tuple[str, str]], room: int | None = None) -> list[str]:
    """Format names with their descriptions beside them."""
    indent = max((width(name) for name, _ in facts), default=0) + len(GAPS[0])
    lines = []
    for name, text in facts:
        first, *more = [text] if room is None else wrapped(text, max(room - indent, 1))
        lines += [_to(name, indent) + first, *(" " * indent + line for line in more)]
    return [line.rstrip() for line in lines]


def wrapped(text: str, room: int) -> list[str]:
    """Wrap a text into at least one line of at most `room` characters. A longer piece has a line of its own."""
    lines = [""]
    for piece in _PIECE.findall(text):
        if lines[-1] and width(lines[-1] + piece.rstrip()) > room:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def few(names: Sequence[str], most: int, between: str = ", ") -> str:
    """Join the first `most` names, and count the others.

    >>> few(["a", "b", "c"], 2), few(["a"], 2)
    ('a, b and 1 more', 'a')
    """
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def counted(number: int, noun: str) -> str:
    """Format a number with its noun.

    >>> counted(1, "seed"), counted(0, "seed")
    ('1 seed', '0 seeds')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def width(text: str) -> int:
    """Return the columns that a text takes on a terminal. A wide character takes two, one that joins the last none.

    >>> width("猫 e\u0301")
    4
    """
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(bool(unicodedata.combining(character)) for character in text)


def _padded(grid: Sequence[Row]) -> list[int]:
    return [
        max((w for cell in cells if (w := width(cell)) <= LONGEST_CELL), default=0) for cells in zip(*grid, strict=True)
    ]


def _fitting(grid: Sequence[Row], room: int) -> list[int] | None:
    """Fit column widths into `room`, narrowing the widest first; None where pieces do not fit."""
    cells = list(zip(*grid, strict=True))
    widths = [max(map(width, column)) for column in cells]
    least = [max(width(piece.rstrip()) for cell in column for piece in (_PIECE.findall(cell) or [""]))
             for column in cells]  # fmt: skip
    if sum(least) > room:
        return None
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda index: widths[index] if widths[index] > least[index] else 0)
        widths[widest] -= 1
    return widths


def _set(columns: Row, rows: Sequence[Row], widths: Sequence[int], gap: str, rule: bool = False) -> list[str]:
    """Format lines of columns. With a `rule` below their names cells are wrapped, without one every row is one line."""
    right = [bool(rows) and all(_numeric(row[index]) for row in rows) for index in range(len(columns))]

    def line(row: Row) -> str:
        cells = [_to(cell, size, to_right) for cell, size, to_right in zip(row, widths, right, strict=True)]
        return gap.join(cells).rstrip()

    if not rule:
        return [line(row) for row in (columns, *rows)]
    head, *body = [
        [
            line(part)
            for part in zip_longest(*(wrapped(cell, w) for cell, w in zip(row, widths, strict=True)), fillvalue="")
        ]
        for row in (columns, *rows)
    ]
    return [*head, "─" * (sum(widths) + len(gap) * (len(widths) - 1)), *(text for row in body for text in row)]


def _pairs(columns: Row, row: Row, room: int) -> list[str]:
    """Format a row as "column: value", in lines indented behind the first, without empty cells."""
    lines: list[str] = []
    for column, cell in zip(columns, row, strict=True):
        if not cell:
            continue
        pair = f"{column}: {cell}"
        if lines and width(lines[-1] + COLUMN_GAP + pair) <= room:
            lines[-1] += COLUMN_GAP + pair
        else:
            parts = wrapped(pair, room - len(INDENT))
            lines += [INDENT + part for part in parts] if lines else [parts[0], *(INDENT + part for part in parts[1:])]
    return [line.rstrip() for line in lines]


def _to(text: str, size: int, right: bool = False) -> str:
    blanks = " " * (size - width(text))
    return blanks + text if right else text + blanks


def _numeric(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "", 1).replace("–", "").isdigit() or text in ("", "–")
