"""The statistics of the regression gate, against scipy, simulation and slow counting."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.regression.baseline import SeedGroup
from bench.regression.gate import SeedNoise, paired
from bench.statistics import Spread, rank_test

few = st.lists(st.integers(0, 6), min_size=1, max_size=5)


def group(values: dict[int, float], noise: str = "none") -> SeedGroup:
    return SeedGroup({"noise": noise, "rate": 0.0}, values, {}, {}, {})


def seeds(values: list[float], first: int = 1) -> dict[int, float]:
    return dict(enumerate(values, first))


@settings(max_examples=60, deadline=None)
@given(few, few)
def test_the_rank_test_counts_every_way_of_dealing_out_the_values(before: list[int], now: list[int]):
    ranks = stats.rankdata([*now, *before])
    observed = ranks[: len(now)].sum()
    sums = [sum(chosen) for chosen in itertools.combinations(ranks, len(now))]
    lower, upper = rank_test(before, now)
    assert lower == pytest.approx(np.mean([total <= observed + 1e-9 for total in sums]))
    assert upper == pytest.approx(np.mean([total >= observed - 1e-9 for total in sums]))


def test_the_rank_test_is_scipys_where_no_values_are_equal():
    generator = np.random.default_rng(0)
    for n, m in ((3, 4), (10, 10), (12, 20)):
        before, now = list(generator.normal(0, 1, n)), list(generator.normal(-0.8, 1, m))
        lower, upper = rank_test(before, now)
        assert lower == pytest.approx(stats.mannwhitneyu(now, before, alternative="less", method="exact").pvalue)
        assert upper == pytest.approx(stats.mannwhitneyu(now, before, alternative="greater", method="exact").pvalue)


def test_equal_spreads_are_pooled():
    spread = Spread.fitted([(4.0, 4)] * 10)
    assert math.isinf(spread.df0)
    assert spread.of(4.0, 4) == (2.0, 40)
    assert spread.of(0.0, 0) == (2.0, 40)


def test_unequal_spreads_stay_apart_and_near_ones_move_together():
    generator = np.random.default_rng(1)
    wide = Spread.fitted([(10.0**k, 4) for k in (-2, -1, 0, 1, 2)])
    assert wide.df0 < 1
    assert wide.of(100.0, 4)[0] > 9
    true = 4 * 10 / generator.chisquare(10, 400)  # variances around 4, known as if from 10 degrees of freedom
    near = Spread.fitted([(float(v * generator.chisquare(4) / 4), 4) for v in true])
    assert 6 < near.df0 < 18
    assert 3.3 < near.variance0 < 4.7


def test_nothing_known_is_said_so():
    one = group({1: 80.0}), group({2: 78.0})
    assert Spread.fitted([]).of(0.0, 0) == (0.0, 0.0)
    bound = SeedNoise([one]).bound(*one, 0.01)
    assert (bound.tolerance, bound.test) == (0.0, "noise unknown")


def test_which_test_is_used():
    values = [80.0, 81.5, 79.0, 80.2, 82.0, 80.9, 78.5, 81.1, 79.7, 80.4, 79.9, 81.8]
    old, same = group(seeds(values)), group(seeds([v + 0.5 for v in values]))
    other, three = group(seeds([v - 3 for v in values], 101)), group(seeds(values[:3], 101))
    flat = group({1: 90.0, 2: 90.0}), group({3: 90.0, 4: 90.0})
    noise = SeedNoise([(old, same), (old, other), (old, three), flat])
    assert noise.bound(old, same, 0.001).test == "same seeds"
    assert noise.bound(old, three, 0.001).test == "interval"
    assert noise.bound(*flat, 0.001).test == "no noise"
    ranks = noise.bound(old, other, 0.001)
    assert (ranks.test, ranks.tolerance) == ("Mann–Whitney", 0.0)
    assert ranks.lower < 0.001 < ranks.upper


@pytest.mark.parametrize("size", [3, 12], ids=["interval", "ranks"])
def test_groups_of_unlike_spread_are_flagged_no_more_often_than_stated(size: int):
    """Eight groups with spreads from 0.3 to 10 points: at 5 % over all of them, at most 9 % of 150 simulated reruns."""
    generator, flagged, draws = np.random.default_rng(2), 0, 150
    spreads = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 3.0, 10.0)
    for _ in range(draws):
        pairs = [
            (
                group(seeds(list(generator.normal(80, sd, size)))),
                group(seeds(list(generator.normal(80, sd, size)), 101)),
            )
            for sd in spreads
        ]
        noise, low = SeedNoise(pairs), False
        for old, new in pairs:
            bound = noise.bound(old, new, 0.05 / len(pairs))
            drop = np.mean(list(old.accuracy.values())) - np.mean(list(new.accuracy.values()))
            low |= bool(drop > bound.tolerance and bound.lower <= 0.05 / len(pairs))
        flagged += low
    assert flagged <= 0.09 * draws


def test_differences_are_of_shared_seeds_alone():
    assert paired(group({1: 80.0, 2: 81.0}), group({2: 79.0, 3: 90.0})) == {2: -2.0}
