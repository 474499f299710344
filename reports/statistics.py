"""What the numbers establish, as a part of the report: averages over data sets, paired differences, tests by ranks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from reports.across import Ranking, bootstrap_frame, bootstrap_tables, ranking_frame, ranking_table, rankings, reason
from reports.averages import BY, Group, average_tables, groups
from reports.drawing import Drawn
from reports.paired import paired_frame, paired_tables, sentence
from reports.published_tables import Part
from reports.ranks_figure import draw_ranks
from reports.render import escape_markdown, markdown
from reports.signed_ranks import signed_rank_table, signed_ranks
from reports.tables import Table, describe, parts

INTRO = """\
A seed changes the few shots, the wrong labels and the initial parameters together, for all methods alike; so methods
are compared seed by seed, where their wrong labels are the same ones. Over data sets, each data set is one observation.
"""


def statistics_part(frame: pd.DataFrame, figures: Path) -> tuple[Part, list[Drawn]]:
    """The averages and tests of a frame, and their figures, drawn into a folder."""
    tests = paired_frame(frame)
    within = paired_tables(frame, tests)
    lines = ["## Statistics", "", INTRO, *_within(frame, tests, within)]
    tables, files, drawn = list(within), {"statistics": tests}, []
    for group in groups(frame):
        mine = average_tables(group)
        found, intervals = rankings(group), bootstrap_frame(group)
        signed = signed_ranks(group)
        friedman = [ranking_table(group, found)] if found else []
        across = [*friedman, *signed_rank_table(group, signed), *bootstrap_tables(group, intervals)]
        figure = draw_ranks(group, found[0], figures) if found else None
        tables += [*mine, *across]
        drawn += [figure] if figure else []
        _add(files, "averages", group.averages.merge(group.ranks.rename(columns={"rank": "mean_rank"}), "left", on=BY))
        _add(files, "statistics-datasets", ranking_frame(group.name, found))
        _add(files, "statistics-pairs", signed)
        _add(files, "statistics-averages", intervals)
        lines += _across(group, found, [*mine, *across], figure)
    return Part(tuple(tables), tuple(lines), files), drawn


def _add(files: dict[str, pd.DataFrame], name: str, more: pd.DataFrame) -> None:
    if len(more):
        files[name] = pd.concat([files[name], more], ignore_index=True) if name in files else more


def _within(frame: pd.DataFrame, tests: pd.DataFrame, tables: Iterable[Table]) -> list[str]:
    """Per setting a sentence and its table."""
    lines = []
    for setting, part in parts(frame):
        lines += [f"### {escape_markdown(describe(part))}", ""]
        mine = tests[tests["setting"] == setting]
        if mine.empty:
            lines += ["Fewer than two trained methods have numbers to compare.", ""]
            continue
        shown = [table for table in tables if table.setting == setting]
        lines += [line for table in shown for line in (markdown(table), "")]
        lines += [] if shown else [escape_markdown(sentence(mine)), ""]
    return lines


def _across(group: Group, found: list[Ranking], tables: Iterable[Table], figure: Drawn | None) -> list[str]:
    lines = [f"### Over data sets: {escape_markdown(group.words)}", ""]
    trained = group.rows.loc[group.rows["section"] == "method", "label"].nunique()
    if not found:
        lines += [escape_markdown(reason(group, trained) or "Too few methods have a number on every data set."), ""]
    lines += [line for table in tables for line in (markdown(table), "")]
    if figure:
        links = ", ".join(f"[{p.suffix[1:].upper()}](figures/{p.name})" for p in figure.files if p.suffix != ".png")
        lines += [f"![ranks figure](figures/{figure.name}.png)", "", f"{escape_markdown(figure.caption)} ({links})", ""]
    return lines
