"""Averages and mean ranks over data sets, of settings that differ in nothing but the data set."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bench.records.cell import Cell
from bench.reports.document import Section, Table, TableEntry
from bench.reports.frame import SPANNED, anchored
from bench.reports.names import file_part
from bench.reports.tables.accuracy import ranked_sections, ranking_text, unranked_text
from bench.reports.tables.choice import EVERYTHING, Choice
from bench.reports.tables.columns import Column, beyond_limits, column_names, columns_of, head, only, rows_of
from bench.reports.tables.summary import (
    NOT_RUN,
    describe,
    joined_signs,
    lacks_numbers,
    legend,
    measured,
    signs_of,
    spread_text,
    usual_seeds,
)
from bench.reports.tables.ties import judge, resolution, shared_best
from bench.standing import Judged
from bench.statistics import TIE_DIGITS

FIXED = [name for name in Cell.model_fields if name not in {*SPANNED, "dataset"}]
NO_NUMBER = "No method has a seed with a number on every data set."
WITHOUT_AVERAGE = "–: no average. A method without a seed with a number on every data set has none, and no rank."
BY = ["section", "method", "label", "noise", "rate"]


@dataclass(frozen=True)
class DatasetGroup:
    """Settings that differ in nothing but the data set.

    Attributes:
        name: for files.
        words: shots, backbone, epochs and budget.
        datasets: their names.
        rows: of the frame, with the clean cells of oracle rows; columns that are not on every data set, or in which
            labels cannot identify the truth, are left out.
        partial: the columns that are not on every data set.
        beyond: the columns in which labels cannot identify the truth.
        twice: data sets that are no part of it, since several contents of one name were run.
    """

    name: str
    words: str
    datasets: tuple[str, ...]
    rows: pd.DataFrame
    partial: tuple[Column, ...]
    beyond: tuple[Column, ...]
    twice: tuple[str, ...] = ()

    @cached_property
    def seeds(self) -> pd.DataFrame:
        """Mean over data sets (`last`) per row, column and seed with a number on every data set.

        `mask` joins the digests of all of them; status is there for `bench.reports.tables.ties.judge`.
        """
        done = self.rows[(self.rows["status"] == "done") & self.rows["last"].notna()]
        found = done.groupby([*BY, "seed"], sort=False).agg(
            count=("dataset", "nunique"), last=("last", "mean"), mask=("mask", "sum")
        )
        return found[found["count"] == len(self.datasets)].reset_index().assign(status="done")

    @cached_property
    def averages(self) -> pd.DataFrame:
        """Mean and sd over seeds of the average over data sets, per row and column, and signs.

        A row that lacks a data set has n = 0 and no mean.
        """
        letters = self.rows.assign(_sign=signs_of(self.rows)).groupby(BY, sort=False)["_sign"]
        told = joined_signs(letters).rename("signs")
        numbers = self.seeds.groupby(BY, sort=False)["last"].agg(n="count", mean="mean", sd="std")
        joined = told.to_frame().join(numbers).reset_index()
        joined["n"] = joined["n"].fillna(0).astype(int)
        return joined.assign(setting=self.name, datasets=len(self.datasets))

    @cached_property
    def means(self) -> pd.DataFrame:
        """Per row, column and data set the mean over the seeds that have a number on every data set."""
        done = self.rows[self.rows["status"] == "done"]
        kept = done.merge(self.seeds[[*BY, "seed"]], on=[*BY, "seed"])
        return kept.groupby([*BY, "dataset"], sort=False)["last"].mean().reset_index()

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """Mean rank over data sets per column and trained method.

        Of the methods that have an average there; 1 is best, equal means share their ranks' mean; nothing of one method
        alone.
        """
        means = self.means[self.means["section"] == "method"].round({"last": TIE_DIGITS})
        place = means.groupby(["dataset", "noise", "rate"])["last"]
        means = means.assign(rank=place.rank(ascending=False), of=place.transform("count"))
        ranks = means[means["of"] > 1].groupby(BY, sort=False).agg(rank=("rank", "mean"), of=("of", "max"))
        return ranks.reset_index()

    @cached_property
    def trained(self) -> frozenset[str]:
        """Labels of the trained methods, those without an average included."""
        return frozenset(self.rows.loc[self.rows["section"] == "method", "label"])

    @cached_property
    def judged(self) -> dict[Column, Judged]:
        """What the seeds tell apart of the averages, by column."""
        return judge(self.seeds)


def lacking_note(labels: Iterable[str]) -> list[str]:
    """Name the rows that no test or interval speaks of; nothing where there are none."""
    named = ", ".join(sorted(labels))
    return [f"Left out where they lack a data set or a column: {named}."] if named else []


def dataset_groups(frame: pd.DataFrame) -> Iterator[DatasetGroup]:
    """Group settings of several data sets that agree in splits, shots, backbone, budget and all else.

    What was run under one name with several contents is no data set more for each, and left out.
    """
    alike: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    right = frame.groupby("setting")["test_truth"].all()
    for setting, row in frame.drop_duplicates("setting").set_index("setting").sort_index().iterrows():
        fields = [f for f in FIXED if f in row.index and f not in Cell.own_fields(row["budget"])]
        mode = str(row["dataset"]).partition("[")[2]
        alike[(mode, right[str(setting)], *(str(row[f]) for f in fields))].append(str(setting))
    taken: Counter[str] = Counter()
    for found in alike.values():
        both = frame[frame["setting"].isin(found)]
        contents = both.groupby("named")["dataset"].transform("nunique")
        rows, twice = both[contents == 1], tuple(dict.fromkeys(map(str, both.loc[contents > 1, "dataset"])))
        settings = [setting for setting in found if setting in set(rows["setting"])]
        if len(settings) > 1:
            first = rows[rows["setting"] == settings[0]]
            rest = settings[0].removeprefix(file_part(str(first["dataset"].iloc[0]))).strip("_-")
            taken[rest] += 1
            name = f"{rest}-{taken[rest]}" if taken[rest] > 1 else rest
            yield _group(name, describe(first).partition(", ")[2], rows, twice)


def _group(name: str, words: str, rows: pd.DataFrame, twice: tuple[str, ...]) -> DatasetGroup:
    datasets = tuple(dict.fromkeys(map(str, rows["dataset"])))
    counts = rows.groupby(["noise", "rate"])["dataset"].nunique()
    everywhere = {column for column, count in counts.items() if count == len(datasets)}
    columns = columns_of(rows)
    beyond = tuple(beyond_limits(rows))
    partial = tuple(column for column in columns if column not in everywhere and column not in beyond)
    kept = [column for column in columns if column not in {*beyond, *partial}]
    return DatasetGroup(name, words, datasets, only(anchored(rows), kept), partial, beyond, twice)


def average_tables(group: DatasetGroup, choice: Choice = EVERYTHING) -> list[Table]:
    """Build the tables of averages and mean ranks: one, or one per noise kind where it is wide."""
    sets = choice.column_sets(group.averages) if len(group.averages) else []
    return [_table(group, columns, suffix, choice) for suffix, columns in sets]


def _table(group: DatasetGroup, columns: Sequence[Column], suffix: str, choice: Choice) -> Table:
    chosen = only(group.averages, columns)
    n = usual_seeds(chosen)
    judged = {column: found for column, found in group.judged.items() if column in set(columns)}
    sections, ranks = ranked_sections(chosen, columns, judged, choice), _ranks(group, columns)
    title = f"{measured(group.rows)} (%) averaged over {len(group.datasets)} data sets"
    caption = (
        f"{title}, {group.words}.",
        "Numbers after the last epoch, no checkpoint selected.",
        *(spread_text(n, chosen, " of the average over data sets") if n else [NO_NUMBER]),
        *ranking_text(sections),
        *(["Ranks are those of a method's mean on each data set, averaged; 1 is best."] if ranks else []),
    )
    notes = (
        *resolution(judged, shared_best(sections, columns)),
        *unranked_text(judged),
        f"Data sets: {', '.join(group.datasets)}.",
        *(note for note in legend(group.rows, chosen, n) if note != NOT_RUN),
        *([WITHOUT_AVERAGE] if lacks_numbers(chosen, len(columns)) else []),
        *_left_out(group),
    )
    name = f"average-{group.name}{suffix}"
    return Table("average", group.name, name, head(columns), (*sections, *ranks), caption, notes, title)


def _ranks(group: DatasetGroup, columns: Sequence[Column]) -> tuple[Section, ...]:
    rows = rows_of(group.ranks, columns, lambda row: TableEntry(row["rank"], text=f"{row['rank']:.2f}"))
    return (Section("Mean rank over data sets", rows),) if rows else ()


def _left_out(group: DatasetGroup) -> list[str]:
    texts = {"not run on every data set": group.partial, "labels cannot identify the truth there": group.beyond}
    told = [f"Left out, because {why}: {column_names(columns)}." for why, columns in texts.items() if columns]
    return told + ([f"Left out, because one data set counts once: {', '.join(group.twice)}."] if group.twice else [])
