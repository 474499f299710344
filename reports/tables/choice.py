"""Rows, columns and decimals that a report is asked for, in the order asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from bench.errors import BenchError, did_you_mean
from bench.plugins import METHODS
from bench.reports.frame import anchored
from bench.reports.names import SECTIONS, column_name, noise_name
from bench.reports.tables.columns import Column, column_sets, columns_of, only

MOST_DIGITS = 6
T = TypeVar("T")


@dataclass(frozen=True)
class Choice:
    """What tables show; nothing named: all that the records have, in the usual order.

    Attributes:
        methods: names, variants or titles of rows: "coop", "gce-coop[q=0.5]", "coop@clean".
        columns: kinds of noise, each with all of its rates, or with one: "none", "symmetric", "symmetric@0.5".
        digits: decimals of accuracies and shares.
    """

    methods: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    digits: int = 1

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Select the rows of `bench.reports.frame.tidy` that are asked for, in their order.

        Raises:
            BenchError: a name is of no row or column, or the decimals are none.
        """
        if not 0 <= self.digits <= MOST_DIGITS:
            raise BenchError(f"--digits {self.digits}: expected 0 to {MOST_DIGITS} decimals.")
        frame = anchored(frame) if self.methods else frame
        if self.columns:
            frame = only(frame, _found("--columns", self.columns, _column_names(columns_of(frame))))
        if self.methods:
            places = {label: i for i, label in enumerate(_found("--methods", self.methods, _row_names(frame)))}
            frame = _once(frame[frame["label"].isin(places)]).assign(_place=lambda rows: rows["label"].map(places))
            frame = frame.sort_values(["setting", "_place"], kind="stable").drop(columns="_place")
        return frame.reset_index(drop=True)

    def column_sets(self, summary: pd.DataFrame) -> list[tuple[str, list[Column]]]:
        """Split the columns into tables, or order those that are asked for in one."""
        if not self.columns:
            return column_sets(summary)
        there = columns_of(summary)
        names = _column_names(there)
        asked = [column for text in self.columns for column in names.get(text.casefold(), [])]
        return [("", list(dict.fromkeys(asked)))] if asked else []

    def sections(self, frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield section and rows, by section, or rows as asked for; a section may then come twice, a row never."""
        if not self.methods:
            yield from ((name, rows) for name in SECTIONS if len(rows := frame[frame["section"] == name]))
            return
        order = frame["label"].map({label: place for place, label in enumerate(frame["label"].drop_duplicates())})
        frame = frame.loc[order.sort_values(kind="stable").index]
        runs = (frame["section"] != frame["section"].shift()).cumsum()
        yield from ((str(rows["section"].iloc[0]), rows) for _, rows in frame.groupby(runs, sort=False))


EVERYTHING = Choice()


def _once(frame: pd.DataFrame) -> pd.DataFrame:
    """Drop the copies of records in oracle rows (`anchored`), which summaries make again where the originals stand.

    A row that is nothing but copies keeps them.
    """
    copies = frame["key"].duplicated()
    return frame[~copies | ~frame["label"].isin(frame.loc[~copies, "label"])]


def _found(option: str, texts: Iterable[str], names: Mapping[str, Sequence[T]]) -> list[T]:
    """Find what each text names.

    Raises:
        BenchError: one is not there.
    """
    found: list[T] = []
    for text in texts:
        if text.casefold() not in names:
            raise BenchError(f'{option}: no record has "{text}"; {did_you_mean(text, names)}')
        found += names[text.casefold()]
    return list(dict.fromkeys(found))


def _column_names(columns: Iterable[Column]) -> dict[str, list[Column]]:
    """List the columns that each name stands for, names in lower case."""
    exact: dict[str, list[Column]] = {}
    kinds: dict[str, list[Column]] = {}
    for kind, rate in columns:
        for name in {column_name(kind, rate), f"{kind}@{rate:g}" if rate else kind}:
            exact[name.casefold()] = [(kind, rate)]
        for name in {kind, kind.partition("[")[0], noise_name(kind)}:
            kinds.setdefault(name.casefold(), []).append((kind, rate))
    return kinds | exact


def _row_names(frame: pd.DataFrame) -> dict[str, list[str]]:
    """List the labels that each name stands for: a row's own, or a method's of all its variants."""
    exact: dict[str, list[str]] = {}
    methods: dict[str, list[str]] = {}
    rows = frame[["label", "method", "variant", "subset"]].drop_duplicates().itertuples(index=False, name=None)
    for label, method, variant, subset in rows:
        known = METHODS.find(method)
        for name in {label, label.rstrip("†"), variant if subset == "all" else f"{variant}@{subset}"}:
            exact[name.casefold()] = [label]
        for name in {method, *(known.aliases if known else ())} if subset == "all" else ():
            methods.setdefault(name.casefold(), []).append(label)
    return methods | exact
