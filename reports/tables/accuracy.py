"""Accuracy after the last epoch: methods by noise, with ranks, ties and notes, free of any output format."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias, TypeVar

import pandas as pd

from bench.records.naming import mixture
from bench.reports.document import Entry, Row, Section, Table
from bench.reports.frame import anchored
from bench.reports.names import (
    DAGGER,
    REFERENCE,
    SECTIONS,
    SIGNS,
    TIE,
    UNCHANGED,
    column_name,
    file_part,
    identifiable,
    noise_name,
    noise_order,
    noise_parts,
    percent,
)
from bench.reports.tables.ties import Judged, judge, marks, resolution

Column: TypeAlias = tuple[str, float]
WIDEST = 7
Item = TypeVar("Item")
GROUP = ["setting", "section", "method", "label", "noise", "rate"]


def summarize(frame: pd.DataFrame, value: str = "last") -> pd.DataFrame:
    """Per setting, row, noise kind and rate: n, mean and sd (ddof = 1, NaN for one seed) of `value` over the finished
    seeds, and `signs`, the letters of the statuses of the others. Oracle rows get their clean column (`anchored`).
    """
    full = anchored(frame)
    signs = full["status"].map({status: sign for status, (sign, _) in SIGNS.items()}).fillna("")
    full = full.assign(_value=full[value].where(full["status"] == "done"), _sign=signs)
    grouped = full.groupby(GROUP, sort=False)
    table = grouped.agg(n=("_value", "count"), mean=("_value", "mean"), sd=("_value", "std"), signs=("_sign", _joined))
    return table.reset_index()


def accuracy_tables(frame: pd.DataFrame) -> list[Table]:
    """Accuracy after the last epoch, methods by noise; one table per setting, or per noise kind where it is wide.

    Trained methods are ranked among themselves by the rule of `bench.reports.tables.ties`, reference and oracle rows
    never. Columns in which labels cannot identify the truth stand in a table of their own, where nothing is ranked.
    """
    tables = []
    for setting, part in parts(frame):
        summary, judged, others = summarize(part), judge(part), other_budgets(frame, setting)
        beyond = [column for column in columns_of(summary) if not identifiable(*column)]
        within = only(summary, [column for column in columns_of(summary) if column not in beyond])
        for suffix, columns in column_sets(within) if len(within) else []:
            chosen, shown = only(summary, columns), {c: judged[c] for c in columns if c in judged}
            n = usual_seeds(chosen)
            sections = ranked_sections(chosen, columns, n, shown)
            caption = (
                f"{measured(part)} (%) under label noise on {describe(part)}.",
                _selection(part),
                *spread_text(n, chosen),
                *ranking_text(sections),
            )
            notes = (*legend(part, chosen, n), *_test_note(part), *resolution(shown), *_zero_shot_note(chosen), *others)
            name = f"accuracy-{setting}{suffix}"
            tables.append(Table("accuracy", setting, name, head(columns), sections, caption, notes))
        if beyond:
            tables.append(_beyond_half(setting, part, only(summary, beyond), beyond))
    return tables


def _beyond_half(setting: str, part: pd.DataFrame, summary: pd.DataFrame, columns: Sequence[Column]) -> Table:
    """The columns in which the wrong label is the majority of a class, beside zero-shot, without ranks."""
    n = usual_seeds(summary)
    caption = (
        f"{measured(part)} (%) where labels cannot identify the truth, on {describe(part)}.",
        "Above 50 % the wrong label is the commoner one of its class, so labels alone cannot tell the truth: numbers "
        "are to be read beside zero-shot, and nothing is ranked.",
        _selection(part),
        *spread_text(n, summary),
    )
    alone = () if (summary["method"] == REFERENCE).any() else ("Zero-shot, the level to compare with, was not run.",)
    notes = (*legend(part, summary, n), *_test_note(part), *_zero_shot_note(summary), *alone)
    sections = ranked_sections(summary, columns, n, {})
    return Table("accuracy", setting, f"accuracy-{setting}-beyond-half", head(columns), sections, caption, notes)


def ranked_sections(
    summary: pd.DataFrame, columns: Sequence[Column], n: int, judged: Mapping[Column, Judged]
) -> tuple[Section, ...]:
    """The sections of a summary, trained methods with their marks in the columns that are judged."""
    return tuple(
        Section("", _marked(rows, columns, judged) if name == "method" else rows)
        for name in SECTIONS
        if (rows := rows_of(summary[summary["section"] == name], columns, n))
    )


def ranking_text(sections: Sequence[Section]) -> tuple[str, ...]:
    """What the marks mean, those that occur."""
    entries = [entry for section in sections for row in section.rows for entry in row.entries]
    used = {entry.mark for entry in entries}
    words = [text for mark, text in (("best", "best in bold"), ("second", "second underlined")) if mark in used]
    tied = any(entry.signs.startswith(TIE) for entry in entries)
    told = [f"Trained methods: {', '.join(words)}."] if words else []
    if tied:
        second = ", or for second where one is in bold" if "best" in used else ""
        told.append(f"{TIE}: tied for best within the noise of the seeds{second}, so not ranked.")
    return tuple(told)


def _selection(part: pd.DataFrame) -> str:
    number = "Accuracy" if part["test_truth"].all() else "Numbers"
    return f"{number} after the last epoch, no checkpoint selected."


def other_budgets(frame: pd.DataFrame, setting: str) -> tuple[str, ...]:
    """Where the same data stand under other budgets, which no table mixes."""
    same = ["dataset", "shots", "backbone"]
    first = frame.loc[frame["setting"] == setting].iloc[0]
    alike = frame.loc[(frame[same] == first[same]).all(axis=1), "setting"]
    others = sorted(set(alike) - {setting})
    return (f"Other budgets on the same data stand in tables of their own: {', '.join(others)}.",) if others else ()


def parts(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The settings of a frame, by name, in alphabetical order."""
    for setting, part in frame.groupby("setting", sort=True):
        yield str(setting), part


