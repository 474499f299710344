"""What the seeds can tell apart, in a plain sentence."""

from __future__ import annotations

import math
from collections import defaultdict

import pandas as pd
from scipy import stats

from reports.names import column_name

FEW_SEEDS = 5


def smallest_difference(summary: pd.DataFrame, n: int) -> tuple[float, float]:
    """The pooled standard deviation over seeds of the trained methods, and the smallest difference between two means of
    `n` seeds beyond seed noise (two-sided 95 %, unpaired Student): t · s · √(2/n). NaN where no cell has two seeds.
    """
    known = summary[(summary["section"] == "method") & (summary["n"] > 1)]
    df = int((known["n"] - 1).sum())
    if not df or n < 1:
        return math.nan, math.nan
    sd = math.sqrt(float((known["sd"] ** 2 * (known["n"] - 1)).sum()) / df)
    return sd, float(stats.t.ppf(0.975, df)) * sd * math.sqrt(2 / n)


def resolution(summary: pd.DataFrame, n: int) -> tuple[str, ...]:
    """A sentence on which orders of best and second the seeds establish; none where at most one method is ranked."""
    methods = summary[(summary["section"] == "method") & (summary["n"] > 0)]
    if methods["label"].nunique() < 2:
        return ()
    sd, smallest = smallest_difference(summary, n)
    if math.isnan(smallest):
        return ("One seed cannot separate methods: no spread is known, so marks order the numbers and nothing more.",)
    columns: dict[tuple[str, float], list[float]] = defaultdict(list)
    for kind, rate, mean in zip(methods["noise"], methods["rate"], methods["mean"], strict=True):
        columns[str(kind), float(rate)].append(float(mean))
    tops = {column: sorted(means, reverse=True)[:2] for column, means in columns.items() if len(means) > 1}
    near = [column for column, (best, second) in tops.items() if best - second < smallest]
    text = (
        f"Over seeds the standard deviation is {sd:.1f} (pooled), so means of {n} seeds less than {smallest:.1f} "
        "points apart are within seed noise (two-sided 95 %, unpaired)"
    )
    if not near:
        return (f"{text}; best and second are further apart than that in every column.",)
    few = f"{n} seeds are too few to separate them" if n < FEW_SEEDS else "they are not separated"
    where = "in every column" if len(near) == len(tops) else "at " + ", ".join(column_name(*column) for column in near)
    return (f"{text}; best and second are closer than that {where}: {few}, and marks there order nothing.",)
