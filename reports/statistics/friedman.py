"""Tests and intervals over data sets: Friedman with Nemenyi after it, and bootstrap intervals of averages.

After Demšar (2006, JMLR 7, 1-30): the blocks are data sets, the numbers a method's mean over the seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bench.reports.document import Section, Table, TableEntry, TableRow
from bench.reports.names import UNCHANGED, column_name
from bench.reports.tables.averages import DatasetGroup, lacking_note
from bench.reports.tables.columns import Column, columns_of, only
from bench.statistics import TIE_DIGITS

ALPHA = 0.05
FEWEST = 11  # data sets of a Friedman test: Demšar trusts its chi-squared distribution above 10
MOST = 30  # methods of one test
MEAN: Column = ("mean over noise columns", 0.0)


@dataclass(frozen=True)
class Ranking:
    """A Friedman test of one column, or of the mean over the noise columns, with Nemenyi's test after it.

    Attributes:
        ranks: label to mean rank over data sets, 1 is best, in the order of the ranks.
        datasets: how many.
        statistic, p: of the Friedman test.
        difference: Nemenyi's critical difference of mean ranks at 5 %.
        pairs: Nemenyi's p of every pair of labels.
        left_out: labels that lack a data set or a column.
    """

    column: Column
    ranks: Mapping[str, float]
    datasets: int
    statistic: float
    p: float
    difference: float
    pairs: pd.DataFrame
    left_out: tuple[str, ...]

    @property
    def apart(self) -> int:
        """How many pairs Nemenyi's test separates; none where the Friedman test finds no difference at all."""
        upper = np.triu_indices(len(self.ranks), 1)
        return int((self.pairs.to_numpy()[upper] < ALPHA).sum()) if self.p < ALPHA else 0


def rankings(group: DatasetGroup) -> list[Ranking]:
    """Test every column in which three methods or more have a number on every data set.

    The mean over the noise columns comes first. Empty where data sets or methods are too few, see `reason`.
    """
    means = group.means
    means = means[means["section"] == "method"]
    if reason(group, means["label"].nunique()):
        return []
    return [
        friedman_test(values, column, tuple(sorted(group.trained - set(values))))
        for column, values in column_values(means)
        if len(values.columns) > 2
    ]


def column_values(means: pd.DataFrame) -> Iterator[tuple[Column, pd.DataFrame]]:
    """Yield each noise column with its means, data sets by labels; before them the mean over the noisy columns."""
    columns = columns_of(means)
    noisy = [column for column in columns if column[0] not in UNCHANGED]
    if len(noisy) > 1:
        yield MEAN, by_data_set(means, noisy)
    yield from ((column, by_data_set(means, [column])) for column in columns)


def reason(group: DatasetGroup, methods: int) -> str:
    """Explain why a group has no test over its data sets; empty where it has."""
    count = len(group.datasets)
    if group.rows.empty:
        return f"No noise column was run on every one of {', '.join(group.datasets)}, so nothing is averaged over them."
    if count < FEWEST:
        return (
            f"{count} data sets are too few for a Friedman test of methods, which needs more than {FEWEST - 1} (Demšar "
            "2006): averages and mean ranks describe these data sets and establish no order beyond them."
        )
    if methods < 3:
        return "A Friedman test needs three trained methods or more."
    if methods > MOST:
        return (
            f"{methods} methods are too many for one Friedman test with Nemenyi after it, which takes {MOST} at most."
        )
    return ""


def verdict(ranking: Ranking) -> str:
    """Summarise what the tests of one column establish."""
    size = f"{len(ranking.ranks)} methods on {ranking.datasets} data sets, {spoken(ranking.column)}"
    found = f"chi-squared {ranking.statistic:.1f}, p {_p(ranking.p) if ranking.p < 0.001 else f'= {_p(ranking.p)}'}"
    if ranking.p >= ALPHA:
        return f"Friedman's test finds no difference between methods ({size}: {found}), so no pair is called apart."
    pairs = len(ranking.ranks) * (len(ranking.ranks) - 1) // 2
    best, rank = next(iter(ranking.ranks.items()))
    return (
        f"Methods differ ({size}: {found} of Friedman's test). Nemenyi's test tells {ranking.apart} of {pairs} pairs "
        f"apart: those whose mean ranks differ by {ranking.difference:.2f}. {best} has the best mean rank, {rank:.2f}."
    )


