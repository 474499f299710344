"""Tables as data: cells, sections, captions and notes, free of any output format (`reports.render` writes them)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import pandas as pd

from reports.frame import anchored, truth_known
from reports.names import (
    DAGGER,
    NOISE,
    REFERENCE,
    SECTIONS,
    SIGNS,
    UNCHANGED,
    column_name,
    file_part,
    noise_name,
    order,
    percent,
)
from reports.resolution import resolution

Column: TypeAlias = tuple[str, float]
WIDEST = 7
GROUP = ["setting", "section", "method", "label", "noise", "rate"]
MEASURES = {
    "memorized": "Predicted as the given wrong label (memorized), %",
    "memorized_excess": "Memorized above epoch 0, points",
    "recovered": "Predicted as the true label (recovered), %",
}
SPLIT = "split_share"
WITHOUT_TRUTH = {
    "train_given_accuracy": "Predicted as the given label, right or wrong (agrees with given), %",
    "train_given_accuracy_excess": "Agrees with given above epoch 0, points",
    SPLIT: "Taken to be clean by methods that split the samples, %",
}


@dataclass(frozen=True)
class Entry:
    """One cell: mean and sample standard deviation over `n` seeds, or a text instead.

    Attributes:
        mark: "best" or "second" of its column, by printed value.
        signs: letters of the statuses of seeds that have no number.
        show_n: whether the number of seeds differs from the table's.
    """

    mean: float = math.nan
    sd: float = math.nan
    n: int = 0
    mark: Literal["", "best", "second"] = ""
    signs: str = ""
    show_n: bool = False
    text: str = ""

    @property
    def printed(self) -> str:
        """The text, or the mean to the printed precision, or "–"."""
        return self.text or ("–" if math.isnan(self.mean) else f"{self.mean + 0.0:.1f}".replace("-0.0", "0.0"))

    @property
    def spread(self) -> str:
        """The standard deviation to the printed precision, empty for a single seed."""
        return "" if math.isnan(self.sd) else f"{self.sd:.1f}"


@dataclass(frozen=True)
class Row:
    """A row: what it is and one entry per column."""

    label: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Section:
    """Rows between two rules, with a heading where `title` is not empty."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """A table of one setting: `name` is its file's, `kind` the first part of it, `head` a (group, column) pair per
    column; caption and notes are sentences.
    """

    kind: str
    setting: str
    name: str
    head: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    caption: tuple[str, ...]
    notes: tuple[str, ...]


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

    Trained methods are ranked among themselves by printed mean; reference and oracle rows never are.
    """
    tables = []
    for setting, part in parts(frame):
        summary = summarize(part)
        for suffix, columns in _column_sets(summary):
            chosen = _only(summary, columns)
            n = usual_seeds(chosen)
            sections = tuple(
                Section("", _marked(rows) if name == "method" else rows)
                for name in SECTIONS
                if (rows := _rows(chosen[chosen["section"] == name], columns, n))
            )
            marks = [entry.mark for section in sections for row in section.rows for entry in row.entries]
            caption = (
                f"{measured(part)} (%) under label noise on {describe(part)}.",
                "Numbers after the last epoch, no checkpoint selected."
                if not part["test_truth"].all()
                else "Accuracy after the last epoch, no checkpoint selected.",
                *_spread_text(n),
                *(["Trained methods: best in bold, second underlined, by printed value."] if any(marks) else []),
            )
            notes = (*legend(part, chosen, n), *_test_note(part), *resolution(chosen, n), *_zero_shot_note(chosen))
            tables.append(
                Table("accuracy", setting, f"accuracy-{setting}{suffix}", _head(columns), sections, caption, notes)
            )
    return tables


def memorization_tables(frame: pd.DataFrame) -> list[Table]:
    """What becomes of the mislabeled training samples at the end of training: one section per measure, no ranks."""
    return [
        table
        for setting, part in parts(frame)
        if truth_known(part)
        for table in _training_tables(
            "memorization", setting, part[~part["noise"].isin(UNCHANGED)], MEASURES,
            f"Fate of the mislabeled training samples after the last epoch on {describe(part)}.",
        )
    ]  # fmt: skip


def agreement_tables(frame: pd.DataFrame) -> list[Table]:
    """What can be said of training samples where nobody knows which are mislabeled: one section per measure."""
    return [
        table
        for setting, part in parts(frame)
        if not truth_known(part)
        for table in _training_tables(
            "agreement", setting, part, WITHOUT_TRUTH,
            f"Training samples and their given labels after the last epoch on {describe(part)}.",
            "Agreement counts right and wrong labels alike, because nobody knows which are wrong: it shows how closely "
            "a method fits what it was given, and is better neither high nor low.",
        )
    ]  # fmt: skip


