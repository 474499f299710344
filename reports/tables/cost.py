"""What each method costs beside what it reaches."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bench.reports.document import Section, Table, TableEntry, TableRow
from bench.reports.names import DAGGER
from bench.reports.tables.choice import EVERYTHING, Choice
from bench.reports.tables.columns import Column, as_dicts
from bench.reports.tables.summary import ORACLE, describe, equality, settings, summarize

SHOWN_TERMS = 2
COSTS = ["seconds", "forward_passes", "trained_parameters", "peak_memory_bytes"]


def cost_tables(frame: pd.DataFrame, choice: Choice = EVERYTHING) -> list[Table]:
    """Build the tables of cost and accuracy, averages over a method's finished cells."""
    tables = []
    for setting, part in settings(frame):
        costs = cost_frame(part)
        number = "Accuracy" if part["test_truth"].all() else "Agreement"
        shown = [f"{number} (%)", "Seconds", "Steps", "Passes", "Parameters", "Cells"]
        memory = bool(costs["peak_memory_bytes"].notna().any())
        head = tuple(("", name) for name in [*shown, *(["Peak memory (MiB)"] if memory else [])])
        sections = tuple(
            Section("", tuple(_cost_row(row, memory, choice.digits) for row in as_dicts(rows)))
            for _, rows in choice.sections(costs)
        )
        common = int(costs["common_columns"].max()) if len(costs) else 0
        columns = "the one noise column" if common == 1 else f"the {common} noise columns"
        title = f"Cost per cell and {number.lower()}"
        caption = (
            f"{title} on {describe(part)}.",
            "Costs are means over a method's finished cells.",
            f"{number} is the mean over {columns} that every row has.",
        )
        notes = (
            equality(part),
            "Steps of the optimizer: all of them, and in brackets those of loss terms that are not in every one (two "
            "at most; the CSV has all).",
            "Passes are forward passes on one batch, parameters those that are fitted.",
            "Seconds are wall-clock and hold for the machines in the records' provenance only.",
            *([f"{DAGGER}: {ORACLE}."] if (costs["section"] == "oracle").any() else []),
        )
        tables.append(Table("cost", setting, f"cost-{setting}", head, sections, caption, notes, title))
    return tables


def cost_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Average the costs of finished records per setting and row.

    Seconds, steps (by loss term), forward passes, trained parameters and peak memory [bytes]; `accuracy` is the mean
    over the noise columns that every row of the setting has.
    """
    rows: list[dict[str, Any]] = []
    for setting, part in settings(frame):
        common, means = _common_columns(summarize(part))
        done = part[part["status"] == "done"].groupby(["section", "label"], sort=False)
        costs, steps = done[COSTS].mean(), done["steps"].agg(list)
        for (section, label), cost, taken in zip(costs.index, as_dicts(costs), steps, strict=True):
            row = {"setting": setting, "section": section, "label": label, "records": len(taken)}
            row |= {"accuracy": means.get(label, math.nan), "common_columns": common, **cost}
            terms = sorted({term for one in taken for term in one})
            rows.append(row | {f"steps_{t}": sum(one.get(t, 0.0) for one in taken) / len(taken) for t in terms})
    names = ["setting", "section", "label", "records", "accuracy", "common_columns"]
    return pd.DataFrame(rows, columns=None if rows else [*names, *COSTS])


def _common_columns(summary: pd.DataFrame) -> tuple[int, dict[str, float]]:
    """Count the noise columns that every row with a number has, and average each row over them."""
    found: dict[str, dict[Column, float]] = {}
    for row in as_dicts(summary[summary["n"] > 0]):
        found.setdefault(row["label"], {})[row["noise"], row["rate"]] = row["mean"]
    common = set.intersection(*map(set, found.values())) if found else set()
    if not common:
        return 0, {}
    return len(common), {label: sum(row[c] for c in sorted(common)) / len(common) for label, row in found.items()}


def _cost_row(row: dict[str, Any], memory: bool, digits: int) -> TableRow:
    steps = {str(k)[6:]: v for k, v in row.items() if str(k).startswith("steps_") and not math.isnan(v)}
    total = steps.pop("all", math.nan)
    partial = sorted(((v, k) for k, v in steps.items() if v and v != total), key=lambda pair: (-pair[0], pair[1]))
    terms = [f"{term.replace('_', ' ')} {value:,.0f}" for value, term in partial[:SHOWN_TERMS]]
    terms += ["..."] * (len(partial) > SHOWN_TERMS)
    text = "0" if math.isnan(total) and not terms else f"{total:,.0f}" if not math.isnan(total) else ""
    brackets = f" ({', '.join(terms)})" if terms else ""
    texts = [
        _printed(row["accuracy"], f".{digits}f"),
        _printed(row["seconds"], ",.0f" if row["seconds"] >= 100 else ",.1f"),
        (text + brackets).strip(),
        *(_printed(row[name], ",.0f") for name in ("forward_passes", "trained_parameters")),
        f"{row['records']}",
        *([_printed(row["peak_memory_bytes"] / 2**20, ",.0f")] if memory else []),
    ]
    return TableRow(row["label"], tuple(TableEntry(text=text) for text in texts))


def _printed(number: float, form: str) -> str:
    return "–" if math.isnan(number) else f"{number:{form}}"
