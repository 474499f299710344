"""Tables of accuracy after the last epoch: methods by noise, with ranks, ties and notes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from bench.reports.document import Section, Table, TableEntry, TableRow
from bench.reports.names import REFERENCE, SECTIONS, TIE, column_name, identifiable
from bench.reports.tables.columns import Column, as_dicts, column_sets, columns_of, head, only, rows_of
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
from bench.reports.tables.ties import Judged, judge, marks, resolution

BEYOND_HALF = (
    "Above 50 % the wrong label is the commoner one of its class, so labels alone cannot tell the truth: numbers are "
    "to be read beside zero-shot, and nothing is ranked."
)
NO_REFERENCE = "Zero-shot, the level to compare with, was not run."
NOISY_TEST = "The test labels come with the training labels and are as noisy: numbers are agreement, no accuracy."


def accuracy_tables(frame: pd.DataFrame) -> list[Table]:
    """Build the tables of accuracy after the last epoch: one per setting, or per noise kind where it is wide.

    Trained methods are ranked among themselves by the rule of `bench.reports.tables.ties`, reference and oracle rows
    never. Columns in which labels cannot identify the truth stand in a table of their own, where nothing is ranked.
    """
    tables = []
    for setting, part in settings(frame):
        summary, judged, others = summarize(part), judge(part), other_budgets(frame, setting)
        beyond = [column for column in columns_of(summary) if not identifiable(*column)]
        within = only(summary, [column for column in columns_of(summary) if column not in beyond])
        for suffix, columns in column_sets(within) if len(within) else []:
            shown = {column: judged[column] for column in columns if column in judged}
            title = f"{measured(part)} (%) under label noise on {describe(part)}."
            tables.append(_table(f"accuracy-{setting}{suffix}", part, only(summary, columns), shown, [title], others))
        if beyond:
            chosen = only(summary, beyond)
            alone = [] if (chosen["method"] == REFERENCE).any() else [NO_REFERENCE]
            title = f"{measured(part)} (%) where labels cannot identify the truth, on {describe(part)}."
            tables.append(_table(f"accuracy-{setting}-beyond-half", part, chosen, {}, [title, BEYOND_HALF], alone))
    return tables


def _table(
    name: str,
    part: pd.DataFrame,
    summary: pd.DataFrame,
    judged: Mapping[Column, Judged],
    title: Sequence[str],
    notes: Sequence[str],
) -> Table:
    """Build a table of the columns of a summary, ranked in those that are judged."""
    columns, n, right = columns_of(summary), usual_seeds(summary), part["test_truth"].all()
    sections = ranked_sections(summary, columns, n, judged)
    caption = (
        *title,
        f"{'Accuracy' if right else 'Numbers'} after the last epoch, no checkpoint selected.",
        *spread_text(n, summary),
        *ranking_text(sections),
    )
    told = (*legend(part, summary, n), *([] if right else [NOISY_TEST]), *resolution(judged))
    told = (*told, *_zero_shot_note(summary), *notes)
    return Table("accuracy", str(part["setting"].iloc[0]), name, head(columns), sections, caption, told)


def ranked_sections(
    summary: pd.DataFrame, columns: Sequence[Column], n: int, judged: Mapping[Column, Judged]
) -> tuple[Section, ...]:
    """Build the sections of a summary, trained methods marked in the columns that are judged."""
    return tuple(
        Section("", _marked(rows, columns, judged) if name == "method" else rows)
        for name in SECTIONS
        if (rows := rows_of(summary[summary["section"] == name], columns, entry_of(n)))
    )


def ranking_text(sections: Sequence[Section]) -> tuple[str, ...]:
    """Explain the marks that occur."""
    entries = [entry for section in sections for row in section.rows for entry in row.entries]
    used = {entry.mark for entry in entries}
    words = [text for mark, text in (("best", "best in bold"), ("second", "second underlined")) if mark in used]
    tied = any(entry.signs.startswith(TIE) for entry in entries)
    told = [f"Trained methods: {', '.join(words)}."] if words else []
    if tied:
        second = ", or for second where one is in bold" if "best" in used else ""
        told.append(f"{TIE}: tied for best within the noise of the seeds{second}, so not ranked.")
    return tuple(told)


def other_budgets(frame: pd.DataFrame, setting: str) -> tuple[str, ...]:
    """List the settings that differ in the budget alone, which no table mixes."""
    same = ["dataset", "shots", "backbone"]
    first = frame.loc[frame["setting"] == setting].iloc[0]
    alike = frame.loc[(frame[same] == first[same]).all(axis=1), "setting"]
    others = sorted(set(alike) - {setting})
    return (f"Other budgets on the same data stand in tables of their own: {', '.join(others)}.",) if others else ()


def _marked(
    rows: tuple[TableRow, ...], columns: Sequence[Column], judged: Mapping[Column, Judged]
) -> tuple[TableRow, ...]:
    """Mark best, second and ties of each column; nothing where one row stands."""
    made: list[list[TableEntry]] = []
    for column, entries in zip(columns, zip(*(row.entries for row in rows), strict=True), strict=True):
        printed = {row.label: entry.printed for row, entry in zip(rows, entries, strict=True)}
        given = marks(judged[column], printed) if column in judged else {}
        found = [given.get(row.label, ("", False)) for row in rows]
        made.append(
            [
                replace(entry, mark=mark, signs=TIE + entry.signs if tied else entry.signs)
                for entry, (mark, tied) in zip(entries, found, strict=True)
            ]
        )
    return tuple(TableRow(row.label, entries) for row, entries in zip(rows, zip(*made, strict=True), strict=True))


def _zero_shot_note(summary: pd.DataFrame) -> tuple[str, ...]:
    """List the columns in which no trained method does better than no training at all."""
    best: dict[Column, float] = {}
    zero: dict[Column, float] = {}
    for row in as_dicts(summary[summary["n"] > 0]):
        column = (str(row["noise"]), float(row["rate"]))
        side = zero if row["method"] == REFERENCE else best if row["section"] == "method" else {}
        side[column] = max(side.get(column, -math.inf), row["mean"])
    below = [column_name(*column) for column, value in best.items() if value <= zero.get(column, -math.inf)]
    return (f"No trained method is above zero-shot at: {', '.join(below)}.",) if below else ()