def _training_tables(
    kind: str, setting: str, rows: pd.DataFrame, measures: Mapping[str, str], title: str, *notes: str
) -> list[Table]:
    """Tables of measures on training samples, of the records that have the first of them."""
    first = next(iter(measures))
    rows = rows[rows[first].where(rows["status"] == "done", 0).notna()]
    summaries = {measure: summarize(rows, measure) for measure in measures}
    summary = summaries[first]
    if SPLIT in summaries:  # of methods that split the samples alone
        split = summaries[SPLIT]
        summaries[SPLIT] = split[split["label"].isin(split.loc[split["n"] > 0, "label"])]
    if not summary["n"].sum():
        return []
    tables = []
    for suffix, columns in _column_sets(summary):
        n = usual_seeds(_only(summary, columns))
        sections = tuple(
            Section(heading, _rows(_sorted(_only(summaries[measure], columns)), columns, n))
            for measure, heading in measures.items()
            if summaries[measure]["n"].sum()
        )
        told = (*legend(rows, _only(summary, columns), n), *notes)
        name = f"{kind}-{setting}{suffix}"
        tables.append(Table(kind, setting, name, _head(columns), sections, (title, *_spread_text(n)), told))
    return tables


def parts(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The settings of a frame, by name, in alphabetical order."""
    for setting, part in frame.groupby("setting", sort=True):
        yield str(setting), part


def describe(part: pd.DataFrame) -> str:
    """Data set, shots, backbone, epochs and budget of one setting, in words."""
    first = part.iloc[0]
    fixed = f"{first['dataset']}, {first['shots']} shots per class, backbone {first['backbone']}"
    if first["budget"] == "paper":
        return f"{fixed}, each method's own optimizer and epochs (budget {first['budget']})"
    return (
        f"{fixed}, {first['epochs']} epochs, one budget for all "
        f"(batch {first['batch_size']}, learning rate {first['learning_rate']:g})"
    )


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
        notes.append(f"(n): number of finished seeds, where it is not {n}.")
    expected = summary["label"].nunique() * len(summary[["noise", "rate"]].drop_duplicates())
    if (summary["n"] == 0).any() or len(summary) < expected:
        notes.append("–: no number; without a letter the cell has not been run.")
    if (part["section"] == "oracle").any():
        notes.append(f"{DAGGER}: {ORACLE}.")
    return tuple(notes)


def _skipped(part: pd.DataFrame) -> str:
    """Why cells of a setting were skipped."""
    reasons = part.loc[part["status"] == "skipped", "reason"].drop_duplicates()
    return "skipped, because " + ", or ".join(map(str, reasons))


def _joined(signs: pd.Series[str]) -> str:
    return "".join(sorted(set("".join(signs))))


def _column_sets(summary: pd.DataFrame) -> list[tuple[str, list[Column]]]:
    """The columns of one table, or where they are more than fit on a page of one table per noise kind; kinds without
    rates share one.
    """
    kinds = order([str(kind) for kind in summary["noise"]], NOISE)
    columns = {
        kind: [(kind, float(r)) for r in sorted(set(summary.loc[summary["noise"] == kind, "rate"]))] for kind in kinds
    }
    together = [column for kind in kinds for column in columns[kind]]
    base = [column for column in together if column[0] in UNCHANGED]
    sets: dict[str, list[Column]] = {}
    for column in together:
        if column not in base:
            sets.setdefault(f"-{file_part(column[0])}" if column[1] else "-without-rate", []).append(column)
    if len(together) <= WIDEST or len(sets) < 2:
        return [("", together)]
    return [(suffix, base + own) for suffix, own in sets.items()]


def _only(summary: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    wanted = set(columns)
    return summary[[pair in wanted for pair in zip(summary["noise"], summary["rate"], strict=True)]]


def _sorted(summary: pd.DataFrame) -> pd.DataFrame:
    rank = {name: index for index, name in enumerate(SECTIONS)}
    return summary.sort_values("section", key=lambda names: names.map(rank), kind="stable")


def as_dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame by column."""
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _rows(summary: pd.DataFrame, columns: Sequence[Column], n: int) -> tuple[Row, ...]:
    """The rows of a summary, in its order, with an empty entry where a cell has no record."""
    entries: dict[str, dict[Column, Entry]] = {}
    for row in as_dicts(summary):
        entry = Entry(row["mean"], row["sd"], row["n"], signs=row["signs"], show_n=row["n"] not in (0, n))
        entries.setdefault(row["label"], {})[row["noise"], row["rate"]] = entry
    return tuple(Row(label, tuple(found.get(c, Entry()) for c in columns)) for label, found in entries.items())


def _marked(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows with best and second printed mean of each column marked, ties alike; nothing where one row stands."""
    marks: list[dict[str, Literal["best", "second"]]] = []
    for column in zip(*(row.entries for row in rows), strict=True):
        numbers = [entry.printed for entry in column if not math.isnan(entry.mean)]
        distinct = sorted(set(numbers), key=float, reverse=True)
        ranks: tuple[Literal["best", "second"], ...] = ("best", "second")
        marks.append(dict(zip(distinct, ranks, strict=False)) if len(numbers) > 1 else {})
    return tuple(
        Row(row.label, tuple(replace(e, mark=m.get(e.printed, "")) for e, m in zip(row.entries, marks, strict=True)))
        for row in rows
    )


def _head(columns: Sequence[Column]) -> tuple[tuple[str, str], ...]:
    return tuple((noise_name(k), percent(rate)) if rate else ("", noise_name(k)) for k, rate in columns)


def _spread_text(n: int) -> list[str]:
    if n == 1:
        return ["One seed, so no spread is known."]
    return [f"Mean ± sample standard deviation over n = {n} seeds."] if n else ["No cell has finished."]


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
