"""Paired t-tests between methods, by seed and wrong labels, Holm-corrected over those of a setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bench.reports.document import Section, Table, TableEntry
from bench.reports.names import BASELINE
from bench.reports.tables.columns import (
    Column,
    beyond_limits,
    column_sets,
    columns_of,
    difference_text,
    head,
    only,
    rows_of,
)
from bench.reports.tables.summary import describe, settings
from bench.statistics import SMALLEST_SD

ALPHA = 0.05
INTERVAL = 3  # the fewest pairs with a confidence interval: that of two is twelve standard errors wide to each side
SIGNED_RANKS = 6  # the fewest pairs at which a two-sided Wilcoxon signed-rank test can fall below 5 %: 2/2^6
APART = "*"
PAIR = ["noise", "rate", "seed", "mask"]
TEST_COLUMNS = ["setting", "noise", "rate", "label", "against", "n", "difference", "sd", "low", "high", "p", "p_holm"]


def baseline(part: pd.DataFrame) -> str | None:
    """Choose the label that trained methods are compared with: CoOp's, else the first row's; None of one."""
    trained = part[part["section"] == "method"]
    plain = trained[trained["variant"] == BASELINE]
    labels = [*plain["label"], *trained["label"]]
    return str(labels[0]) if len(set(labels)) > 1 else None


def paired_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Test each trained method against the baseline, per setting and noise column, in points.

    Columns: `n` pairs of the same seed and wrong labels, mean `difference` and its sample standard deviation, the 95 %
    interval `low` to `high` (NaN below `INTERVAL` pairs) and two-sided `p` of a paired t-test (NaN below two), and
    `p_holm`, corrected after Holm over all tests of the setting. Columns in which labels cannot identify the truth are
    left out.
    """
    found = [_setting(setting, part, against) for setting, part in settings(frame) if (against := baseline(part))]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=TEST_COLUMNS)


def _setting(setting: str, part: pd.DataFrame, against: str) -> pd.DataFrame:
    done = part[(part["section"] == "method") & (part["status"] == "done")]
    beyond = beyond_limits(part)
    done = only(done, [column for column in columns_of(done) if column not in beyond])
    base = done.loc[done["label"] == against, [*PAIR, "last"]]
    both = done[done["label"] != against].merge(base, on=PAIR, suffixes=("", "_base"))
    both["difference"] = both["last"] - both["last_base"]
    grouped = both.groupby(["noise", "rate", "label"], sort=False)["difference"]
    table = grouped.agg(n="count", difference="mean", sd="std").reset_index()
    table = table.assign(setting=setting, against=against)
    return table.assign(**t_test(table["n"], table["difference"], table["sd"]))[TEST_COLUMNS]


def t_test(n: pd.Series[int], mean: pd.Series[float], sd: pd.Series[float]) -> dict[str, np.ndarray]:
    """Compute interval, p and Holm's p of paired t-tests from number, mean and sd of the differences.

    A standard deviation below `bench.statistics.SMALLEST_SD` is not believed: accuracies are whole numbers of test
    images, so that two seeds differ by the same number now and then, and would be certain of it.
    """
    count, center, spread = (np.asarray(x, dtype=float) for x in (n, mean, sd))
    error = np.maximum(spread, SMALLEST_SD) / np.sqrt(np.maximum(count, 1))
    freedom = np.where(count > 1, count - 1, np.nan)
    t = np.abs(center) / error
    p = np.where(np.isnan(freedom), np.nan, 2 * stats.t.sf(t, freedom))
    half = stats.t.ppf(1 - ALPHA / 2, freedom) * error
    half = np.where(count < INTERVAL, np.nan, half)
    return {"low": center - half, "high": center + half, "p": p, "p_holm": holm(p)}


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values for their number after Holm (1979, Scand. J. Statist. 6, 65-70); NaN are no tests."""
    known = np.flatnonzero(~np.isnan(p))
    ordered = known[np.argsort(p[known], kind="stable")]
    corrected = np.full(len(p), np.nan)
    corrected[ordered] = np.minimum(1, np.maximum.accumulate(p[ordered] * np.arange(len(ordered), 0, -1)))
    return corrected


def paired_tables(frame: pd.DataFrame, tests: pd.DataFrame) -> list[Table]:
    """Build the tables of differences from the baseline, of the settings that have a test."""
    tables = []
    for setting, part in settings(frame):
        mine = tests[tests["setting"] == setting]
        for suffix, columns in column_sets(mine) if mine["p"].notna().any() else []:
            chosen, against = only(mine, columns), str(mine["against"].iloc[0])
            title = f"Differences from {against} in points"
            caption = (
                f"{title} on {describe(part)}.",
                "Mean over pairs of the same seed and wrong labels ± half its 95 % interval (paired t-test, from "
                f"{INTERVAL} pairs on).",
                f"{APART}: apart at 5 % after Holm's correction for the {mine['p'].notna().sum()} tests here.",
            )
            name = f"statistics-{setting}{suffix}"
            rows = rows_of(chosen, columns, partial(_entry, usual=_usual(chosen)))
            notes = (sentence(mine), *_legend(chosen, columns))
            tables.append(
                Table("statistics", setting, name, head(columns), (Section("", rows),), caption, notes, title)
            )
    return tables


def _entry(row: Mapping[str, Any], usual: int) -> TableEntry:
    return TableEntry(
        row["difference"],
        (row["high"] - row["low"]) / 2,
        row["n"],
        signs=APART if row["p_holm"] < ALPHA else "",
        show_n=row["n"] != usual,
        text=difference_text(row["difference"]),
    )


def _usual(tests: pd.DataFrame) -> int:
    return int(tests["n"].mode().max())


def _legend(tests: pd.DataFrame, columns: list[Column]) -> list[str]:
    usual = _usual(tests)
    notes = [f"(n): number of pairs, where it is not {usual}."] if (tests["n"] != usual).any() else []
    if len(tests) < tests["label"].nunique() * len(columns):
        notes.append("–: no pair of one seed and the same wrong labels.")
    return notes


def sentence(tests: pd.DataFrame) -> str:
    """Summarise what the tests of a setting separate, and what few seeds could not."""
    known = tests[tests["p"].notna()]
    if known.empty:
        return "No method has two seeds in common with another on the same wrong labels, so nothing can be tested."
    n, against = _usual(known), known["against"].iloc[0]
    apart = known[known["p_holm"] < ALPHA]
    above, below = int((apart["difference"] > 0).sum()), int((apart["difference"] < 0).sum())
    text = f"{len(apart)} of {len(known)} differences from {against} are apart ({above} above, {below} below)"
    if len(apart) == 0:
        text = f"None of the {len(known)} differences from {against} is apart"
    if n >= SIGNED_RANKS:
        return f"{text}, over {n} seeds."
    sd = math.sqrt(float((known["sd"] ** 2).mean()))
    needed = float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * sd / math.sqrt(n)
    return (
        f"{text}. {n} seeds are few: a single paired test needs a difference of {needed:.1f} points (before any "
        f"correction), and a test by ranks, which needs {SIGNED_RANKS} seeds, could never be significant."
    )
