"""What a report says in words beside its tables: chapters of passages, free of any output format.

`markdown_lines` writes them for `report.md`; the page shows the same chapters (`bench.reports.html`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

if TYPE_CHECKING:
    from bench.reports.statistics.friedman import Ranking
    from bench.standing import Mark


class Code(str):
    """A piece of a sentence that is shown as code: a command, a file."""

    __slots__ = ()


class Emphasis(str):
    """A piece of a sentence that is emphasized."""

    __slots__ = ()


Words: TypeAlias = tuple[str, ...]  # the pieces of a sentence, `Code` and `Emphasis` among them; all of it plain text
_MARKED = re.compile(r"(`[^`]*`|\*[^*]*\*)")


@dataclass(frozen=True)
class Ranks:
    """A Friedman test to draw: caption, colour of each label, and the figure; None where none was written."""

    ranking: Ranking
    caption: str
    colors: Mapping[str, str]
    figure: Drawn | None


@dataclass(frozen=True)
class Passage:
    """What is said under one heading.

    Attributes:
        title: the heading.
        told: paragraphs.
        tables: that it is about.
        ranks: the diagram of mean ranks.
        before_list: a sentence before `items`, empty where there is none.
        items: of a list.
        advice: paragraphs at the end.
    """

    title: str
    told: tuple[Words, ...] = ()
    tables: tuple[Table, ...] = ()
    ranks: Ranks | None = None
    before_list: str = ""
    items: tuple[str, ...] = ()
    advice: tuple[Words, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """Passages under a heading of their own, after a paragraph on how to read them."""

    title: str
    intro: Words
    passages: tuple[Passage, ...]


def in_pieces(text: str) -> Words:
    """Split a sentence into pieces; backquotes mark code and stars emphasis.

    >>> in_pieces("See `a_b`.")
    ('See ', 'a_b', '.')
    """
    kinds = {"`": Code, "*": Emphasis}
    return tuple(kinds[p[0]](p[1:-1]) if n % 2 else p for n, p in enumerate(_MARKED.split(text)))


def unsigned_zero(text: str) -> str:
    """Drop the sign of a number that is printed as zero.

    >>> unsigned_zero("-0.0"), unsigned_zero("+0.00"), unsigned_zero("-0.1")
    ('0.0', '0.00', '-0.1')
    """
    return text if float(text) else text.lstrip("+-")


@dataclass(frozen=True)
class TableEntry:
    """One cell: mean and sample standard deviation over `n` seeds, or a text instead.

    Attributes:
        mark: "best" or "second" of its column.
        signs: letters of the statuses of seeds that have no number, and `UNSTABLE`.
        show_n: whether the number of seeds differs from the table's.
        near: whether the seeds do not tell it from the best of its column.
        digits: decimals of mean and spread.
    """

    mean: float = math.nan
    sd: float = math.nan
    n: int = 0
    mark: Mark = ""
    signs: str = ""
    show_n: bool = False
    text: str = ""
    near: bool = False
    digits: int = 1

    @property
    def printed(self) -> str:
        """The text, or the mean to the printed precision, or "–"."""
        return self.text or ("–" if math.isnan(self.mean) else unsigned_zero(f"{self.mean:.{self.digits}f}"))

    @property
    def spread(self) -> str:
        """The standard deviation to the printed precision, empty for a single seed."""
        return "" if math.isnan(self.sd) else f"{self.sd:.{self.digits}f}"


@dataclass(frozen=True)
class TableRow:
    """A row: what it is and one entry per column."""

    label: str
    entries: tuple[TableEntry, ...]


@dataclass(frozen=True)
class Section:
    """Rows between two rules, with a heading where `title` is not empty."""

    title: str
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class Table:
    """A table of one setting.

    Attributes:
        kind: begins the name of its file.
        head: (group, name) per column.
        caption: sentences, the first of which names table and setting.
        notes: sentences below.
        title: the first sentence of the caption without the setting and the full stop; empty where it names none.
    """

    kind: str
    setting: str
    name: str
    head: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    caption: tuple[str, ...]
    notes: tuple[str, ...]
    title: str = ""


@dataclass(frozen=True)
class Supplement:
    """What statistics and published numbers add to a report: tables, chapters, and frames by the name of their file."""

    tables: tuple[Table, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    files: dict[str, pd.DataFrame] = field(default_factory=dict)

    def joined(self, other: Supplement) -> Supplement:
        """Append another one."""
        return Supplement(
            (*self.tables, *other.tables), (*self.chapters, *other.chapters), {**self.files, **other.files}
        )


@dataclass(frozen=True)
class Drawn:
    """A figure on disk: its kind, setting, name (kind first), what it shows, and the files written."""

    kind: str
    setting: str
    name: str
    caption: str
    files: tuple[Path, ...]
