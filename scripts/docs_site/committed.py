"""Reads the tables of the committed pages, so that a generated page states no number that stands nowhere else."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from bench.registry import BUILT_IN, Registry, Row

ROOT = Path(__file__).resolve().parents[2]
Rows = tuple[tuple[str, ...], ...]


def built_in(registry: Registry[Any]) -> tuple[Row, ...]:
    """List the rows of this package; of other packages that are installed the site says nothing."""
    return tuple(row for row in registry.rows() if row.origin == BUILT_IN)


class Table(NamedTuple):
    """A table of a page: the cells of its head, and of each row."""

    head: tuple[str, ...]
    rows: Rows

    def only(self, wanted: set[int]) -> Table:
        """Return the rows at these places."""
        return Table(self.head, tuple(row for place, row in enumerate(self.rows) if place in wanted))

    def markdown(self) -> str:
        """Write the table, numbers to the right where the second column has some."""
        ruler = ["---"] + [_ruler([row[place] for row in self.rows]) for place in range(1, len(self.head))]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (self.head, ruler, *self.rows))


def _ruler(column: list[str]) -> str:
    numbers = [cell for cell in column if re.match(r"^[+−–-]?[\d.,]", cell) and len(cell) < 40]
    return "---:" if 2 * len(numbers) > len(column) else "---"


@lru_cache
def page(name: str) -> str:
    """Read a page of docs/."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@lru_cache
def tables(name: str, heading: str = "") -> tuple[Table, ...]:
    """Read all tables of a page, or of the section with this heading."""
    text = page(name)
    if heading:
        text = re.split(r"\n## ", text.split(f"\n## {heading}\n", 1)[1])[0]
    blocks = re.findall(r"(?:^\|.*\n)+", text + "\n", re.MULTILINE)
    return tuple(_table(block) for block in blocks)


def _table(block: str) -> Table:
    rows = [_cells(line) for line in block.splitlines()]
    return Table(rows[0], tuple(rows[2:]))


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1]))


def plain(cell: str) -> str:
    """Strip a cell of code marks and daggers."""
    return cell.replace("`", "").replace("†", "").strip()


def of_variants(table: Table, name: str) -> set[int]:
    """Find the rows of a plugin and its variants, whose first cell is their name."""
    whose = re.compile(rf"^{re.escape(name)}(?=[\[@(]|$)")
    return {place for place, row in enumerate(table.rows) if whose.match(plain(row[0]))}


def named(name: str, title: str) -> re.Pattern[str]:
    """Match a text that begins with the name or the title of a method."""
    words = {name, name.replace("-", " "), title, *ALSO.get(name, ())}
    return re.compile(rf"^(?:{'|'.join(map(re.escape, words))})(?![\w-])", re.IGNORECASE)


# How pages call a method elsewhere than in their first words.
ALSO = {"ot-clean": ("CE on NLPrompt's clean part",), "coop-split": ("VisPrompt's split",), "clap": ("CLAP's",)}
