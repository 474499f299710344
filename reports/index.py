"""The report's front page, and what is not in it: cells that failed and cells that were not run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pandas as pd

from reports.figures import Drawn
from reports.names import SIGNS, column_name
from reports.render import escape_markdown, markdown
from reports.tables import Table, describe, parts

READING = """\
**How to read this.** Accuracy is on the test set with true labels, after the last epoch; nothing is selected on test
data. The noise rate is the share of training labels that were replaced by a wrong one. *Memorized* is the share of
these mislabeled training samples that the model predicts as their given wrong label, *recovered* the share that it
predicts as their true label; the rest is predicted as neither. Zero-shot predictions already hit some wrong labels, so
what counts is memorization above epoch 0, before training. Rows with † are oracles: they were told what a user would
not know, and bound what a method can reach. Spread is the sample standard deviation over seeds; a seed changes the
few shots, the wrong labels and the initial parameters together.
"""
_COLUMNS = ["setting", "label", "noise", "rate", "seed", "status", "reason"]


def unfinished(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells without a number, one row each: those with a status other than done, and as "missing" those of a setting's
    product of rows, noise columns and seeds that have no record (an oracle row has no clean cell of its own).
    """
    bad = frame.loc[frame["status"] != "done", _COLUMNS]
    rows = []
    for setting, part in parts(frame):
        have = set(zip(part["label"], part["noise"], part["rate"], part["seed"], strict=True))
        columns = part[["noise", "rate"]].drop_duplicates().itertuples(index=False, name=None)
        clean_subset = set(part.loc[part["subset"] == "clean", "label"])
        seeds = sorted(set(part["seed"]))
        for label, (noise, rate), seed in product(part["label"].drop_duplicates(), list(columns), seeds):
            if (label, noise, rate, seed) not in have and not (noise == "none" and label in clean_subset):
                rows.append((setting, label, noise, rate, seed, "missing", "no record"))
    return pd.concat([bad, pd.DataFrame(rows, columns=_COLUMNS)], ignore_index=True) if rows else bad


def index(
    frame: pd.DataFrame,
    tables: Sequence[Table],
    figures: Sequence[Drawn],
    formats: frozenset[str],
    problems: Sequence[str] = (),
) -> str:
    """`report.md`: how to read it, then per setting its figures and tables, then what did not finish."""
    done = int((frame["status"] == "done").sum())
    lines = ["# Report", "", f"{done} of {len(frame)} recorded cells finished.", "", READING]
    for setting, part in parts(frame):
        lines += [f"## {escape_markdown(describe(part))}", ""]
        for kind in ("overview", "accuracy", "memorization", "cost"):
            for figure in figures:
                if (figure.kind, figure.setting) == (kind, setting):
                    lines += _image(figure)
            for table in tables:
                if (table.kind, table.setting) == (kind, setting):
                    lines += [markdown(table), ""]
    return "\n".join([*lines, *_unfinished_lines(frame, problems), *_files(formats), ""])


def _image(figure: Drawn) -> list[str]:
    caption = escape_markdown(figure.caption)
    links = ", ".join(f"[{p.suffix[1:].upper()}](figures/{p.name})" for p in figure.files if p.suffix != ".png")
    return [f"![{figure.kind} figure](figures/{figure.name}.png)", "", f"{caption} ({links})", ""]


def _unfinished_lines(frame: pd.DataFrame, problems: Sequence[str]) -> list[str]:
    """One line per row of a table, status and reason, with the cells it holds for."""
    missing = unfinished(frame)
    lines = ["## Not finished and not run", "", *(f"- {escape_markdown(problem)}" for problem in problems)]
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
        text = f"{label}, {setting}: {words} at {', '.join(cells)}. {reason}"
        lines.append(f"- {escape_markdown(' '.join(text.split()))}")
    return [*lines, ""]


def _files(formats: frozenset[str]) -> list[str]:
    """Where the other forms of the same numbers lie."""
    lines = ["## Files", "", "- `figures/`: every figure as PDF, SVG and PNG, and the data behind it as CSV."]
    if "csv" in formats:
        lines.append("- `tables/records.csv`: one row per record; the other CSV files there: the tables' numbers.")
    if "latex" in formats:
        lines.append("- `tables/*.tex`: one table per file for LaTeX with booktabs; `report.tex` compiles them all.")
    if "markdown" in formats:
        lines.append("- `tables/*.md`: the tables above, one per file.")
    return lines
