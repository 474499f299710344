"""Flips of labels: symmetric, with the true class included, asymmetric, and at rates that differ between classes."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.noise.flip import floor_share
from tests.noise.scenes import balanced, drawn, scene

RATES = st.one_of(
    st.sampled_from([0.0, 0.125, 0.29, 0.375, 0.58, 0.625, 0.75]), st.integers(0, 99).map(lambda n: n / 100)
)
UNEQUAL = st.lists(st.integers(1, 20), min_size=2, max_size=9)
fast = settings(max_examples=40, deadline=None)


def labels_of(sizes: list[int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


@given(sizes=UNEQUAL, rate=RATES, seed=st.integers(0, 50))
@fast
@pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])
def test_exactly_a_share_of_the_set_is_wrong(kind: str, sizes: list[int], rate: float, seed: int) -> None:
    found = drawn(kind, scene(labels_of(sizes, seed), len(sizes), seed=seed), rate).noisy
    assert found.mislabeled.sum() == math.floor(Fraction(str(rate)) * sum(sizes))


@given(sizes=UNEQUAL, rate=RATES, seed=st.integers(0, 50))
@fast
@pytest.mark.parametrize("kind", ["symmetric", "asymmetric", "symmetric-inclusive", "confusion"])
def test_per_class_leaves_a_clean_sample_in_every_class(kind: str, sizes: list[int], rate: float, seed: int) -> None:
    if kind == "confusion" and len(sizes) < 4:
        return
    place = scene(labels_of(sizes, seed), len(sizes), seed=seed)
    found = drawn(kind, place, rate, per_class=True).noisy
    wrong = np.bincount(found.true[found.mislabeled], minlength=len(sizes))
    expected = np.array([math.floor(Fraction(str(rate)) * size) for size in sizes])
    assert (wrong <= expected).all() if kind == "symmetric-inclusive" else (wrong == expected).all()
    assert (wrong < sizes).all()


@given(rates=st.lists(RATES, min_size=2, max_size=4), seed=st.integers(0, 20), per_class=st.booleans())
@fast
def test_per_class_nests_too_and_changes_no_wrong_label(rates: list[float], seed: int, per_class: bool) -> None:
    place = scene(balanced(6, 7, seed), 6, seed=seed)
    whole = drawn("symmetric", place, 0.99).noisy
    before = np.zeros(42, dtype=bool)
    for rate in sorted(rates):
        now = drawn("symmetric", place, rate, per_class=per_class).noisy
        assert now.mislabeled[before].all()
        both = now.mislabeled & whole.mislabeled
        assert (now.observed[both] == whole.observed[both]).all()
        before = now.mislabeled


def test_without_per_class_some_class_may_lose_all_clean_samples() -> None:
    lost = [
        (np.array(drawn("symmetric", scene(balanced(40, 4), 40, seed=seed), 0.75).noisy.per_class_rate) == 1).any()
        for seed in range(10)
    ]
    assert any(lost), "this is what per_class is for"


def test_symmetric_reaches_all_other_classes_evenly() -> None:
    found = drawn("symmetric", scene(np.repeat(np.arange(5), 4000), 5), 0.5).noisy
    counts = np.zeros((5, 5))
    np.add.at(counts, (found.true, found.observed), 1)
    wrong = counts[~np.eye(5, dtype=bool)]
    assert abs(wrong.mean() - 500) < 1e-9
    assert wrong.min() > 400
    assert wrong.max() < 600


def test_inclusive_reaches_all_classes_evenly_and_its_rate_is_lower() -> None:
    """20,000 samples of which half are drawn anew: one fifth of these get their own class back."""
    found = drawn("symmetric-inclusive", scene(np.repeat(np.arange(5), 4000), 5), 0.5).noisy
    assert found.realised_rate == pytest.approx(0.5 * (1 - 1 / 5), abs=4 * math.sqrt(0.4 * 0.6 / 20000))
    counts = np.zeros((5, 5))
    np.add.at(counts, (found.true, found.observed), 1)
    wrong = counts[~np.eye(5, dtype=bool)]
    assert wrong.min() > 320
    assert wrong.max() < 480


def test_inclusive_redraws_exactly_a_share_of_the_set() -> None:
    """With 1,000 classes nearly every label drawn is another one."""
    found = drawn("symmetric-inclusive", scene(np.repeat(np.arange(1000), 2), 1000), 0.5).noisy
    assert 985 <= found.mislabeled.sum() <= 1000


def test_asymmetric_takes_the_next_class() -> None:
    found = drawn("asymmetric", scene(balanced(7, 30), 7), 0.5).noisy
    wrong = found.mislabeled
    assert (found.observed[wrong] == (found.true[wrong] + 1) % 7).all()


@given(classes=st.integers(2, 12), per_class=st.integers(4, 30), rate=RATES, seed=st.integers(0, 30))
@fast
def test_linear_imbalance_has_the_rates_it_states(classes: int, per_class: int, rate: float, seed: int) -> None:
    place = scene(balanced(classes, per_class, seed), classes, seed=seed)
    found = drawn("imbalanced", place, rate).noisy
    assert found.mislabeled.sum() == floor_share(rate, classes * per_class)
    order = place.stream("imbalanced", "classes").permutation(classes)
    for place_in_order, label in enumerate(order):
        slope = 2 * place_in_order / (classes - 1) - 1
        stated = rate + rate * (1 - rate) * slope
        assert (found.per_class_rate or [])[label] * per_class == pytest.approx(stated * per_class, abs=2.01)


def test_linear_imbalance_in_numbers() -> None:
    """At one half the rates of 5 classes run from .25 to .75 in steps of .125."""
    found = drawn("imbalanced", scene(balanced(5, 800), 5), 0.5).noisy
    assert sorted(found.per_class_rate or []) == pytest.approx([0.25, 0.375, 0.5, 0.625, 0.75], abs=0.002)
    counts = np.zeros((5, 5))
    np.add.at(counts, (found.true, found.observed), 1)
    for label in range(5):
        wrong = np.delete(counts[label], label)
        assert wrong.max() - wrong.min() < 5 * math.sqrt(wrong.mean()), "targets are uniform"


@given(classes=st.integers(2, 11), rate=st.integers(1, 50).map(lambda n: n / 100), seed=st.integers(0, 30))
@fast
def test_half_of_the_classes_carry_all_the_noise(classes: int, rate: float, seed: int) -> None:
    found = drawn("imbalanced", scene(balanced(classes, 20, seed), classes, seed=seed), rate, shape="half").noisy
    assert found.mislabeled.sum() == floor_share(rate, classes * 20)
    noisy = np.flatnonzero(found.per_class_rate or [])
    half = (classes + 1) // 2
    assert len(noisy) <= half
    stated = floor_share(rate, classes * 20) / half
    assert all(abs(20 * (found.per_class_rate or [])[label] - stated) <= 1 for label in noisy)


def test_both_splits_have_the_same_noisy_half() -> None:
    train = scene(balanced(10, 16), 10, shots=16)
    twin = scene(balanced(10, 4), 10, shots=4, split_name="validation", training=train)
    noisy = [set(np.flatnonzero(drawn("imbalanced", s, 0.4, shape="half").noisy.per_class_rate)) for s in (train, twin)]
    assert noisy[0] == noisy[1]
    alone = scene(balanced(10, 4), 10, shots=4, split_name="validation")
    assert set(np.flatnonzero(drawn("imbalanced", alone, 0.4, shape="half").noisy.per_class_rate)) != noisy[0]


def test_half_of_the_classes_cannot_be_wrong_at_a_higher_rate() -> None:
    with pytest.raises(BenchError) as caught:
        drawn("imbalanced", scene(balanced(10, 16), 10), 0.625, shape="half")
    assert str(caught.value) == (
        "noise imbalanced[shape=half]: rate 0.625 asks for 100 wrong labels and the noisy half has 80 samples; "
        "use a rate up to 0.5, or shape=linear."
    )
    pets = scene(balanced(37, 64), 37)
    with pytest.raises(BenchError) as caught:
        drawn("imbalanced", pets, 0.6, shape="half")
    drawn("imbalanced", pets, float(re.findall(r"up to ([\d.]+),", str(caught.value))[0]), shape="half")
