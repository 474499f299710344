"""Test differences between two groups of seeds against the noise of the seeds.

Methods differ widely in how much a seed moves them (cross-entropy under 50 % noise: 10 points, a robust loss: 1), and
three seeds tell little of a spread. A group's variance s² with d degrees of freedom is therefore moved towards the
others' as far as these agree among each other (Smyth, Statistical Applications in Genetics and Molecular Biology 2004):

    (d₀·s₀² + d·s²) / (d₀ + d)   with d₀ + d degrees of freedom, at most those of all groups together

where s₀² and d₀ are fitted to the logarithms of all groups' variances. The bound that a difference has to exceed is

    seeds in common:     the smaller of t · s_d / √n and t · s · √(2/n), each at half the error probability
    none in common:      t · s · √(1/n + 1/n')
    none, and many:      no bound, but the exact Mann–Whitney test, which assumes nothing of spread or shape

with s_d of the differences and s of the accuracies over seeds. "Many" is where complete separation would be a hundred
times rarer than the error probability, so that the two sides may overlap a little: from about 10 seeds on either side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy import special

from bench.regression.baseline import SeedGroup, Seeds, pooled_variance
from bench.statistics import Spread, rank_test, smallest_drop

RARER = 100
GroupPair: TypeAlias = tuple[SeedGroup, SeedGroup]
Test: TypeAlias = Literal["same seeds", "interval", "Mann–Whitney", "no noise", "noise unknown", ""]


@dataclass(frozen=True)
class Bound:
    """Bound that a difference has to exceed, in points, and the smallest drop that the gate could detect.

    Attributes:
        tolerance: of the test; 0 for a rank test, which has none.
        lower: of a rank test, the probability that chance puts the new accuracies so low.
        upper: likewise, so high.
        drop: the smallest drop, alike in all seeds, beyond the noise.
        scattered: likewise, of a drop that differs from seed to seed as the accuracies do; NaN where nothing is known.
    """

    tolerance: float
    test: Test
    drop: float
    scattered: float
    lower: float = 0.0
    upper: float = 0.0


class SeedNoise:
    """Seed noise, estimated from all pairs of groups (baseline, now) of one kind.

    Groups that have not changed count with the rest: they show that nothing but the change itself moves an accuracy.
    """

    def __init__(self, pairs: Sequence[GroupPair]) -> None:
        self.accuracies = Spread.fitted(pooled_variance(group.accuracy for group in pair) for pair in pairs)
        self.differences = Spread.fitted(_variance(paired(*pair)) for pair in pairs)

    def bound(self, old: SeedGroup, new: SeedGroup, alpha: float) -> Bound:
        """Compute the two-sided bound that unchanged code passes with probability `alpha`."""
        if not new.accuracy or (constant(old) and constant(new)):
            return Bound(0.0, "no noise", 0.0, 0.0)
        shared = paired(old, new)
        sizes = len(old.accuracy), len(new.accuracy)
        if not shared and math.comb(sum(sizes), sizes[0]) * alpha >= RARER:
            before, now = list(old.accuracy.values()), list(new.accuracy.values())
            drop = smallest_drop(before, now, alpha)
            return Bound(0.0, "Mann–Whitney", drop, drop, *rank_test(before, now))
        n = len(shared)
        sd, df = self.accuracies.of(*pooled_variance((old.accuracy, new.accuracy)))
        error = sd * math.sqrt(2 / n if n else 1 / sizes[0] + 1 / sizes[1])
        scattered = _quantile(alpha / 2 if n else alpha, df) * error if df else math.nan
        bounds = [scattered] if df else []
        if n:
            sd, df = self.differences.of(*_variance(shared))
            bounds += [_quantile(alpha / 2, df) * sd / math.sqrt(n)] if df else []
        tolerance = min(bounds, default=0.0)
        return Bound(
            tolerance, ("same seeds" if n else "interval") if bounds else "noise unknown", tolerance, scattered
        )


def paired(old: SeedGroup, new: SeedGroup) -> Seeds:
    """Return differences now - before by shared seed, in points."""
    return {s: new.accuracy[s] - old.accuracy[s] for s in sorted(old.accuracy.keys() & new.accuracy.keys())}


def constant(group: SeedGroup) -> bool:
    """Return whether several seeds have one accuracy, as of a method that the seed does not affect."""
    return len(group.accuracy) > 1 and len(set(group.accuracy.values())) == 1


def _variance(values: Seeds) -> tuple[float, int]:
    return (float(np.var(list(values.values()), ddof=1)), len(values) - 1) if len(values) > 1 else (0.0, 0)


def _quantile(alpha: float, df: float) -> float:
    return -float(special.stdtrit(df, alpha))
