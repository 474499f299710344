"""Shared by all figures: the rows they are drawn from, and the layout of panels."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reports.document import Drawn
from bench.reports.figures.folder import FigureFolder
from bench.reports.figures.style import TEXT_WIDTH, Look, PageStyle, look
from bench.reports.names import SECTIONS, UNCHANGED, noise_order
from bench.reports.tables.columns import Column, beyond_limits, columns_of, evenly
from bench.reports.tables.summary import summarize

# Per-sample outcomes of a record by its key, see `bench.records.store.Store.outcomes`.
Outcomes: TypeAlias = Callable[[str], Mapping[str, Any]]
CHARACTER = 0.062  # inches of one at the size of titles


@dataclass(frozen=True)
class Scope:
    """What the figures of some rows of a setting are drawn from.

    Attributes:
        setting: its name.
        name: of the files, behind the kind.
        text: the setting in words.
        measure: what the numbers on the test set are, in words.
        part: all rows of the setting.
        rows: those of the figures.
        levels: curves of `rows` over seeds, see `levels_of`.
        folder: where files go.
        outcomes: for figures of single samples; None where there are none.
    """

    setting: str
    name: str
    text: str
    measure: str
    part: pd.DataFrame
    rows: pd.DataFrame
    levels: pd.DataFrame
    folder: FigureFolder
    outcomes: Outcomes | None = None

    @property
    def page(self) -> PageStyle:
        """The page that figures are drawn for."""
        return self.folder.page

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Label to look, in the order of the tables."""
        rows = self.rows[["label", "method", "variant", "section"]].drop_duplicates()
        rows = rows.sort_values("section", key=lambda names: names.map(SECTIONS.index), kind="stable")
        return {str(r["label"]): look(r["method"], r["variant"], r["section"]) for r in rows.to_dict("records")}

    @cached_property
    def summary(self) -> pd.DataFrame:
        """`bench.reports.tables.summary.summarize` of what is reached after the last epoch."""
        return summarize(self.rows)

    def has(self, quantity: str) -> bool:
        """Return whether a curve has a number."""
        return bool((self.levels["quantity"] == quantity).any())

    def at(self, quantity: str, column: Column) -> pd.DataFrame:
        """Return a quantity over epochs, at one kind of noise and rate."""
        return _within(self.levels[self.levels["quantity"] == quantity], column).reset_index(drop=True)

    def finished(self, column: Column) -> pd.DataFrame:
        """Select the finished rows at one kind of noise and rate."""
        return _within(self.rows[self.rows["status"] == "done"], column)

    def columns(self, quantity: str) -> list[Column]:
        """List the noise kinds and rates in which a quantity has numbers, in order."""
        return columns_of(self.levels.loc[self.levels["quantity"] == quantity, ["noise", "rate"]].drop_duplicates())

    @property
    def telling(self) -> Column:
        """The noise under which the methods memorize most, at the rate nearest to 50 %: where they differ.

        Rates at which labels alone cannot tell the truth, and oracles, are left out; the representative one (`chosen`)
        where nothing is memorized.
        """
        columns = self.columns("memorized")
        rows = self.rows[self.rows["section"] != "oracle"]
        beyond = beyond_limits(self.rows)
        known = [column for column in one_of_each(columns, len(columns)) if column not in beyond]
        shares = {column: _within(rows, column)["memorized"].mean() for column in known}
        most = max(shares, key=lambda column: np.nan_to_num(shares[column]), default=chosen(columns))
        return most if shares.get(most, 0) > 0 else chosen(columns)

    def save(self, figure: Figure, data: Sequence[pd.DataFrame], kind: str, caption: str, suffix: str = "") -> Drawn:
        """Write a figure of this scope."""
        found = pd.concat(data, ignore_index=True)
        return self.folder.save(figure, found, f"{kind}-{self.name}{suffix}", f"On {self.text}{caption}", self.setting)


def _within(rows: pd.DataFrame, column: Column) -> pd.DataFrame:
    return rows[(rows["noise"] == column[0]) & (rows["rate"] == column[1])]


