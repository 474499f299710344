"""The definitions of the noise kinds, held for every registered one."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.seeds import Stream
from noise import NOISE
from noise.base import NoisyLabels

KINDS = sorted(NOISE)
FLIPS = [kind for kind in KINDS if NOISE.get(kind).takes_rate]
RATES = [0.0, 0.125, 0.25, 0.29, 0.375, 0.5, 0.58, 0.75, 0.99]


def stream(kind: str, seed: int = 1) -> Stream:
    return Stream(seed, "noise", "digits", "train", 16, kind)


def labels(classes: int, per_class: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), per_class))


@given(classes=st.integers(2, 12), per_class=st.integers(1, 20), seed=st.integers(0, 50))
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("kind", FLIPS)
def test_flips_are_counted_exactly_and_nested(kind: str, classes: int, per_class: int, seed: int) -> None:
    true = labels(classes, per_class, seed)
    noise = NOISE.get(kind)()
    before: np.ndarray | None = None
    for rate in RATES:
        observed = noise.corrupt(true, classes, rate, stream(kind, seed))
        wrong = observed != true
        assert wrong.sum() == math.floor(Fraction(str(rate)) * len(true))
        assert observed.min() >= 0
        assert observed.max() < classes
        if before is not None:
            kept = before != true
            assert (observed[kept] == before[kept]).all(), "a sample keeps its wrong label at every higher rate"
        before = observed


def test_binary_floating_point_does_not_lose_a_sample() -> None:
    assert int(0.29 * 100) == 28, "the trap"
    observed = NOISE.get("symmetric")().corrupt(labels(10, 10), 10, 0.29, stream("symmetric"))
    assert (observed != labels(10, 10)).sum() == 29


def test_symmetric_reaches_all_other_classes_evenly() -> None:
    true = np.repeat(np.arange(5), 4000)
    observed = NOISE.get("symmetric")().corrupt(true, 5, 0.5, stream("symmetric"))
    counts = np.zeros((5, 5))
    np.add.at(counts, (true, observed), 1)
    assert np.allclose(counts.sum(1), 4000)
    wrong = counts[~np.eye(5, dtype=bool)]
    assert abs(wrong.mean() - 500) < 1e-9
    assert wrong.min() > 400
    assert wrong.max() < 600


def test_asymmetric_takes_the_next_class() -> None:
    true = labels(7, 30)
    observed = NOISE.get("asymmetric")().corrupt(true, 7, 0.5, stream("asymmetric"))
    wrong = observed != true
    assert (observed[wrong] == (true[wrong] + 1) % 7).all()


@pytest.mark.parametrize("kind", KINDS)
def test_same_stream_same_labels_and_other_seed_other_labels(kind: str) -> None:
    true = labels(10, 16)
    noise = NOISE.get(kind)()
    first = noise.corrupt(true, 10, 0.5, stream(kind))
    assert (first == noise.corrupt(true, 10, 0.5, stream(kind))).all()
    if noise.takes_rate:
        assert (first != noise.corrupt(true, 10, 0.5, stream(kind, seed=2))).any()
    else:
        assert (first == true).all()


@pytest.mark.parametrize("kind", KINDS)
def test_noise_does_not_read_or_disturb_global_generators(kind: str) -> None:
    true = labels(10, 16)
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    first = NOISE.get(kind)().corrupt(true, 10, 0.25, stream(kind))
    assert (np.random.get_state()[1] == state).all()
    np.random.seed(99)
    assert (NOISE.get(kind)().corrupt(true, 10, 0.25, stream(kind)) == first).all()


def test_the_mask_of_a_seed_never_changes() -> None:
    """Published masks must stay what they are: the digest is pinned."""
    true = np.tile(np.arange(10), 16)
    observed = NOISE.get("symmetric")().corrupt(true, 10, 0.5, stream("symmetric"))
    assert NoisyLabels(true, observed, 10).digest.startswith("f788014c8c73cfda")


@pytest.mark.parametrize("kind", FLIPS)
def test_one_class_cannot_be_flipped(kind: str) -> None:
    with pytest.raises(BenchError, match="at least 2 classes, found 1"):
        NOISE.get(kind)().corrupt(np.zeros(4, dtype=np.int64), 1, 0.5, stream(kind))


def test_summary_reports_what_happened() -> None:
    noisy = NoisyLabels(np.array([0, 0, 0, 0, 1, 1]), np.array([1, 0, 0, 0, 1, 2]), 3)
    assert noisy.summary() == {
        "digest": noisy.digest,
        "realised_rate": 2 / 6,
        "per_class_rate": [0.25, 0.5, 0.0],
        "mislabeled": 2,
    }