def describe(part: pd.DataFrame) -> str:
    """Data set, shots, backbone, epochs and budget of one setting, in words."""
    first = part.iloc[0]
    fixed = f"{first['dataset']}, {_counted(first['shots'], 'shot')} per class, backbone {first['backbone']}"
    if first["budget"] == "paper":
        return f"{fixed}, each method's own optimizer and epochs (budget {first['budget']})"
    return (
        f"{fixed}, {_counted(first['epochs'], 'epoch')}, one budget for all "
        f"(batch {first['batch_size']}, learning rate {first['learning_rate']:g})"
    )


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def measured(part: pd.DataFrame) -> str:
    """What the numbers on the test set of a setting are: accuracy only where its labels are right."""
    return "Test accuracy" if part["test_truth"].all() else "Agreement with given test labels"


def _test_note(part: pd.DataFrame) -> tuple[str, ...]:
    if part["test_truth"].all():
        return ()
    return ("The test labels come with the training labels and are as noisy: numbers are agreement, no accuracy.",)


def usual_seeds(summary: pd.DataFrame) -> int:
    """The commonest number of finished seeds per cell, the larger of equals; 0 where nothing finished."""
    counts = Counter(int(n) for n in summary["n"] if n)
    return max(counts, key=lambda n: (counts[n], n), default=0)


ORACLE = "oracle, told what a user would not know (clean subset: trained on the truly clean samples alone)"


def legend(part: pd.DataFrame, summary: pd.DataFrame, n: int) -> tuple[str, ...]:
    """What the signs in a table mean, those that occur in it."""
    signs = {sign for text in summary["signs"] for sign in text}
    notes = [
        f"{sign}: {_skipped(part)}." if status == "skipped" else f"{sign}: at least one seed {words}."
        for status, (sign, words) in SIGNS.items()
        if sign in signs
    ]
    if any(count not in (0, n) for count in summary["n"]):
        notes.append(f"(n): number of finished seeds, where it is not {n}; ranked are rows of the same seeds alone.")
    expected = summary["label"].nunique() * len(summary[["noise", "rate"]].drop_duplicates())
    if (summary["n"] == 0).any() or len(summary) < expected:
        notes.append("–: no number; without a letter the cell has not been run.")
    if (part["section"] == "oracle").any():
        notes.append(f"{DAGGER}: {ORACLE}.")
    return (*notes, *_by_column(part), *filter(None, [mixture(part["made"])]))


def _by_column(part: pd.DataFrame) -> Iterator[str]:
    """What rows set by column, as papers do by kind and rate of the noise."""
    told = part.loc[part["by_noise"] != "", ["label", "by_noise"]].drop_duplicates()
    if len(told):
        yield f"Options that a row sets by noise: {'; '.join(f'{label}: {names}' for label, names in told.to_numpy())}."


def _skipped(part: pd.DataFrame) -> str:
    """Why cells of a setting were skipped."""
    reasons = part.loc[part["status"] == "skipped", "reason"].drop_duplicates()
    return "skipped, because " + ", or ".join(map(str, reasons))


