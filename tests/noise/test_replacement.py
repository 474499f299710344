"""Exchanged images: exact counts per observed class, pools, distinct images, both patterns."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts.noise import Sampled, Scene
from bench.errors import BenchError
from bench.noise.flip import floor_share
from bench.noise.replacement import _possible, exchanged
from bench.seeds import Stream
from tests.noise.scenes import balanced, drawn, scene

RATES = st.one_of(
    st.sampled_from([0.0, 0.125, 0.29, 0.375, 0.5, 0.625, 0.75]), st.integers(0, 99).map(lambda n: n / 100)
)
fast = settings(max_examples=60, deadline=None)


def labels_of(sizes: list[int]) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))


def pools(place: Scene, kept: int) -> tuple[list[set[int]], list[set[int]]]:
    """True and false pools as the docstring defines them, by loops."""
    true, false = [], []
    for label in range(place.num_classes):
        members = [i for i, y in enumerate(place.split.labels) if y == label]
        order = place.stream("replacement", "pool", label).permutation(len(members))
        half = -(-len(members) // 2)
        true.append({members[i] for i in order[:half][:kept]})
        false.append({members[i] for i in order[half:]})
    return true, false


def check(place: Scene, found: Sampled, rate: float, pattern: str, shots: int) -> None:
    true_pool, false_pool = pools(place, shots)
    truth, observed = found.noisy.true, found.noisy.observed
    assert (truth == place.split.labels[found.positions]).all()
    for label in range(place.num_classes):
        mine = observed == label
        count = min(shots, len(true_pool[label]))
        assert mine.sum() == count
        wrong = mine & (truth != label)
        assert wrong.sum() == floor_share(rate, count)
        assert set(found.positions[mine & ~wrong]) <= true_pool[label]
        assert all(position in false_pool[y] for position, y in zip(found.positions[wrong], truth[wrong], strict=True))
        if pattern == "pair":
            assert (truth[wrong] == (label + 1) % place.num_classes).all()


@given(
    classes=st.integers(2, 8), half=st.integers(4, 12), shots=st.integers(1, 12), rate=RATES,
    pattern=st.sampled_from(["symmetric", "pair"]), seed=st.integers(0, 50),
)  # fmt: skip
@fast
def test_exactly_f_of_k_images_are_of_other_classes_and_none_occurs_twice(
    classes: int, half: int, shots: int, rate: float, pattern: str, seed: int
) -> None:
    shots = min(shots, half)
    place = scene(balanced(classes, 2 * half), classes, shots=shots, seed=seed)
    found = drawn("replacement", place, rate, pattern=pattern)
    check(place, found, rate, pattern, shots)
    assert len(set(found.positions)) == len(found.positions)
    assert found.facts == {"repeated_images": 0}
    assert found.short == {}


@given(sizes=st.lists(st.integers(2, 24), min_size=2, max_size=6), rate=RATES, seed=st.integers(0, 50))
@fast
@pytest.mark.parametrize("pattern", ["symmetric", "pair"])
def test_small_classes_keep_what_they_have(pattern: str, sizes: list[int], rate: float, seed: int) -> None:
    place = scene(labels_of(sizes), len(sizes), shots=8, seed=seed)
    found = drawn("replacement", place, rate, pattern=pattern)
    check(place, found, rate, pattern, 8)
    halves = [-(-size // 2) for size in sizes]
    assert found.short == {label: half for label, half in enumerate(halves) if half < 8}
    assert found.facts["repeated_images"] == len(found.positions) - len(set(found.positions))


@given(
    sizes=st.lists(st.integers(0, 7), min_size=2, max_size=6),
    wanted=st.lists(st.integers(0, 6), min_size=6, max_size=6),
    seed=st.integers(0, 200),
)
@settings(max_examples=80, deadline=None)
def test_images_are_distinct_for_as_many_rounds_as_any_choice_could_make_them(
    sizes: list[int], wanted: list[int], seed: int
) -> None:
    starts = np.concatenate([[0], np.cumsum(sizes)])
    files = [np.arange(a, b) for a, b in pairwise(starts)]
    asked = np.array(wanted[: len(sizes)])
    found = exchanged(files, asked, Stream(seed, "noise", "toy"))
    for label, images in enumerate(found):
        others = sum(sizes) - sizes[label]
        assert len(images) == (asked[label] if others else 0)
        assert not set(images) & set(files[label])
        assert len(set(images)) == min(len(images), others), "twice in one class only where it has all there are"
    rounds = max(s for s in range(8) if matched(np.minimum(asked, s), sizes))
    first = np.concatenate([images[:rounds] for images in found])
    assert len(set(first)) == len(first)


@pytest.mark.parametrize(("classes", "each"), [(2, 3), (3, 1), (4, 2), (7, 3)])
def test_pools_that_are_just_large_enough_are_shared_out_to_the_last_image(classes: int, each: int) -> None:
    """An unguarded draw would leave the last class with its own images in about half of these."""
    files = [np.arange(each) + each * c for c in range(classes)]
    for seed in range(40):
        found = exchanged(files, np.full(classes, each), Stream(seed, "noise", "toy"))
        assert sorted(np.concatenate(found)) == list(range(classes * each))
        assert all(not set(images) & set(files[c]) for c, images in enumerate(found))


def matched(due: np.ndarray, sizes: list[int]) -> bool:
    """Whether the places can be filled with distinct images of other classes, by maximum flow instead of a formula."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_flow

    count = len(sizes)
    graph = np.zeros((2 * count + 2, 2 * count + 2), dtype=np.int32)
    graph[0, 2 : 2 + count] = due
    graph[2 : 2 + count, 2 + count :] = 1000 * (1 - np.eye(count, dtype=np.int32))
    graph[2 + count :, 1] = sizes
    enough = bool(maximum_flow(csr_matrix(graph), 0, 1).flow_value == due.sum())
    assert enough == _possible(due, np.array(sizes))
    return enough


