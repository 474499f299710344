"""What the numbers establish, as a part of the report: averages over data sets, paired differences, tests by ranks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from bench.reports.document import Chapter, Drawn, Passage, Ranks, Supplement, Table
from bench.reports.statistics.bootstrap import bootstrap_frame, bootstrap_tables
from bench.reports.statistics.friedman import Ranking, ranking_frame, ranking_table, rankings, reason, verdict
from bench.reports.statistics.paired import paired_frame, paired_tables, sentence
from bench.reports.statistics.wilcoxon import signed_rank_table, signed_rank_words, signed_ranks
from bench.reports.tables.averages import BY, DatasetGroup, average_tables, dataset_groups
from bench.reports.tables.choice import EVERYTHING, Choice
from bench.reports.tables.summary import settings, short_names

if TYPE_CHECKING:
    from bench.reports.figures.folder import FigureFolder

INTRO = """\
A seed changes the few shots, the wrong labels and the initial parameters together, for all methods alike; so methods
are compared seed by seed, where their wrong labels are the same ones. Over data sets, each is one observation."""


def statistics_supplement(
    frame: pd.DataFrame, figures: FigureFolder | None, choice: Choice = EVERYTHING
) -> tuple[Supplement, list[Drawn]]:
    """Compute averages and tests of a frame, and draw their figures into a folder; None draws none."""
    tests = paired_frame(frame)
    within = paired_tables(frame, tests)
    over: list[Passage] = []
    tables, files, drawn = list(within), {"statistics": tests}, []
    for group in dataset_groups(frame):
        mine = average_tables(group, choice)
        found, intervals = rankings(group), bootstrap_frame(group)
        signed = signed_ranks(group)
        friedman = [ranking_table(group, found)] if found else []
        across = [*friedman, *signed_rank_table(group, signed), *bootstrap_tables(group, intervals)]
        ranks = _ranks(group, found[0], figures) if found else None
        tables += [*mine, *across]
        drawn += [ranks.figure] if ranks and ranks.figure else []
        _add(files, "averages", group.averages.merge(group.ranks.rename(columns={"rank": "mean_rank"}), "left", on=BY))
        _add(files, "statistics-datasets", ranking_frame(group.name, found))
        _add(files, "statistics-pairs", signed)
        _add(files, "statistics-averages", intervals)
        over.append(_across(group, ranks, signed, [*mine, *across]))
    chapter = Chapter("Statistics", (INTRO,), (*over, *_within(frame, tests, within)))
    return Supplement(tuple(tables), (chapter,), files), drawn


def _add(files: dict[str, pd.DataFrame], name: str, more: pd.DataFrame) -> None:
    if len(more):
        files[name] = pd.concat([files[name], more], ignore_index=True) if name in files else more


def _within(frame: pd.DataFrame, tests: pd.DataFrame, tables: Iterable[Table]) -> list[Passage]:
    """Build a passage per setting: a sentence on its tests, and its tables."""
    passages, names = [], short_names(frame)
    for setting, _ in settings(frame):
        mine = tests[tests["setting"] == setting]
        told = "Fewer than two trained methods have numbers to compare." if mine.empty else sentence(mine)
        shown = tuple(table for table in tables if table.setting == setting)
        passages.append(Passage(names[setting], ((told,),), shown))
    return passages


def _ranks(group: DatasetGroup, ranking: Ranking, figures: FigureFolder | None) -> Ranks:
    """Describe the diagram of a ranking, and write it into a folder where there is one."""
    from bench.reports.figures.ranks import caption, colors_of, draw_ranks  # and matplotlib with it

    figure = draw_ranks(group, ranking, figures) if figures else None
    return Ranks(ranking, caption(group, ranking), colors_of(group, ranking), figure)


def _across(group: DatasetGroup, ranks: Ranks | None, signed: pd.DataFrame, tables: Iterable[Table]) -> Passage:
    """Build the passage on the tests over the data sets of a group."""
    title = f"Over data sets: {group.words}"
    words = signed_rank_words(signed)
    more = ((words,),) if words else ()
    if ranks is None:
        trained = group.rows.loc[group.rows["section"] == "method", "label"].nunique()
        why = reason(group, trained) or "Too few methods have a seed with a number on every data set."
        return Passage(title, ((why,), *more), tuple(tables))
    return Passage(title, ((verdict(ranks.ranking),), *more), tuple(tables), ranks)
