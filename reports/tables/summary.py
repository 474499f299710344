"""Means over seeds per row and noise column, and the sentences that every table of a setting shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.layout import counted
from bench.records.naming import mixture
from bench.reports.document import TableEntry
from bench.reports.frame import anchored
from bench.reports.names import DAGGER, SIGNS
from bench.reports.tables.columns import Maker

if TYPE_CHECKING:
    from pandas.api.typing import SeriesGroupBy

GROUP = ["setting", "section", "method", "label", "noise", "rate"]
TRAINING = {"epochs": "epochs", "optimizer": "optimizer", "learning_rate": "learning rate", "batch_size": "batch size"}
NOT_RUN = "–: no number; without a letter the cell has not been run."
ORACLE = "oracle, told what a user would not know (clean subset: trained on the truly clean samples alone)"


def summarize(frame: pd.DataFrame, value: str = "last") -> pd.DataFrame:
    """Average `value` over the finished seeds of each setting, row, noise kind and rate.

    Columns beside these: n, mean, sd (ddof = 1, NaN for one seed), and `signs`, the letters of the statuses of the
    other seeds. Oracle rows get their clean column (`anchored`).
    """
    full = anchored(frame)
    full = full[GROUP].assign(_value=full[value].where(full["status"] == "done"), _sign=signs_of(full))
    grouped = full.groupby(GROUP, sort=False)
    table = grouped["_value"].agg(["count", "mean", "std"]).rename(columns={"count": "n", "std": "sd"})
    return table.assign(signs=joined_signs(grouped["_sign"])).reset_index()


def settings(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield name and rows of each setting, in alphabetical order."""
    for setting, part in frame.groupby("setting", sort=True):
        yield str(setting), part


def describe(part: pd.DataFrame) -> str:
    """Describe one setting: data set, shots, backbone, and what of the training is the same for all."""
    first = part.iloc[0]
    fixed = f"{first['dataset']}, {counted(first['shots'], 'shot')} per class, backbone {first['backbone']}"
    if first["budget"] == "paper":
        return f"{fixed}, each method's own optimizer and epochs (budget {first['budget']})"
    views = f", {counted(first['views'], 'augmented view')}" if first["views"] else ""
    fixed = f"{fixed}, {counted(first['epochs'], 'epoch')}{views}"
    if first["budget"] == "tuned":
        return f"{fixed}, each method's own learning rate (budget tuned)"
    return (
        f"{fixed}, the same optimizer for all "
        f"({first['optimizer']}, batch {first['batch_size']}, learning rate {first['learning_rate']:g})"
    )


def equality(part: pd.DataFrame) -> str:
    """List which parts of the training its rows have in common, and which are each method's own."""
    trained = part[part["section"] != "reference"]
    same = [word for name, word in TRAINING.items() if len(trained[name].drop_duplicates()) <= 1]
    own = [word for word in TRAINING.values() if word not in same]
    return (
        f"The same for all: {', '.join([*same, 'the epoch that counts (the last)'])}. "
        f"Each method's own: {', '.join([*own, 'steps, passes'])}."
    )


def measured(part: pd.DataFrame) -> str:
    """Return what is measured on the test set: accuracy only where its labels are right."""
    return "Test accuracy" if part["test_truth"].all() else "Agreement with given test labels"


def usual_seeds(summary: pd.DataFrame) -> int:
    """Return the commonest number of finished seeds per cell, the larger of equals; 0 where nothing finished."""
    counts = Counter(int(n) for n in summary["n"] if n)
    return max(counts, key=lambda n: (counts[n], n), default=0)


def spread_text(n: int, summary: pd.DataFrame, of: str = "") -> list[str]:
    """Explain which spread a table shows, of what, and over how many seeds, `n` in most of its cells."""
    if n == 1 and (summary["n"] > 1).any():
        return [f"One seed where no (n) stands, and mean ± sample standard deviation over n seeds{of} elsewhere."]
    if n == 1:
        return ["One seed, so no spread is known."]
    return [f"Mean ± sample standard deviation over n = {n} seeds{of}."] if n else ["No cell has finished."]


def entry_of(n: int, digits: int = 1) -> Maker:
    """Return a builder of entries of a summary; the number of seeds is shown where it is not `n`."""
    return lambda row: TableEntry(
        row["mean"], row["sd"], row["n"], signs=row["signs"], show_n=row["n"] not in (0, n), digits=digits
    )


def legend(part: pd.DataFrame, summary: pd.DataFrame, n: int) -> tuple[str, ...]:
    """Explain the signs that occur in a table."""
    signs = {sign for text in summary["signs"] for sign in text}
    notes = [
        f"{sign}: {_skipped(part)}." if status == "skipped" else f"{sign}: at least one seed {words}."
        for status, (sign, words) in SIGNS.items()
        if sign in signs
    ]
    if any(count not in (0, n) for count in summary["n"]):
        notes.append(f"(n): number of finished seeds, where it is not {n}; ranked are rows of the same seeds alone.")
    if lacks_numbers(summary, len(summary[["noise", "rate"]].drop_duplicates())):
        notes.append(NOT_RUN)
    if (part["section"] == "oracle").any():
        notes.append(f"{DAGGER}: {ORACLE}.")
    return (*notes, *_by_column(part), *filter(None, [mixture(part["made"])]))


def lacks_numbers(summary: pd.DataFrame, columns: int) -> bool:
    """Return whether a table of so many columns has an entry without a number."""
    return bool((summary["n"] == 0).any()) or len(summary) < summary["label"].nunique() * columns


def _by_column(part: pd.DataFrame) -> Iterator[str]:
    """List the options that rows set by column, as papers do by kind and rate of the noise."""
    told = part.loc[part["by_noise"] != "", ["label", "by_noise"]].drop_duplicates()
    if len(told):
        yield f"Options that a row sets by noise: {'; '.join(f'{label}: {names}' for label, names in told.to_numpy())}."


def _skipped(part: pd.DataFrame) -> str:
    reasons = part.loc[part["status"] == "skipped", "reason"].drop_duplicates()
    return "skipped, because " + ", or ".join(map(str, reasons))


def signs_of(rows: pd.DataFrame) -> pd.Series[str]:
    """Return the letter of each row's status, empty of a finished one."""
    return rows["status"].map({status: sign for status, (sign, _) in SIGNS.items()}).fillna("")


def joined_signs(grouped: SeriesGroupBy[str, Any]) -> pd.Series[str]:
    """Join the letters that occur in each group, each once."""
    return grouped.sum().map(lambda letters: "".join(sorted(set(letters))))


def short_names(frame: pd.DataFrame) -> dict[str, str]:
    """Name each setting in few words: data set, shots and backbone, and the file name where several have these."""
    first = frame.drop_duplicates("setting").set_index("setting")
    names = {
        str(setting): f"{row['dataset']}, {counted(row['shots'], 'shot')}, {row['backbone']}"
        for setting, row in first.iterrows()
    }
    budgets = {
        str(setting): f", budget {row['budget']}" + (f", {row['epochs']} epochs" if row["budget"] != "paper" else "")
        for setting, row in first.iterrows()
    }
    for added in (budgets, {setting: f" ({setting})" for setting in names}):
        alike = Counter(names.values())
        names = {setting: name + added[setting] * (alike[name] > 1) for setting, name in names.items()}
    return names