def test_symmetric_images_come_evenly_from_all_other_classes() -> None:
    counts: Counter[tuple[int, int]] = Counter()
    for seed in range(60):
        noisy = drawn("replacement", scene(balanced(5, 80), 5, shots=32, seed=seed), 0.5).noisy
        counts.update(
            zip(noisy.true[noisy.mislabeled].tolist(), noisy.observed[noisy.mislabeled].tolist(), strict=True)
        )
    assert len(counts) == 20
    mean = 60 * 16 / 4
    assert all(abs(count - mean) < 5 * np.sqrt(mean) for count in counts.values())


def test_the_direction_of_pair_is_opposite_to_asymmetric() -> None:
    place = scene(balanced(6, 40), 6, shots=16)
    pair = drawn("replacement", place, 0.5, pattern="pair").noisy
    asymmetric = drawn("asymmetric", place, 0.5).noisy
    assert {(t - o) % 6 for t, o, _ in pair.confusion} == {1}
    assert {(o - t) % 6 for t, o, _ in asymmetric.confusion} == {1}


def test_the_order_does_not_tell_which_samples_are_wrong_or_of_which_class() -> None:
    found = [drawn("replacement", scene(balanced(10, 40), 10, shots=16, seed=seed), 0.5).noisy for seed in range(30)]
    front = np.mean([noisy.mislabeled[:80].mean() for noisy in found])
    blocks = np.mean([(noisy.observed == np.arange(160) // 16).mean() for noisy in found])
    assert front == pytest.approx(0.5, abs=0.05)
    assert blocks == pytest.approx(0.1, abs=0.03)


def test_observed_classes_are_balanced_and_true_ones_are_not() -> None:
    noisy = drawn("replacement", scene(balanced(10, 40), 10, shots=16), 0.5).noisy
    assert noisy.summary()["observed_per_class"] == [16] * 10
    assert len(set(np.bincount(noisy.true))) > 1


@pytest.mark.parametrize(
    ("sizes", "pattern", "message"),
    [
        ([8, 1, 8], "pair", '[pattern=pair]: class "class 1" has fewer than 2 images in train, so none '
         'can stand in for "class 0"; use pattern=symmetric, or give it more images.'),
        ([8, 1, 1], "symmetric", ': no class but "class 0" has 2 images in train, so none can stand in '
         "for its own; use symmetric noise, or more images."),
    ],
)  # fmt: skip
def test_pools_that_are_empty_are_one_line(sizes: list[int], pattern: str, message: str) -> None:
    with pytest.raises(BenchError) as caught:
        drawn("replacement", scene(labels_of(sizes), 3, shots=4), 0.5, pattern=pattern)
    assert str(caught.value) == f"noise replacement{message}"
