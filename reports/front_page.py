"""The front page of a report as data, which Markdown and HTML render: settings, chapters, and what did not finish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd

from bench.reports.document import Chapter, Drawn, Table, Words, in_pieces
from bench.reports.frame import truth_known
from bench.reports.names import SIGNS, UNCHANGED, column_name
from bench.reports.tables.summary import describe, settings, short_names

ALL_FINISHED = "Every cell of every table has finished."
_ACCURACY = """\
Accuracy is on the test set with true labels, after the last epoch; nothing is selected on test
data."""
_MEMORIZED = """\
The noise rate is the nominal one; how many training labels are then wrong follows from the kind of noise, and stands in
each record. *Memorized* is the share of the mislabeled training samples that the model predicts as their given wrong
label, *recovered* the share that it predicts as their true label; the rest is predicted as neither. Zero-shot
predictions already hit some wrong labels, so what counts is memorization above epoch 0, before training."""
_TEST = "Numbers on the test set are those after the last epoch; nothing is selected on test data."
_SPREAD = """\
Rows with † are oracles: they were told what a user would not know, and bound what a method can reach. Spread is the
sample standard deviation over seeds; a seed changes the few shots, the wrong labels and the initial parameters
together."""
_UNKNOWN = (
    "Nobody knows which training labels are wrong here, so nothing is said of memorized and recovered labels, of the "
    "noise rate, or of the precision of what a method takes to be clean. Measured are {test}, agreement with the given "
    "training labels, how many samples a method takes to be clean, and cost."
)
_AS_NOISY = (
    "The test labels come with the training labels and are as noisy, so numbers on them are agreement with labels as "
    "given and no accuracy; for that, give a test split whose labels were checked."
)
_FILES = {
    "csv": "`tables/records.csv`: one row per record; the other CSV files there: the tables' numbers.",
    "latex": "`tables/*.tex`: one table per file for LaTeX with booktabs; `report.tex` compiles them all.",
    "html": "`report.html`: all of it as one page to sort, filter and look into, with a page per cell.",
    "markdown": "`tables/*.md`: the tables above, one per file.",
}
_UNFINISHED = ["setting", "label", "noise", "rate", "seed", "status", "reason"]


@dataclass(frozen=True)
class SettingPassage:
    """One setting: its name, a heading, it in full, what holds for its data, its figures and its tables."""

    name: str
    short: str
    title: str
    remarks: tuple[str, ...]
    figures: tuple[Drawn, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class UnfinishedRow:
    """Cells without a number of one row, status and reason.

    Attributes:
        status: in words, "missing" where there is no record.
        columns: noise columns with their seeds.
    """

    label: str
    setting: str
    status: str
    columns: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class FrontPage:
    """What a report says on its first page.

    Attributes:
        lead: how many cells finished.
        reading: how to read the numbers.
        others: tables that belong to no single setting.
        unfinished_title: over `problems`, a line per file of the store that is no record, and `unfinished`.
        files: what lies beside the page, and which figures do not.
    """

    lead: str
    reading: Words
    settings: tuple[SettingPassage, ...]
    others: tuple[Table, ...]
    chapters: tuple[Chapter, ...]
    unfinished_title: str
    problems: tuple[str, ...]
    unfinished: tuple[UnfinishedRow, ...]
    files: tuple[Words, ...]


def front_page_of(
    frame: pd.DataFrame,
    tables: Sequence[Table],
    figures: Sequence[Drawn] = (),
    chapters: Sequence[Chapter] = (),
    *,
    problems: Sequence[str] = (),
    formats: frozenset[str] = frozenset(),
    left_out: Sequence[str] = (),
) -> FrontPage:
    """Collect the front page of a report.

    Args:
        frame: of `bench.reports.frame.tidy`.
        tables: all of them, captions and notes as plain text.
        figures: that were drawn.
        chapters: on statistics and published numbers; their tables are among `tables`.
        problems: a line per file of the store that is no record.
        formats: in which the report is written beside this page.
        left_out: a line per kind of figure that was not drawn.
    """
    short = short_names(frame)
    passages = tuple(
        SettingPassage(
            name, short[name], describe(part), tuple(_remarks(part)),
            tuple(figure for figure in figures if figure.setting == name),
            tuple(table for table in tables if table.setting == name),
        )
        for name, part in settings(frame)
    )  # fmt: skip
    rows = tuple(_unfinished_rows(unfinished(frame)))
    only_skipped = {row.status for row in rows} == {SIGNS["skipped"][1]} and not problems
    return FrontPage(
        lead=_lead(frame),
        reading=_reading(frame),
        settings=passages,
        others=tuple(table for table in tables if table.setting not in {passage.name for passage in passages}),
        chapters=tuple(chapters),
        unfinished_title="Skipped" if only_skipped else "Not finished and not run",
        problems=tuple(problems),
        unfinished=rows,
        files=tuple(_files(formats, left_out, len(figures))),
    )


def unfinished(frame: pd.DataFrame) -> pd.DataFrame:
    """List the cells without a number, one row each.

    These are cells with a status other than done, and as "missing" those of a setting's product of rows, noise columns
    and seeds that have no record (an oracle row has no clean cell of its own).
    """
    bad = frame.loc[frame["status"] != "done", _UNFINISHED]
    rows = []
    for setting, part in settings(frame):
        have = set(zip(part["label"], part["noise"], part["rate"], part["seed"], strict=True))
        columns = part[["noise", "rate"]].drop_duplicates().itertuples(index=False, name=None)
        clean_subset = set(part.loc[part["subset"] == "clean", "label"])
        seeds = sorted(set(part["seed"]))
        for label, (noise, rate), seed in product(part["label"].drop_duplicates(), list(columns), seeds):
            if (label, noise, rate, seed) not in have and not (noise in UNCHANGED and label in clean_subset):
                rows.append((setting, label, noise, rate, seed, "missing", "no record"))
    return pd.concat([bad, pd.DataFrame(rows, columns=_UNFINISHED)], ignore_index=True) if rows else bad


def _lead(frame: pd.DataFrame) -> str:
    counts = {status: int((frame["status"] == status).sum()) for status in ("done", *SIGNS)}
    was = {"skipped": "was " if counts["skipped"] == 1 else "were "}
    others = [f", {counts[s]} {was.get(s, '')}{words}" for s, (_, words) in SIGNS.items() if counts[s]]
    return f"{counts['done']} of {len(frame)} recorded cells finished{''.join(others)}."


def _reading(frame: pd.DataFrame) -> Words:
    """Explain how to read the numbers; nothing of memorization where none can be measured."""
    test = _ACCURACY if frame["test_truth"].any() else _TEST
    return in_pieces("\n".join([test, *([_MEMORIZED] if frame["truth"].any() else []), _SPREAD]))


def _remarks(part: pd.DataFrame) -> Iterator[str]:
    """Explain what cannot be measured on the data of a setting, and how its splits came about."""
    right = bool(part["test_truth"].all())
    if not truth_known(part):
        yield _UNKNOWN.format(test="accuracy on the test set" if right else "agreement with the given test labels")
    if not right:
        yield _AS_NOISY
    yield from (text for text in part["notes"].drop_duplicates() if text)


def _unfinished_rows(missing: pd.DataFrame) -> Iterator[UnfinishedRow]:
    by = ["setting", "label", "status", "reason"]
    for (setting, label, status, reason), group in missing.groupby(by, sort=False):
        columns = []
        for (noise, rate), seeds in group.groupby(["noise", "rate"], sort=False)["seed"]:
            plural = "s" if len(seeds) > 1 else ""
            columns.append(f"{column_name(str(noise), float(str(rate)))} (seed{plural} {', '.join(map(str, seeds))})")
        words = SIGNS[status][1] if status in SIGNS else str(status)
        yield UnfinishedRow(str(label), str(setting), words, tuple(columns), str(reason))


def _files(formats: frozenset[str], left_out: Sequence[str], figures: int) -> Iterator[Words]:
    """List the other forms of the same numbers, and which figures are not there."""
    if figures:
        yield in_pieces("`figures/`: every figure as PDF, SVG and PNG, and the data behind it as CSV.")
    yield from ((f"{text}.",) for text in left_out)
    yield from (in_pieces(text) for name, text in _FILES.items() if name in formats)