def by_data_set(means: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Average over columns, data sets by labels, those labels that have every column on every data set.

    Numbers that differ by the order of their sums alone are equal (`bench.statistics.TIE_DIGITS`).
    """
    chosen = only(means, columns)
    wide = chosen.pivot_table(index="dataset", columns=["label", "noise", "rate"], values="last", sort=False)
    whole = wide.dropna(axis=1).T.groupby(level="label", sort=False)
    counts = whole.size()
    return whole.mean().round(TIE_DIGITS).T[list(counts[counts == len(columns)].index)]


def friedman_test(values: pd.DataFrame, column: Column = MEAN, missing: tuple[str, ...] = ()) -> Ranking:
    """Test a table of data sets by labels, higher values better."""
    import scikit_posthocs  # takes seconds to import, and few reports have the data sets for it

    values = values.round(TIE_DIGITS)
    count, methods = values.shape
    ranks = values.rank(axis=1, ascending=False).mean().sort_values(kind="stable")
    level = bool(values.eq(values.iloc[:, 0], axis=0).all(axis=None))
    statistic, p = (0.0, 1.0) if level else stats.friedmanchisquare(*values.to_numpy().T)
    pairs = scikit_posthocs.posthoc_nemenyi_friedman(values)
    critical = float(stats.studentized_range.ppf(1 - ALPHA, methods, np.inf)) / math.sqrt(2)
    difference = critical * math.sqrt(methods * (methods + 1) / (6 * count))
    found = dict(zip(map(str, ranks.index), ranks.tolist(), strict=True))
    return Ranking(column, found, count, float(statistic), float(p), difference, pairs, missing)


def ranking_frame(name: str, found: Sequence[Ranking]) -> pd.DataFrame:
    """List mean ranks, critical difference and both p, one row per test and pair of methods."""
    rows = [
        {
            "group": name, "noise": r.column[0], "rate": r.column[1], "datasets": r.datasets, "methods": len(r.ranks),
            "chi_squared": r.statistic, "p_friedman": r.p, "critical_difference": r.difference, "first": a,
            "second": b, "rank_first": r.ranks[a], "rank_second": r.ranks[b], "p_nemenyi": pairs[a][b],
        }
        for r, pairs in ((r, r.pairs.to_dict()) for r in found)
        for i, a in enumerate(r.ranks)
        for b in list(r.ranks)[i + 1 :]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def ranking_table(group: DatasetGroup, found: Sequence[Ranking]) -> Table:
    """Build the table of a group's tests, a row per column."""
    texts = ("Methods", "Chi-squared", "p", "Critical difference", "Pairs apart", "Best mean rank")
    rows = []
    for r in found:
        pairs, (best, rank) = len(r.ranks) * (len(r.ranks) - 1) // 2, next(iter(r.ranks.items()))
        cells = (
            f"{len(r.ranks)}", f"{r.statistic:.1f}", _p(r.p), f"{r.difference:.2f}", f"{r.apart} of {pairs}",
            f"{rank:.2f} {best}",
        )  # fmt: skip
        rows.append(TableRow(title(r.column), tuple(TableEntry(text=text) for text in cells)))
    caption = (
        f"Trained methods over {len(group.datasets)} data sets, {group.words}: tests after Friedman and Nemenyi.",
        "Data sets are the blocks, numbers a method's mean over seeds after the last epoch.",
        "Pairs apart: mean ranks differ by the critical difference (5 %), where Friedman's p is below 5 %.",
    )
    missing = {label for r in found for label in r.left_out}
    notes = (f"Data sets: {', '.join(group.datasets)}.", *lacking_note(missing))
    columns = tuple(("", text) for text in texts)
    name = f"statistics-{group.name}-friedman"
    return Table("statistics", group.name, name, columns, (Section("", tuple(rows)),), caption, notes)


def spoken(column: Column) -> str:
    """Format a noise column, or the mean over them, for a sentence."""
    return "the mean over the noise columns" if column == MEAN else column_name(*column)


def title(column: Column) -> str:
    """Format a noise column, or the mean over them, for a table."""
    return "Mean over noise columns" if column == MEAN else column_name(*column)


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