def _joined(signs: pd.Series[str]) -> str:
    return "".join(sorted(set("".join(signs))))


def columns_of(summary: pd.DataFrame) -> list[Column]:
    """The noise columns of a summary, in order."""
    kinds = noise_order(str(kind) for kind in summary["noise"])
    return [(kind, float(r)) for kind in kinds for r in sorted(set(summary.loc[summary["noise"] == kind, "rate"]))]


def column_sets(summary: pd.DataFrame) -> list[tuple[str, list[Column]]]:
    """The columns of one table, or where they are more than fit on a page of one table per noise kind; kinds without
    rates share one, and kinds of one rate each share tables of even width.
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
    """The sets, those of one rate put together, at most `room` in a table; they come last."""
    single = [own[0] for own in sets.values() if len(own) == 1 and own[0][1]]
    if len(single) < 2:
        return sets
    kept = {suffix: own for suffix, own in sets.items() if own[0] not in single}
    parts = evenly(single, room)
    names = ["-kinds"] if len(parts) == 1 else [f"-kinds-{number + 1}" for number in range(len(parts))]
    return kept | dict(zip(names, parts, strict=True))


def evenly(items: list[Item], most: int) -> list[list[Item]]:
    """The items in the fewest parts of at most `most`, whose sizes differ by one at most."""
    parts = -(-len(items) // most)
    ends = [-(-len(items) * part // parts) for part in range(parts + 1)] if parts else []
    return [items[start:end] for start, end in pairwise(ends)]


def only(summary: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """The rows of a summary in some columns."""
    wanted = set(columns)
    kept = [pair in wanted for pair in zip(summary["noise"], summary["rate"], strict=True)]
    return summary[pd.Series(kept, index=summary.index, dtype=bool)]


def as_dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame by column."""
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def rows_of(summary: pd.DataFrame, columns: Sequence[Column], n: int) -> tuple[Row, ...]:
    """The rows of a summary, in its order, with an empty entry where a cell has no record."""
    entries: dict[str, dict[Column, Entry]] = {}
    for row in as_dicts(summary):
        entry = Entry(row["mean"], row["sd"], row["n"], signs=row["signs"], show_n=row["n"] not in (0, n))
        entries.setdefault(row["label"], {})[row["noise"], row["rate"]] = entry
    return tuple(Row(label, tuple(found.get(c, Entry()) for c in columns)) for label, found in entries.items())


def _marked(rows: tuple[Row, ...], columns: Sequence[Column], judged: Mapping[Column, Judged]) -> tuple[Row, ...]:
    """The rows with the marks of each column; nothing where one row stands."""
    made: list[list[Entry]] = []
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
    return tuple(Row(row.label, entries) for row, entries in zip(rows, zip(*made, strict=True), strict=True))


def head(columns: Sequence[Column]) -> tuple[tuple[str, str], ...]:
    """The two lines above each column: kind and rate, or of a kind without rates its name, and options below it."""
    return tuple((noise_name(k), percent(rate)) if rate else _alone(*noise_parts(k)) for k, rate in columns)


def difference_text(points: float) -> str:
    """A difference with its sign, to the printed precision; nothing has none."""
    text = f"{points:+.1f}"
    return "0.0" if float(text) == 0 else text


def _alone(name: str, options: str) -> tuple[str, str]:
    return (name, options) if options else ("", name)


def spread_text(n: int, summary: pd.DataFrame, of: str = "") -> list[str]:
    """Which spread a table of a summary shows, of what, and over how many seeds, `n` in most of its cells."""
    if n == 1 and (summary["n"] > 1).any():
        return [f"One seed where no (n) stands, and mean ± sample standard deviation over n seeds{of} elsewhere."]
    if n == 1:
        return ["One seed, so no spread is known."]
    return [f"Mean ± sample standard deviation over n = {n} seeds{of}."] if n else ["No cell has finished."]


def _zero_shot_note(summary: pd.DataFrame) -> tuple[str, ...]:
    """Where no trained method does better than no training at all."""
    best: dict[Column, float] = {}
    zero: dict[Column, float] = {}
    for row in as_dicts(summary[summary["n"] > 0]):
        column = (str(row["noise"]), float(row["rate"]))
        side = zero if row["method"] == REFERENCE else best if row["section"] == "method" else {}
        side[column] = max(side.get(column, -math.inf), row["mean"])
    below = [column_name(*column) for column, value in best.items() if value <= zero.get(column, -math.inf)]
    return (f"No trained method is above zero-shot at: {', '.join(below)}.",) if below else ()
