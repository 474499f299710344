"""Tables of accuracy after the last epoch: methods by noise, with ranks, ties and notes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.records.cell import Cell, Role
from bench.reports.document import Section, Table, TableEntry, TableRow
from bench.reports.frame import SPANNED
from bench.reports.names import REFERENCE, column_name
from bench.reports.tables.choice import EVERYTHING, Choice
from bench.reports.tables.columns import Column, as_dicts, beyond_limits, column_names, columns_of, head, only, rows_of
from bench.reports.tables.summary import (
    describe,
    entry_of,
    legend,
    measured,
    settings,
    spread_text,
    summarize,
    usual_seeds,
)
from bench.reports.tables.ties import judge, resolution, shared_best
from bench.standing import NEAR, UNSTABLE, UNSTABLE_RATIO, Judged, Standing, marks
from bench.statistics import TIE_DIGITS

BUDGET = {"budget", *Cell.fields_of(Role.TRAINING)} - {"validation"}  # fields whose other values are another budget
BEYOND_HALF = (
    "At {} a wrong label is as common as the true one of its class, or commoner, so labels alone cannot tell the "
    "truth: numbers are to be read beside zero-shot, and nothing is ranked."
)
NO_REFERENCE = "Zero-shot, the level to compare with, was not run."
UNRANKED = "Not ranked, for want of seeds and wrong labels in common with the others: "
NOISY_TEST = "The test labels come with the training labels and are as noisy: numbers are agreement, no accuracy."


def accuracy_tables(frame: pd.DataFrame, choice: Choice = EVERYTHING) -> list[Table]:
    """Build the tables of accuracy after the last epoch: one per setting, or per noise kind where it is wide.

    Trained methods are ranked among themselves by the rule of `bench.reports.tables.ties`, reference and oracle rows
    never. Columns in which labels cannot identify the truth stand in a table of their own, where nothing is ranked; so
    they do in one that was asked for by its columns.
    """
    tables = []
    one = bool(choice.columns)
    for setting, part in settings(frame):
        summary, judged, others = summarize(part), judge(part), other_settings(frame, setting)
        beyond = beyond_limits(part)
        judged = {column: found for column, found in judged.items() if column not in beyond}
        within = only(summary, [column for column in columns_of(summary) if one or column not in beyond])
        for suffix, columns in choice.column_sets(within) if len(within) else []:
            title = f"{measured(part)} (%) under label noise"
            here = [column for column in columns if column in beyond]
            notes = [*others, *([BEYOND_HALF.format(column_names(here))] if here else [])]
            table = _Part(f"accuracy-{setting}{suffix}", title, part, only(summary, columns), columns)
            tables.append(_table(table, judged, notes, choice))
        if beyond and not one:
            chosen = only(summary, beyond)
            without = [] if (chosen["method"] == REFERENCE).any() else [NO_REFERENCE]
            notes = [BEYOND_HALF.format(column_names(beyond)), *without]
            title = f"{measured(part)} (%) where labels cannot identify the truth"
            table = _Part(f"accuracy-{setting}-beyond-half", title, part, chosen, beyond)
            tables.append(_table(table, judged, notes, choice))
    return tables


@dataclass(frozen=True)
class _Part:
    """What one table shows: name, title, rows of the setting, and the summary of its columns."""

    name: str
    title: str
    rows: pd.DataFrame
    summary: pd.DataFrame
    columns: Sequence[Column]


def _table(part: _Part, known: Mapping[Column, Judged], notes: Sequence[str], choice: Choice) -> Table:
    """Build a table, ranked in the columns that are judged."""
    summary, n, right = part.summary, usual_seeds(part.summary), part.rows["test_truth"].all()
    judged = {column: known[column] for column in part.columns if column in known}
    sections = ranked_sections(summary, part.columns, judged, choice)
    caption = (
        f"{part.title} on {describe(part.rows)}.",
        f"{'Accuracy' if right else 'Numbers'} after the last epoch, no checkpoint selected.",
        *spread_text(n, summary),
        *ranking_text(sections),
    )
    told = (
        *resolution(judged, shared_best(sections, part.columns)),
        *unranked_text(judged),
        *legend(part.rows, summary, n),
        *([] if right else [NOISY_TEST]),
    )
    told = (*told, *_zero_shot_note(summary), *notes)
    setting = str(part.rows["setting"].iloc[0])
    return Table("accuracy", setting, part.name, head(part.columns), sections, caption, told, part.title)


def ranked_sections(
    summary: pd.DataFrame, columns: Sequence[Column], judged: Mapping[Column, Judged], choice: Choice
) -> tuple[Section, ...]:
    """Build the sections of a summary, trained methods marked in the columns that are judged."""
    made = entry_of(usual_seeds(summary), choice.digits)
    parts = [(name, rows_of(rows, columns, made)) for name, rows in choice.sections(summary)]
    ranked = [row for name, rows in parts for row in rows if name == "method"]
    standings = _standings(ranked, columns, judged)
    return tuple(
        Section("", tuple(_marked(row, standings) for row in rows) if name == "method" else rows)
        for name, rows in parts
        if rows
    )


def ranking_text(sections: Sequence[Section]) -> tuple[str, ...]:
    """Explain the marks that occur."""
    entries = [entry for section in sections for row in section.rows for entry in row.entries]
    used = {entry.mark for entry in entries}
    words = [text for mark, text in (("best", "best mean in bold"), ("second", "second underlined")) if mark in used]
    told = [f"Trained methods: {', '.join(words)}."] if words else []
    if any(entry.near for entry in entries):
        told.append(f"{NEAR}: the seeds do not tell it from the best.")
    if any(UNSTABLE in entry.signs for entry in entries):
        told.append(f"{UNSTABLE}: unstable, its seeds spread at least {UNSTABLE_RATIO:g} times as far as the others'.")
    return tuple(told)


def unranked_text(columns: Mapping[Column, Judged]) -> tuple[str, ...]:
    """Name the trained methods that are not ranked, with the columns where these are not all."""
    found: dict[str, list[str]] = {}
    for column, judged in columns.items():
        for label in judged.unranked:
            found.setdefault(label, []).append(column_name(*column))
    names = [f"{label} ({', '.join(at)})" if len(at) < len(columns) else label for label, at in found.items()]
    return (f"{UNRANKED}{'; '.join(names)}.",) if names else ()


def other_settings(frame: pd.DataFrame, setting: str) -> tuple[str, ...]:
    """List the settings of the same data, shots and backbone, which no table mixes; budgets, where no more differs."""
    same = ["dataset", "shots", "backbone"]
    first = frame.loc[frame["setting"] == setting].iloc[0]
    others = frame[(frame[same] == first[same]).all(axis=1) & (frame["setting"] != setting)]
    if others.empty:
        return ()
    fields = [name for name in Cell.model_fields if name in frame and name not in {*SPANNED, *BUDGET}]
    what = "budgets" if (others[fields] == first[fields]).all(axis=None) else "settings"
    named = ", ".join(sorted(set(others["setting"])))
    return (f"Other {what} on the same data stand in tables of their own: {named}.",)


def _standings(
    rows: Sequence[TableRow], columns: Sequence[Column], judged: Mapping[Column, Judged]
) -> list[dict[str, Standing]]:
    """Find how the rows stand in each column; nothing where one row stands."""
    printed = [{row.label: row.entries[place].printed for row in rows} for place in range(len(columns))]
    found = zip(columns, printed, strict=True)
    return [marks(judged[column], texts) if column in judged else {} for column, texts in found]


def _marked(row: TableRow, standings: Sequence[Mapping[str, Standing]]) -> TableRow:
    entries: list[TableEntry] = []
    for entry, column in zip(row.entries, standings, strict=True):
        found = column.get(row.label, Standing())
        signs = entry.signs + UNSTABLE * found.unstable
        entries.append(replace(entry, mark=found.mark, near=found.near, signs=signs))
    return TableRow(row.label, tuple(entries))


def _zero_shot_note(summary: pd.DataFrame) -> tuple[str, ...]:
    """List the columns in which no trained method does better than no training at all."""
    best: dict[Column, float] = {}
    zero: dict[Column, float] = {}
    for row in as_dicts(summary[summary["n"] > 0]):
        column = (str(row["noise"]), float(row["rate"]))
        side = zero if row["method"] == REFERENCE else best if row["section"] == "method" else {}
        side[column] = max(side.get(column, -math.inf), round(row["mean"], TIE_DIGITS))
    below = [column for column, value in best.items() if value <= zero.get(column, -math.inf)]
    return (f"No trained method is above zero-shot at: {column_names(below)}.",) if below else ()
