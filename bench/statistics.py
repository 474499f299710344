"""Statistics of seeds: moderated variances (Smyth 2004) and an exact rank test."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

# A spread below this is not believed: accuracies are whole numbers of test images.
SMALLEST_SD = 0.1
BEYOND_TIE = 1e-6  # a shift just beyond a tie, in points
TIE_DIGITS = 9  # decimals of points to which numbers are compared: equal sums in another order differ by 1e-14


@dataclass(frozen=True)
class Spread:
    """Prior of the moderated variance (Smyth 2004), with `df0` degrees of freedom."""

    variance0: float
    df0: float
    total: int

    @classmethod
    def fitted(cls, groups: Iterable[tuple[float, int]]) -> Spread:
        """Fit the prior to variance and degrees of freedom of every group; those without any are left out."""
        known = [(max(variance, SMALLEST_SD**2), df) for variance, df in groups if df > 0]
        total = sum(df for _, df in known)
        if len(known) < 2:
            return cls(known[0][0] if known else 0.0, 0.0, total)
        half = np.array([df / 2 for _, df in known])
        logs = np.log([variance for variance, _ in known]) - special.digamma(half) + np.log(half)
        excess = float(np.var(logs, ddof=1) - special.polygamma(1, half).mean())
        if excess <= 0:
            return cls(sum(variance * df for variance, df in known) / total, math.inf, total)
        half0 = _inverse_trigamma(excess)
        return cls(math.exp(logs.mean() + special.digamma(half0) - math.log(half0)), 2 * half0, total)

    def of(self, variance: float, df: int) -> tuple[float, float]:
        """Return a group's moderated standard deviation and degrees of freedom; 0 degrees where nothing is known."""
        if math.isinf(self.df0):
            return math.sqrt(self.variance0), self.total
        known = self.df0 + df
        if not known:
            return 0.0, 0.0
        moved = (self.df0 * self.variance0 + df * max(variance, SMALLEST_SD**2 if df else 0.0)) / known
        return math.sqrt(moved), min(known, self.total)


def rank_test(before: Sequence[float], now: Sequence[float]) -> tuple[float, float]:
    """Test two samples by the exact one-sided Mann–Whitney test, ties included. Returns the probabilities that chance
    puts `now` so low, and so high.
    """
    both = np.array([*now, *before], float).round(TIE_DIGITS)
    ordered = np.sort(both)
    doubled = 1 + np.searchsorted(ordered, both) + np.searchsorted(ordered, both, "right")  # ranks of ties are halves
    observed = int(doubled[: len(now)].sum())
    ways = np.zeros((len(now) + 1, int(doubled.sum()) + 1))  # of choosing k of the ranks with this sum
    ways[0, 0] = 1
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    sums = ways[-1] / ways[-1].sum()
    return float(sums[: observed + 1].sum()), float(sums[observed:].sum())


def smallest_drop(before: Sequence[float], now: Sequence[float], alpha: float) -> float:
    """Return the smallest drop of the mean, in points, that `rank_test` would detect. `now` is moved as it stands."""
    shifts = sorted({new - old for new in now for old in before})  # between two of these no rank changes
    first = bisect.bisect_left(
        shifts, True, key=lambda shift: rank_test(before, [new - shift - BEYOND_TIE for new in now])[0] <= alpha
    )
    return shifts[first] - float(np.mean(now) - np.mean(before))


def _inverse_trigamma(value: float) -> float:
    """Solve trigamma(x) = `value` for x > 0 by Newton's method (Smyth 2004, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if abs(step) < 1e-8 * x:
            break
    return x
