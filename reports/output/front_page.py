"""The report's front page, and what is not in it: cells that failed and cells that were not run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pandas as pd

from bench.reports.document import Table
from bench.reports.figures.kinds import KINDS, Drawn
from bench.reports.frame import truth_known
from bench.reports.names import SIGNS, UNCHANGED, column_name
from bench.reports.output.markdown import escape_markdown, markdown
from bench.reports.tables.summary import describe, settings

_ACCURACY = """\
Accuracy is on the test set with true labels, after the last epoch; nothing is selected on test
data."""
_MEMORIZED = """\
The noise rate is the share of training labels that were replaced by a wrong one. *Memorized* is the share of
these mislabeled training samples that the model predicts as their given wrong label, *recovered* the share that it
predicts as their true label; the rest is predicted as neither. Zero-shot predictions already hit some wrong labels, so
what counts is memorization above epoch 0, before training."""
_TEST = "Numbers on the test set are those after the last epoch; nothing is selected on test data."
_SPREAD = """\
Rows with † are oracles: they were told what a user would not know, and bound what a method can reach. Spread is the
sample standard deviation over seeds; a seed changes the few shots, the wrong labels and the initial parameters
together."""
UNKNOWN = (
    "Nobody knows which training labels are wrong here, so nothing is said of memorized and recovered labels, of the "
    "noise rate, or of the precision of what a method takes to be clean. Measured are {test}, agreement with the given "
    "training labels, how many samples a method takes to be clean, and cost."
)
AS_NOISY = (
    "The test labels come with the training labels and are as noisy, so numbers on them are agreement with labels as "
    "given and no accuracy; for that, give a test split whose labels were checked."
)
_COLUMNS = ["setting", "label", "noise", "rate", "seed", "status", "reason"]


def unfinished(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells without a number, one row each: those with a status other than done, and as "missing" those of a setting's
    product of rows, noise columns and seeds that have no record (an oracle row has no clean cell of its own).
    """
    bad = frame.loc[frame["status"] != "done", _COLUMNS]
    rows = []
    for setting, part in settings(frame):
        have = set(zip(part["label"], part["noise"], part["rate"], part["seed"], strict=True))
        columns = part[["noise", "rate"]].drop_duplicates().itertuples(index=False, name=None)
        clean_subset = set(part.loc[part["subset"] == "clean", "label"])
        seeds = sorted(set(part["seed"]))
        for label, (noise, rate), seed in product(part["label"].drop_duplicates(), list(columns), seeds):
            if (label, noise, rate, seed) not in have and not (noise in UNCHANGED and label in clean_subset):
                rows.append((setting, label, noise, rate, seed, "missing", "no record"))
    return pd.concat([bad, pd.DataFrame(rows, columns=_COLUMNS)], ignore_index=True) if rows else bad


def index(
    frame: pd.DataFrame,
    tables: Sequence[Table],
    figures: Sequence[Drawn],
    formats: frozenset[str],
    problems: Sequence[str] = (),
    published: Sequence[str] = (),
    left_out: Sequence[str] = (),
) -> str:
    """`report.md`: how to read it, then per setting its figures and tables, then the lines on published numbers where
    there are any, then what did not finish.
    """
    done, skipped = (int((frame["status"] == status).sum()) for status in ("done", "skipped"))
    count = f"{done} of {len(frame)} recorded cells finished{f', {skipped} were skipped' if skipped else ''}."
    lines = ["# Report", "", count, "", reading(frame), ""]
    for setting, part in settings(frame):
        lines += [f"## {escape_markdown(describe(part))}", "", *_remarks(part)]
        for kind in KINDS:
            for figure in figures:
                if (figure.kind, figure.setting) == (kind, setting):
                    lines += _image(figure)
            for table in tables:
                if (table.kind, table.setting) == (kind, setting):
                    lines += [markdown(table), ""]
    return "\n".join(
        [*lines, *published, *_unfinished_lines(frame, problems), *_files(formats, left_out, len(figures)), ""]
    )


def reading(frame: pd.DataFrame) -> str:
    """How to read the numbers; nothing of memorization where none can be measured."""
    test = _ACCURACY if frame["test_truth"].any() else _TEST
    return "\n".join([f"**How to read this.** {test}", *([_MEMORIZED] if frame["truth"].any() else []), _SPREAD])


def _remarks(part: pd.DataFrame) -> list[str]:
    """What holds for the data of one setting: what cannot be measured, and how its splits came about."""
    test = "accuracy on the test set" if part["test_truth"].all() else "agreement with the given test labels"
    remarks = [] if truth_known(part) else [UNKNOWN.format(test=test)]
    remarks += [] if part["test_truth"].all() else [AS_NOISY]
    remarks += [escape_markdown(text) for text in part["notes"].drop_duplicates() if text]
    return [" ".join(remarks), ""] if remarks else []


def _image(figure: Drawn) -> list[str]:
    caption = escape_markdown(figure.caption)
    links = ", ".join(f"[{p.suffix[1:].upper()}](figures/{p.name})" for p in figure.files if p.suffix != ".png")
    return [f"![{figure.kind} figure](figures/{figure.name}.png)", "", f"{caption} ({links})", ""]


def _unfinished_lines(frame: pd.DataFrame, problems: Sequence[str]) -> list[str]:
    """One line per row of a table, status and reason, with the cells it holds for."""
    missing = unfinished(frame)
    skipped = set(missing["status"]) == {"skipped"} and not problems
    title = "## Skipped" if skipped else "## Not finished and not run"
    lines = [title, "", *(f"- {escape_markdown(problem)}" for problem in problems)]
    if missing.empty and not problems:
        return [*lines, "Every cell of every table has finished.", ""]
    for (setting, label, status, reason), group in missing.groupby(
        ["setting", "label", "status", "reason"], sort=False
    ):
        words = SIGNS[status][1] if status in SIGNS else status
        cells = []
        for (noise, rate), seeds in group.groupby(["noise", "rate"], sort=False)["seed"]:
            plural = "s" if len(seeds) > 1 else ""
            cells.append(f"{column_name(str(noise), float(str(rate)))} (seed{plural} {', '.join(map(str, seeds))})")
        text = f"{label}, {setting}: {words} at {', '.join(cells)}"
        text += f", because {reason}." if status == "skipped" else f". {reason}"
        lines.append(f"- {escape_markdown(' '.join(text.split()))}")
    return [*lines, ""]


def _files(formats: frozenset[str], left_out: Sequence[str], figures: int) -> list[str]:
    """Where the other forms of the same numbers lie, and which figures are not there."""
    lines = ["## Files", ""]
    lines += ["- `figures/`: every figure as PDF, SVG and PNG, and the data behind it as CSV."] if figures else []
    lines += [f"- {escape_markdown(text)}." for text in left_out]
    if "csv" in formats:
        lines.append("- `tables/records.csv`: one row per record; the other CSV files there: the tables' numbers.")
    if "latex" in formats:
        lines.append("- `tables/*.tex`: one table per file for LaTeX with booktabs; `report.tex` compiles them all.")
    if "html" in formats:
        lines.append("- `report.html`: all of it as one page to sort, filter and look into, with a page per cell.")
    if "markdown" in formats:
        lines.append("- `tables/*.md`: the tables above, one per file.")
    return lines
