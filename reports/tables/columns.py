"""Noise columns of a table: their order, their heads, the tables they are cut into, and the rows below them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias, TypeVar

import pandas as pd

from bench.reports.document import TableEntry, TableRow, unsigned_zero
from bench.reports.names import UNCHANGED, column_name, file_part, noise_name, noise_order, noise_parts, percent
from bench.standing import identifiable

Column: TypeAlias = tuple[str, float]
Maker: TypeAlias = Callable[[Mapping[str, Any]], TableEntry]
WIDEST = 7
Item = TypeVar("Item")


def columns_of(summary: pd.DataFrame) -> list[Column]:
    """List the noise columns of a summary, in order."""
    found = sorted(set(zip(summary["noise"].tolist(), summary["rate"].tolist(), strict=True)))
    kinds = noise_order(str(kind) for kind, _ in found)
    return [(kind, float(rate)) for kind in kinds for own, rate in found if own == kind]


def column_names(columns: Iterable[Column]) -> str:
    """Join noise columns in words."""
    return ", ".join(column_name(*column) for column in columns)


def beyond_limits(rows: pd.DataFrame) -> list[Column]:
    """List the noise columns in which labels alone cannot tell the truth, on some data set of a frame."""
    classes = rows.groupby("dataset")["classes"].transform("max")
    found = set(zip(rows["noise"].astype(str), rows["rate"].astype(float), classes.astype(int), strict=True))
    beyond = {(noise, rate) for noise, rate, count in found if not identifiable(noise, rate, count)}
    return [column for column in columns_of(rows) if column in beyond]


def column_sets(summary: pd.DataFrame) -> list[tuple[str, list[Column]]]:
    """Split the columns into tables that fit on a page: file suffix and columns of each.

    Where they do not fit into one, each noise kind has its own; kinds without rates share one, and kinds of one rate
    each share tables of even width.
    """
    together = columns_of(summary)
    base = [column for column in together if column[0] in UNCHANGED]
    sets: dict[str, list[Column]] = {}
    for column in together:
        if column not in base:
            sets.setdefault(f"-{file_part(column[0])}" if column[1] else "-without-rate", []).append(column)
    if len(together) <= WIDEST or len(sets) < 2:
        return [("", together)]
    return [(suffix, base + own) for suffix, own in _shared(sets, WIDEST - len(base)).items()]


def _shared(sets: dict[str, list[Column]], room: int) -> dict[str, list[Column]]:
    """Put the sets of one rate together, at most `room` in a table; they come last."""
    single = [own[0] for own in sets.values() if len(own) == 1 and own[0][1]]
    if len(single) < 2:
        return sets
    kept = {suffix: own for suffix, own in sets.items() if own[0] not in single}
    parts = evenly(single, room)
    names = ["-kinds"] if len(parts) == 1 else [f"-kinds-{number + 1}" for number in range(len(parts))]
    return kept | dict(zip(names, parts, strict=True))


def evenly(items: list[Item], most: int) -> list[list[Item]]:
    """Split items into the fewest parts of at most `most`, whose sizes differ by one at most."""
    parts = -(-len(items) // most)
    ends = [-(-len(items) * part // parts) for part in range(parts + 1)] if parts else []
    return [items[start:end] for start, end in pairwise(ends)]


def only(summary: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Choose the rows of a summary that are in some columns."""
    wanted = set(columns)
    kept = [pair in wanted for pair in zip(summary["noise"].tolist(), summary["rate"].tolist(), strict=True)]
    return summary[pd.Series(kept, index=summary.index, dtype=bool)]


def as_dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """List the rows of a frame, each by column."""
    names = [str(name) for name in frame.columns]
    rows = zip(*(frame[name].tolist() for name in frame.columns), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def entries_of(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], made: Maker) -> tuple[TableEntry, ...]:
    """Build one entry per column from the row of that column, an empty one where there is none."""
    found = {(row["noise"], row["rate"]): made(row) for row in rows}
    return tuple(found.get(column, TableEntry()) for column in columns)


def rows_of(frame: pd.DataFrame, columns: Sequence[Column], made: Maker, label: str = "label") -> tuple[TableRow, ...]:
    """Build a table's rows: one per label found in some of the columns, in the frame's order.

    The frame has a row per label, noise and rate; `made` makes its entry, and its column `label` names a row.
    """
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in as_dicts(only(frame, columns)):
        groups[row[label]].append(row)
    return tuple(TableRow(str(name), entries_of(rows, columns, made)) for name, rows in groups.items())


def head(columns: Sequence[Column]) -> tuple[tuple[str, str], ...]:
    """Return the two lines above each column: kind and rate; of a kind without rates name and options."""
    return tuple((noise_name(k), percent(rate)) if rate else _alone(*noise_parts(k)) for k, rate in columns)


def _alone(name: str, options: str) -> tuple[str, str]:
    return (name, options) if options else ("", name)


def difference_text(points: float) -> str:
    """Print a difference with its sign; zero has none."""
    return unsigned_zero(f"{points:+.1f}")
