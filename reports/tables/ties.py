"""What the seeds can tell apart.

The rule of every table: in a column, two methods are apart where a paired t-test over seeds separates them (two-sided
5 %, not corrected for the number of methods). Seeds pair, because the cells of one seed share their few shots and,
where the digests agree, their wrong labels. Two or three seeds know little of a spread, so the variance of a pair is
moved towards those of all pairs of a method and the best of its column, as far as these agree among each other (Smyth
2004, see `bench.statistics.Spread`); otherwise 50 points between two methods could be none. Not told from the best are
the methods below it down to the first that is apart from it; so a mean that lies below one that is apart is not among
them, however much its own seeds differ, and neither is a method that is unstable (`Judged.unstable`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from bench.reports.names import column_name
from bench.statistics import Spread

Mark: TypeAlias = Literal["", "best", "second"]
FEW_SEEDS = 5
UNSTABLE_RATIO = 3.0  # spread of a method to the usual spread of the others
SMALL_SPREAD = 1.0  # points; a usual spread below it counts as much


@dataclass(frozen=True)
class Standing:
    """How a method stands in its column.

    Attributes:
        mark: best or second by the mean.
        near: whether the seeds do not tell it from the best.
        unstable: whether they do not, or it is the best, but its own differ far more than those of the others.
    """

    mark: Mark = ""
    near: bool = False
    unstable: bool = False


@dataclass(frozen=True)
class Judged:
    """One column: the methods with the commonest set of seeds and wrong labels, the highest mean first.

    Attributes:
        labels: of the methods.
        values: [methods, seeds], in points.
        spread: what the other pairs of the table tell of the variance of a difference.
    """

    labels: tuple[str, ...]
    values: npt.NDArray[np.float64]
    spread: Spread

    @property
    def seeds(self) -> int:
        """How many there are."""
        return int(self.values.shape[1])

    def gap(self, high: int, low: int) -> float:
        """Compute the difference between two means."""
        return float((self.values[high] - self.values[low]).mean())

    def needed(self, high: int, low: int) -> float:
        """Compute the difference at which two methods are apart: t · s / √n, s moderated; NaN of one seed."""
        if self.seeds < 2:
            return math.nan
        sd, df = self.spread.of(*_variance(self.values, high, low))
        return float(stats.t.ppf(0.975, df)) * sd / math.sqrt(self.seeds)

    def apart(self, high: int, low: int) -> bool:
        """Return whether the seeds separate two methods, the higher mean first; without a test they do."""
        return not self.gap(high, low) < self.needed(high, low)

    def unstable(self, place: int) -> bool:
        """Return whether a method's spread is `UNSTABLE_RATIO` times the median spread of the others, or more."""
        if self.seeds < 2 or len(self.labels) < 2:
            return False
        spreads = self.values.std(axis=1, ddof=1)
        usual = max(float(np.median(np.delete(spreads, place))), SMALL_SPREAD)
        return bool(spreads[place] >= UNSTABLE_RATIO * usual)


def judge(rows: pd.DataFrame, value: str = "last") -> dict[tuple[str, float], Judged]:
    """Compare the trained methods of each noise column; columns without a number are left out.

    Args:
        rows: of one setting, with section, status, label, noise, rate, seed, mask and `value`.
    """
    known = rows[(rows["section"] == "method") & (rows["status"] == "done") & rows[value].notna()]
    known = known.assign(_block=known["seed"].astype(str) + " " + known["mask"])
    grouped = known.groupby(["noise", "rate"], sort=False)
    found = {(str(noise), float(str(rate))): _ordered(column, value) for (noise, rate), column in grouped}
    spread = Spread.fitted(
        _variance(values, 0, low) for labels, values in found.values() for low in range(1, len(labels))
    )
    return {column: Judged(labels, values, spread) for column, (labels, values) in found.items()}


def _variance(values: npt.NDArray[np.float64], high: int, low: int) -> tuple[float, int]:
    """Compute the variance of two methods' differences over seeds, and its degrees of freedom."""
    seeds = values.shape[1]
    return (float((values[high] - values[low]).var(ddof=1)), seeds - 1) if seeds > 1 else (0.0, 0)


def _ordered(column: pd.DataFrame, value: str) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """Sort one column into labels and values by block, the highest mean first."""
    rows, names = pd.factorize(column["label"])
    blocks, found = pd.factorize(column["_block"])
    wide = np.full((len(names), len(found)), np.nan)
    wide[rows, blocks] = column[value]
    have = ~np.isnan(wide)
    counts = Counter(map(tuple, have.tolist()))
    usual = np.array(max(counts, key=lambda pattern: (counts[pattern], sum(pattern))))
    judged = (have == usual).all(axis=1)
    values, labels = wide[judged][:, usual], [str(name) for name in names[judged]]
    ordered = np.argsort(-values.mean(axis=1), kind="stable")
    return tuple(labels[i] for i in ordered), values[ordered]


def marks(judged: Judged, printed: Mapping[str, str]) -> dict[str, Standing]:
    """Mark best, second, what the seeds do not tell from the best, and what is unstable, by label.

    Best and second go by the mean alone; means printed alike share a mark, and two that are best leave no second.
    Whether a method is unstable is said of those that the seeds do not tell from the best, and instead of that: no test
    that fails because of a method's own spread speaks for it.

    Args:
        judged: the column.
        printed: the mean of each label to the printed precision.
    """
    labels = judged.labels
    if len(labels) < 2:
        return {}
    alike = [printed[label] == printed[labels[0]] for label in labels]
    best = sum(1 for _ in takewhile(bool, alike))
    near = sum(1 for _ in takewhile(bool, (same or not judged.apart(0, i) for i, same in enumerate(alike))))
    second = printed[labels[1]] if best == 1 else None
    return {
        label: Standing(
            "best" if place < best else "second" if printed[label] == second else "",
            best <= place < near and not judged.unstable(place),
            place < near and judged.unstable(place),
        )
        for place, label in enumerate(labels)
    }


def resolution(columns: Mapping[tuple[str, float], Judged]) -> tuple[str, ...]:
    """Summarise which orders of best and second the seeds establish; nothing of at most one ranked method."""
    compared = {column: judged for column, judged in columns.items() if len(judged.labels) > 1}
    if not compared:
        return ()
    known = {column: judged for column, judged in compared.items() if judged.seeds > 1}
    if not known:
        return ("One seed cannot separate methods: no spread is known, so marks order the numbers and nothing more.",)
    n = Counter(judged.seeds for judged in known.values()).most_common(1)[0][0]
    moderated = ", moderated variances" if any(judged.spread.df0 for judged in known.values()) else ""
    test = f"a paired t-test over {n} seeds with the same wrong labels{moderated}, two-sided 5 %"
    near = {column: judged.needed(0, 1) for column, judged in known.items() if not judged.apart(0, 1)}
    if not near:
        return (f"Best and second are apart in every column ({test}).",)
    low, high = (f"{needed:.1f}" for needed in (min(near.values()), max(near.values())))
    needed = f"{low} points" if low == high else f"{low} to {high} points"
    where = (
        "in no column" if len(near) == len(known) else "not at " + ", ".join(column_name(*column) for column in near)
    )
    few = f"{n} seeds are too few, and would" if n < FEW_SEEDS else f"{n} seeds would"
    return (f"Best and second are apart {where} ({test}): {few} need differences of {needed} there.",)
