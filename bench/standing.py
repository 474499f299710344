"""Which means of a column stand out, and which the seeds do not tell from the best.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import special

from bench.plugins import NOISE
from bench.rows import UNIFORM, Row
from bench.statistics import TIE_DIGITS, Spread

Mark: TypeAlias = Literal["", "best", "second"]
Values: TypeAlias = Mapping[str, Mapping[str, float]]  # of one column, by label and by seed with its wrong labels
K = TypeVar("K")
UNSTABLE_RATIO = 3.0  # spread of a method to the usual spread of the others
SMALL_SPREAD = 1.0  # points; a usual spread below it counts as much
NEAR = "·"  # what a test over seeds does not tell from the best
UNSTABLE = "U"
EXACT = 1e-9  # by which rates of a limit may miss it
REFERENCE = "zero-shot"  # trains nothing, and is never ranked


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
        left_out: methods with other seeds or wrong labels, however many.
    """

    labels: tuple[str, ...]
    values: npt.NDArray[np.float64]
    spread: Spread
    left_out: tuple[str, ...] = ()

    @property
    def seeds(self) -> int:
        """How many there are."""
        return int(self.values.shape[1])

    @property
    def unranked(self) -> tuple[str, ...]:
        """Methods that are compared with no other: those left out, and the one that is then alone."""
        return (*(self.labels if len(self.labels) == 1 and self.left_out else ()), *self.left_out)

    def gap(self, high: int, low: int) -> float:
        """Compute the difference between two means."""
        return float((self.values[high] - self.values[low]).mean())

    def needed(self, high: int, low: int) -> float:
        """Compute the difference at which two methods are apart: t · s / √n, s moderated; NaN of one seed."""
        if self.seeds < 2:
            return math.nan
        sd, df = self.spread.of(*_variance(self.values, high, low))
        return float(special.stdtrit(df, 0.975)) * sd / math.sqrt(self.seeds)

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


def judged(columns: Mapping[K, Values]) -> dict[K, Judged]:
    """Compare the methods of each column, accuracies in points; a method that lacks the usual seeds is left out."""
    found = {column: _ordered(values) for column, values in columns.items() if values}
    spread = Spread.fitted(
        _variance(values, 0, low) for labels, values in found.values() for low in range(1, len(labels))
    )
    return {
        column: Judged(labels, values, spread, tuple(label for label in columns[column] if label not in labels))
        for column, (labels, values) in found.items()
    }


def _variance(values: npt.NDArray[np.float64], high: int, low: int) -> tuple[float, int]:
    """Compute the variance of two methods' differences over seeds, and its degrees of freedom."""
    seeds = values.shape[1]
    return (float((values[high] - values[low]).var(ddof=1)), seeds - 1) if seeds > 1 else (0.0, 0)


def _ordered(values: Values) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """Sort one column into labels and values [methods, seeds], the highest mean first."""
    counts = Counter(frozenset(seeds) for seeds in values.values())
    usual = max(counts, key=lambda seeds: (counts[seeds], len(seeds)))
    labels = [label for label, seeds in values.items() if seeds.keys() == usual]
    table = np.array([[values[label][seed] for seed in sorted(usual)] for label in labels])
    ordered = np.argsort(-table.mean(axis=1).round(TIE_DIGITS), kind="stable")
    return tuple(labels[i] for i in ordered), table[ordered]


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


def identifiable(kind: str, rate: float, classes: int = 0) -> bool:
    """Return whether labels alone can tell the truth, by the kind's row; true of an unknown kind.

    With C classes, wrong labels that are uniformly another class are as common as true ones from a rate of (C-1)/C on.

    Args:
        kind: of noise, with options.
        rate: nominal.
        classes: of the data, C; 0 where unknown, and then no limit hangs on it.
    """
    name, _, inside = kind.removesuffix("]").partition("[")
    row, options = NOISE.find(name), inside.split(",")
    if row is None:
        return True
    limit = 1.0 if row.beside and row.beside not in options else row.identifiable
    below = 1 / (1 + _commonest_share(row, options, classes if limit < 1 or row.commonest else 0))
    return rate <= limit and rate < below - EXACT


def _commonest_share(row: Row, options: Sequence[str], classes: int) -> float:
    """Return which share of a class's wrong labels its commonest wrong class has; 0 where unknown."""
    if classes == 2:
        return 1.0  # there is one other class
    if row.commonest == UNIFORM:
        return 1 / (classes - 1) if classes > 1 else 0.0
    name, _, usual = row.commonest.partition("=")
    given = [option.partition("=")[2] for option in options if option.partition("=")[0] == name]
    try:
        share = float((given or [usual])[0] or 0)
    except ValueError:
        return 0.0
    return share if 0 < share <= 1 else 0.0
