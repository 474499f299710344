"""Differences between methods over data sets: Wilcoxon's signed-rank tests, corrected after Holm.

After Benavoli, Corani and Mangili (2016, JMLR 17, 1-10), who ask for it instead of mean ranks: whether two methods
differ then does not hang on which others stand beside them. A data set is one observation, a method's mean over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bench.reports.document import Section, Table, TableEntry
from bench.reports.statistics.friedman import MOST, column_values, spoken, title
from bench.reports.statistics.paired import ALPHA, APART, SIGNED_RANKS, baseline, holm
from bench.reports.tables.averages import DatasetGroup, lacking_note
from bench.reports.tables.columns import Column, difference_text, only, rows_of
from bench.statistics import TIE_DIGITS

SHOWN = 6  # columns of the table; the CSV has them all


def signed_ranks(group: DatasetGroup) -> pd.DataFrame:
    """Test each pair of trained methods that have a number on every data set, per column.

    Of more than `MOST` methods only the pairs with the baseline. Columns: `difference`, the mean over data sets of
    first minus second in points; `above` and `below`, data sets on which first is the better and the worse; two-sided
    `p`; `p_holm`, corrected for all pairs of the column; `p_holm_baseline`, for the pairs with the baseline alone (NaN
    elsewhere). The mean over the noise columns comes first.
    Empty below six data sets, where no such test can fall below 5 %.
    """
    if len(group.datasets) < SIGNED_RANKS:
        return pd.DataFrame()
    against, means = baseline(group.rows), group.means[group.means["section"] == "method"]
    found = [_pairs(values, column, against) for column, values in column_values(means)]
    found = [rows.assign(group=group.name) for rows in found if len(rows)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _pairs(values: pd.DataFrame, column: Column, against: str | None) -> pd.DataFrame:
    """Test all pairs of a table of data sets by labels, the baseline as the second."""
    labels = sorted(values, key=lambda label: label == against)
    pairs = [pair for pair in combinations(labels, 2) if len(labels) <= MOST or pair[1] == against]
    if not pairs:
        return pd.DataFrame()
    first, second = (list(side) for side in zip(*pairs, strict=True))
    differences = np.ascontiguousarray((values[first].to_numpy() - values[second].to_numpy()).T).round(TIE_DIGITS)
    p, mine = signed_rank_p(differences), np.array([label == against for label in second])
    corrected = np.full(len(pairs), np.nan)
    corrected[mine] = holm(p[mine])
    return pd.DataFrame(
        {
            "noise": column[0], "rate": column[1], "datasets": len(values), "first": first, "second": second,
            "difference": differences.mean(axis=1), "above": (differences > 0).sum(axis=1),
            "below": (differences < 0).sum(axis=1), "p": p, "p_holm": holm(p), "p_holm_baseline": corrected,
        }
    )  # fmt: skip


def signed_rank_p(differences: np.ndarray) -> np.ndarray:
    """Compute the two-sided p of Wilcoxon's signed-rank tests of rows, [tests, n]; zeros after Pratt (1959).

    It is 1 where all are zero. Rows with ties are tested one by one, since scipy chooses one way for all of a call.
    """
    differences = differences.round(TIE_DIGITS)
    sizes = np.sort(np.abs(differences), axis=1)
    tied = (sizes[:, 0] == 0) | (np.diff(sizes, axis=1) == 0).any(axis=1)
    p = np.ones(len(differences))
    for rows in [np.flatnonzero(~tied), *np.flatnonzero(tied & differences.any(axis=1))[:, None]]:
        if len(rows):
            p[rows] = stats.wilcoxon(differences[rows], zero_method="pratt", axis=1).pvalue
    return p


def signed_rank_table(group: DatasetGroup, found: pd.DataFrame) -> list[Table]:
    """Build the table of mean differences from the baseline; none where nothing was tested."""
    tests = _with_baseline(found)
    if tests.empty:
        return []
    columns = _columns(tests)[:SHOWN]
    rows = rows_of(tests, columns, _entry, label="first")
    against, count = tests["second"].iloc[0], len(group.datasets)
    caption = (
        f"Differences from {against} over {count} data sets, {group.words}, in points.",
        "Mean over data sets (data sets on which the method is better/worse).",
        f"{APART}: apart at 5 % by Wilcoxon's signed-rank test over data sets, after Holm's correction for the methods "
        "of the column.",
    )
    more = len(_columns(tests)) - len(columns)
    notes = (
        f"Data sets: {', '.join(group.datasets)}.",
        *([f"{more} further noise columns are in the CSV, and all pairs of methods."] if more else []),
        *lacking_note(group.trained - {against, *tests["first"]}),
    )
    name = f"statistics-{group.name}-wilcoxon"
    heads = tuple(("", title(column)) for column in columns)
    return [Table("statistics", group.name, name, heads, (Section("", rows),), caption, notes)]


def _entry(row: Mapping[str, Any]) -> TableEntry:
    return TableEntry(
        row["difference"],
        text=f"{difference_text(row['difference'])} ({row['above']}/{row['below']})",
        signs=APART if row["p_holm_baseline"] < ALPHA else "",
    )


def signed_rank_words(found: pd.DataFrame) -> str:
    """Summarise what the tests of the first column establish; empty where nothing was tested."""
    tests = _with_baseline(found)
    if tests.empty:
        return ""
    column = _columns(tests)[0]
    mine = only(tests, [column])
    apart, lowest = mine[mine["p_holm_baseline"] < ALPHA], 2.0 ** (1 - int(mine["datasets"].iloc[0]))
    above, below = int((apart["difference"] > 0).sum()), int((apart["difference"] < 0).sum())
    text = (
        f"Wilcoxon's signed-rank tests over the data sets tell {len(apart)} of {len(mine)} methods apart from "
        f"{mine['second'].iloc[0]} at {spoken(column)} ({above} above, {below} below)"
    )
    if len(apart) == 0 and lowest * len(mine) >= ALPHA:
        return f"{text}; after Holm's correction for {len(mine)} methods these data sets are too few for any."
    return f"{text}."


def _with_baseline(found: pd.DataFrame) -> pd.DataFrame:
    return found[found["p_holm_baseline"].notna()] if len(found) else found


def _columns(tests: pd.DataFrame) -> list[Column]:
    return list(dict.fromkeys(zip(tests["noise"], tests["rate"], strict=True)))