def levels_of(curves: pd.DataFrame) -> pd.DataFrame:
    """Average every curve over seeds, with the sample standard deviation, by label, noise, rate, quantity and epoch.

    The curves are those of `bench.reports.frame.curves`.
    """
    by = ["section", "method", "label", "noise", "rate", "quantity", "epoch"]
    grouped = curves.groupby(by, sort=False, observed=True)["value"]
    levels = grouped.agg(n="count", mean="mean", sd="std").reset_index()
    return levels.astype(dict.fromkeys(["section", "method", "label", "noise", "quantity"], object))


def seeds_text(counts: pd.Series[int]) -> str:
    """Describe how many seeds are behind the means of a figure.

    >>> seeds_text(pd.Series([3, 3, 2]))
    'Means over 2 to 3 seeds'
    """
    found = counts[counts > 0]
    if found.empty:
        return "No spread over seeds is known"
    low, high = int(found.min()), int(found.max())
    if high == 1:
        return "One seed, so no spread is known"
    return f"Means over {f'{low} to ' if low < high else ''}{high} seeds"


def kinds_of(summary: pd.DataFrame) -> tuple[list[str], list[str]]:
    """List the kinds of noise that have numbers, in order: those with rates, and those without."""
    known = summary[summary["n"] > 0]
    kinds = [k for k in noise_order(str(k) for k in known["noise"]) if k not in UNCHANGED]
    rated = set(known.loc[known["rate"] > 0, "noise"])
    return [kind for kind in kinds if kind in rated], [kind for kind in kinds if kind not in rated]


def chosen(columns: Sequence[Column]) -> Column:
    """Choose a representative noise setting.

    Symmetric 50 % if present, otherwise the rate nearest to 50 % of the first kind that has rates, the lower of equals,
    else the first column.
    """
    if ("symmetric", 0.5) in columns:
        return "symmetric", 0.5
    rated = [column for column in columns if column[1]]
    return nearest(rated, rated[0][0]) if rated else columns[0]


def nearest(columns: Sequence[Column], kind: str) -> Column:
    """Find the rate of a kind that is nearest to 50 %."""
    return min((c for c in columns if c[0] == kind), key=lambda column: (abs(column[1] - 0.5), column[1]))


def one_of_each(columns: Sequence[Column], most: int) -> list[Column]:
    """Choose of each kind the rate nearest to 50 %.

    Where the kinds are more than `most`: the representative one (`chosen`) and the next ones.
    """
    found = [nearest(columns, kind) for kind in dict.fromkeys(kind for kind, _ in columns)]
    if len(found) > most:
        first = chosen(found)
        found = [first, *(column for column in found if column != first)][:most]
    return found


def title(axes: Axes, text: str, panels: int, width: float = TEXT_WIDTH) -> None:
    """Set a title in lines that fit one of `panels` panels beside each other in `width` inches."""
    room = int((width - 0.5) / panels / CHARACTER)
    whole = text.replace(" %", "\u00a0%")
    axes.set_title("\n".join(textwrap.wrap(whole, max(room, 10), break_long_words=False)) or text)


def small(text: str) -> str:
    """Convert the first letter to lower case."""
    return text[:1].lower() + text[1:]


def parts_of(groups: Sequence[Sequence[Column]], most: int) -> list[list[Column]]:
    """Split columns into the fewest parts of at most `most`, as even as possible.

    Groups stay together where they can, and a larger one is cut evenly.
    """
    pieces = [piece for group in groups for piece in evenly(list(group), most)]
    fewest = len(_filled(pieces, most))
    return next(parts for size in range(1, most + 1) if len(parts := _filled(pieces, size)) <= fewest)


def _filled(pieces: Sequence[list[Column]], size: int) -> list[list[Column]]:
    """Join pieces in order; a part begins where the next piece does not fit into `size`."""
    parts: list[list[Column]] = []
    for piece in pieces:
        if parts and len(parts[-1]) + len(piece) <= size:
            parts[-1] += piece
        else:
            parts.append(list(piece))
    return parts
