"""Tables as data: cells, sections, captions and notes, free of any output format (`reports.render` writes them)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import pandas as pd

from reports.frame import anchored
from reports.names import DAGGER, NOISE, REFERENCE, SECTIONS, SIGNS, column_name, noise_name, order, percent
from reports.resolution import resolution

Column: TypeAlias = tuple[str, float]
WIDEST = 7
SHOWN_TERMS = 2
GROUP = ["setting", "section", "method", "label", "noise", "rate"]
MEASURES = {
    "memorized": "Predicted as the given wrong label (memorized), %",
    "memorized_excess": "Memorized above epoch 0, points",
    "recovered": "Predicted as the true label (recovered), %",
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
                f"Test accuracy (%) under label noise on {describe(part)}.",
                "Accuracy after the last epoch, no checkpoint selected.",
                *_spread_text(n),
                *(["Trained methods: best in bold, second underlined, by printed value."] if any(marks) else []),
            )
            notes = (*legend(part, chosen, n), *resolution(chosen, n), *_zero_shot_note(chosen))
            tables.append(
                Table("accuracy", setting, f"accuracy-{setting}{suffix}", _head(columns), sections, caption, notes)
            )
    return tables


def memorization_tables(frame: pd.DataFrame) -> list[Table]:
    """What becomes of the mislabeled training samples at the end of training: one section per measure, no ranks."""
    tables = []
    for setting, part in parts(frame):
        noisy = part[(part["rate"] > 0) & part["memorized"].where(part["status"] == "done", 0).notna()]
        summaries = {measure: summarize(noisy, measure) for measure in MEASURES}
        summary = summaries["memorized"]
        if not summary["n"].sum():
            continue
        for suffix, columns in _column_sets(summary):
            n = usual_seeds(_only(summary, columns))
            sections = tuple(
                Section(title, _rows(_sorted(_only(summaries[measure], columns)), columns, n))
                for measure, title in MEASURES.items()
            )
            caption = (
                f"Fate of the mislabeled training samples after the last epoch on {describe(part)}.",
                *_spread_text(n),
            )
            notes = legend(noisy, _only(summary, columns), n)
            tables.append(
                Table(
                    "memorization", setting, f"memorization-{setting}{suffix}", _head(columns), sections, caption, notes
                )
            )
    return tables


def cost_tables(frame: pd.DataFrame) -> list[Table]:
    """What each method costs beside what it reaches; averages over its finished cells."""
    tables = []
    for setting, part in parts(frame):
        costs = cost_frame(part)
        shown = ["Accuracy (%)", "Seconds", "Steps", "Passes", "Parameters", "Cells"]
        memory = bool(costs["peak_memory_bytes"].notna().any())
        head = tuple(("", name) for name in [*shown, *(["Peak memory (MiB)"] if memory else [])])
        sections = tuple(
            Section("", rows)
            for name in SECTIONS
            if (rows := tuple(_cost_row(row, memory) for row in _dicts(costs[costs["section"] == name])))
        )
        common = costs["common_columns"].max() if len(costs) else 0
        caption = (
            f"Cost per cell and accuracy on {describe(part)}.",
            "Costs are means over a method's finished cells.",
            f"Accuracy is the mean over the {common:g} noise columns that every row has.",
        )
        notes = (
            "Steps of the optimizer: all of them, and in brackets those of loss terms that are not in every one (two "
            "at most; the CSV has all).",
            "Passes are forward passes on one batch, parameters those that are fitted.",
            "Seconds are wall-clock and hold for the machines in the records' provenance only.",
            *([f"{DAGGER}: {_ORACLE}."] if (costs["section"] == "oracle").any() else []),
        )
        tables.append(Table("cost", setting, f"cost-{setting}", head, sections, caption, notes))
    return tables


def cost_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Per setting and row: means over finished records of seconds, steps (by loss term), forward passes, trained
    parameters and peak memory [bytes]; `accuracy`, the mean over the noise columns that every row of the setting has.
    """
    rows: list[dict[str, Any]] = []
    for setting, part in parts(frame):
        done = part[part["status"] == "done"]
        common, means = _common_columns(summarize(part))
        for (section, label), group in done.groupby(["section", "label"], sort=False):
            row: dict[str, Any] = {"setting": setting, "section": section, "label": label}
            row["records"] = len(group)
            row |= {"accuracy": means.get(str(label), math.nan), "common_columns": common}
            for name in ("seconds", "forward_passes", "trained_parameters", "peak_memory_bytes"):
                row[name] = float(group[name].mean())
            terms = sorted({term for steps in group["steps"] for term in steps})
            row |= {f"steps_{t}": sum(steps.get(t, 0.0) for steps in group["steps"]) / len(group) for t in terms}
            rows.append(row)
    names = ["setting", "section", "label", "records", "accuracy", "common_columns", "seconds", "forward_passes"]
    return pd.DataFrame(rows, columns=None if rows else [*names, "trained_parameters", "peak_memory_bytes"])


def _common_columns(summary: pd.DataFrame) -> tuple[int, dict[str, float]]:
    """The number of noise columns that every row with a number has, and each row's mean over them."""
    found: dict[str, dict[Column, float]] = {}
    for row in _dicts(summary[summary["n"] > 0]):
        found.setdefault(row["label"], {})[row["noise"], row["rate"]] = row["mean"]
    common = set.intersection(*map(set, found.values())) if found else set()
    if not common:
        return 0, {}
    return len(common), {label: sum(row[c] for c in sorted(common)) / len(common) for label, row in found.items()}


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


def usual_seeds(summary: pd.DataFrame) -> int:
    """The commonest number of finished seeds per cell, the larger of equals; 0 where nothing finished."""
    counts = Counter(int(n) for n in summary["n"] if n)
    return max(counts, key=lambda n: (counts[n], n), default=0)


_ORACLE = "oracle, told what a user would not know (clean subset: trained on the truly clean samples alone)"


def legend(part: pd.DataFrame, summary: pd.DataFrame, n: int) -> tuple[str, ...]:
    """What the signs in a table mean, those that occur in it."""
    signs = {sign for text in summary["signs"] for sign in text}
    notes = [f"{sign}: at least one seed {words}." for sign, words in SIGNS.values() if sign in signs]
    if any(count not in (0, n) for count in summary["n"]):
        notes.append(f"(n): number of finished seeds, where it is not {n}.")
    expected = summary["label"].nunique() * len(summary[["noise", "rate"]].drop_duplicates())
    if (summary["n"] == 0).any() or len(summary) < expected:
        notes.append("–: no number; without a letter the cell has not been run.")
    if (part["section"] == "oracle").any():
        notes.append(f"{DAGGER}: {_ORACLE}.")
    return tuple(notes)


def _joined(signs: pd.Series[str]) -> str:
    return "".join(sorted(set("".join(signs))))


def _column_sets(summary: pd.DataFrame) -> list[tuple[str, list[Column]]]:
    """The columns of one table, or of one table per noise kind where they are more than fit on a page."""
    kinds = order([str(kind) for kind in summary["noise"]], NOISE)
    columns = {
        kind: [(kind, float(r)) for r in sorted(set(summary.loc[summary["noise"] == kind, "rate"]))] for kind in kinds
    }
    together = [column for kind in kinds for column in columns[kind]]
    noisy = [kind for kind in kinds if kind != "none"]
    if len(together) <= WIDEST or len(noisy) < 2:
        return [("", together)]
    return [(f"-{kind}", columns.get("none", []) + columns[kind]) for kind in noisy]


def _only(summary: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    wanted = set(columns)
    return summary[[pair in wanted for pair in zip(summary["noise"], summary["rate"], strict=True)]]


def _sorted(summary: pd.DataFrame) -> pd.DataFrame:
    rank = {name: index for index, name in enumerate(SECTIONS)}
    return summary.sort_values("section", key=lambda names: names.map(rank), kind="stable")


def _dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _rows(summary: pd.DataFrame, columns: Sequence[Column], n: int) -> tuple[Row, ...]:
    """The rows of a summary, in its order, with an empty entry where a cell has no record."""
    entries: dict[str, dict[Column, Entry]] = {}
    for row in _dicts(summary):
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
    return tuple(("", noise_name(k)) if k == "none" else (noise_name(k), percent(rate)) for k, rate in columns)


def _spread_text(n: int) -> list[str]:
    if n == 1:
        return ["One seed, so no spread is known."]
    return [f"Mean ± sample standard deviation over n = {n} seeds."] if n else ["No cell has finished."]


def _zero_shot_note(summary: pd.DataFrame) -> tuple[str, ...]:
    """Where no trained method does better than no training at all."""
    best: dict[Column, float] = {}
    zero: dict[Column, float] = {}
    for row in _dicts(summary[summary["n"] > 0]):
        column = (str(row["noise"]), float(row["rate"]))
        side = zero if row["method"] == REFERENCE else best if row["section"] == "method" else {}
        side[column] = max(side.get(column, -math.inf), row["mean"])
    below = [column_name(*column) for column, value in best.items() if value <= zero.get(column, -math.inf)]
    return (f"No trained method is above zero-shot at: {', '.join(below)}.",) if below else ()


def _cost_row(row: dict[str, Any], memory: bool) -> Row:
    steps = {str(k)[6:]: v for k, v in row.items() if str(k).startswith("steps_") and not math.isnan(v)}
    total = steps.pop("all", math.nan)
    partial = sorted(((v, k) for k, v in steps.items() if v and v != total), key=lambda pair: (-pair[0], pair[1]))
    terms = [f"{term} {value:,.0f}" for value, term in partial[:SHOWN_TERMS]] + ["..."] * (len(partial) > SHOWN_TERMS)
    text = "0" if math.isnan(total) and not terms else f"{total:,.0f}" if not math.isnan(total) else ""
    brackets = f" ({', '.join(terms)})" if terms else ""
    texts = [
        "–" if math.isnan(row["accuracy"]) else f"{row['accuracy']:.1f}",
        "–" if math.isnan(row["seconds"]) else f"{row['seconds']:,.{0 if row['seconds'] >= 100 else 1}f}",
        (text + brackets).strip(),
        *("–" if math.isnan(row[k]) else f"{row[k]:,.0f}" for k in ("forward_passes", "trained_parameters")),
        f"{row['records']}",
    ]
    if memory:
        peak = row["peak_memory_bytes"]
        texts.append("–" if math.isnan(peak) else f"{peak / 2**20:,.0f}")
    return Row(row["label"], tuple(Entry(text=text) for text in texts))
