"""Noise that comes with data: foreign images, human annotations, labels as given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts.dataset import Split
from bench.contracts.noise import OUTSIDE, Scene
from bench.data import library
from bench.errors import BenchError
from bench.grid.options import noise_options, noise_variant
from bench.noise.flip import floor_share
from tests.noise.scenes import Toy, balanced, drawn, scene


class Big(Toy):
    size = 400


def open_scene(size: type[Toy] = Toy, **changes: object) -> Scene:
    names = ("class 0", "CLASS 1", "class 2", "class 3")
    return scene(balanced(4, 10), 4, open_dataset=lambda name: size(), class_names=names, **changes)


@given(rate=st.integers(0, 99).map(lambda n: n / 100), seed=st.integers(0, 30))
@settings(max_examples=40, deadline=None)
def test_a_share_of_the_images_is_foreign_of_classes_that_are_none_of_ours(rate: float, seed: int) -> None:
    place = open_scene(seed=seed)
    found = drawn("open-set", place, rate, source="letters")
    assert found.foreign is not None
    assert found.foreign.dataset == "letters"
    away = found.foreign.positions >= 0
    assert away.sum() == floor_share(rate, 40)
    assert (found.noisy.true[away] == OUTSIDE).all()
    assert (found.noisy.true[~away] == place.split.labels[found.positions[~away]]).all()
    assert (found.noisy.observed == place.split.labels[found.positions]).all(), "observed labels stay"
    guests = found.foreign.positions[away]
    assert len(set(guests)) == len(guests)
    assert (guests % 3 != 0).all(), "Class_1 is one of ours, under another spelling"
    assert found.noisy.realised_rate == away.mean()


def test_foreign_images_come_evenly_from_the_classes_left() -> None:
    counts = sum(
        np.bincount(drawn("open-set", open_scene(Big, seed=seed), 0.5).foreign.positions % 3, minlength=3)
        for seed in range(30)
    )
    assert abs(counts[1] - 300) < 60


def test_training_and_validation_share_no_foreign_image() -> None:
    train = scene(balanced(4, 5), 4)
    twin = scene(balanced(4, 4), 4, split_name="validation", training=train)
    pairs = [drawn("open-set", place, 0.99).foreign for place in (train, twin)]
    images = [set(pair.positions[pair.positions >= 0]) for pair in pairs if pair is not None]
    assert [len(found) for found in images] == [19, 15]
    assert not images[0] & images[1]


def test_too_few_foreign_images_or_the_own_data_set_are_one_line() -> None:
    train = scene(balanced(4, 20), 4)
    with pytest.raises(BenchError) as caught:
        drawn("open-set", train, 0.55)
    assert str(caught.value) == (
        "noise open-set: rate 0.55 needs 44 foreign images, and letters has 40 of classes that digits lacks; "
        "use a larger source or a lower rate."
    )
    twin = scene(balanced(4, 4), 4, split_name="validation", training=train)
    with pytest.raises(BenchError, match="needs 8 foreign images and 40 for training, and letters has 40 of classes"):
        drawn("open-set", twin, 0.5)
    with pytest.raises(BenchError, match="source digits is the data set itself; name another one"):
        drawn("open-set", train, 0.5, source="digits")
    with pytest.raises(BenchError, match='unknown dataset "leters"'):
        drawn("open-set", train, 0.5, source="leters")
    with pytest.raises(BenchError, match="needs another data set, and none can be opened here"):
        drawn("open-set", replace(train, open_dataset=None), 0.5)


def test_letters_stand_in_for_digits_and_the_other_way_round() -> None:
    letters = library.open_dataset("letters").splits["train"]
    place = scene(balanced(10, 16), 10, open_dataset=library.open_dataset)
    found = drawn("open-set", place, 0.5)
    assert found.foreign is not None
    assert found.foreign.positions.max() < len(letters)
    other = drawn("open-set", replace(place, dataset="letters"), 0.5, source="digits")
    assert other.foreign is not None
    assert other.foreign.dataset == "digits"


TRUE = np.tile(np.arange(3), 30)
GIVEN = np.where(np.arange(90) % 5 == 0, (TRUE + 1) % 3, TRUE)
WORST = np.where(np.arange(90) % 2 == 0, (TRUE + 1) % 3, TRUE)


def annotated(truth: bool = True, labels: np.ndarray = TRUE, shots: int = 8, **annotations: np.ndarray) -> Scene:
    place = scene(labels, 3, shots=shots)
    images: list[None] = [None] * 90
    return replace(place, split=Split(images, labels, annotations=annotations, truth=truth))  # type: ignore[arg-type]


def test_human_labels_are_the_named_ones_balanced_as_asked() -> None:
    place = annotated(worst=WORST, random1=GIVEN)
    worst = drawn("human", place, 0.0)
    assert (worst.noisy.observed == WORST[worst.positions]).all()
    assert (worst.noisy.true == TRUE[worst.positions]).all()
    assert np.bincount(worst.noisy.observed).tolist() == [8, 8, 8]
    other = drawn("human", place, 0.0, labels="random1")
    assert (other.noisy.observed == GIVEN[other.positions]).all()
    by_truth = drawn("human", place, 0.0, balance="true")
    assert np.bincount(by_truth.noisy.true).tolist() == [8, 8, 8]
    assert (by_truth.positions == drawn("none", place, 0.0).positions).all(), "the shots of every other kind"
    assert (by_truth.noisy.observed == WORST[by_truth.positions]).all()


def test_the_word_true_is_an_option_in_a_variant() -> None:
    assert noise_options("human[balance=true]")["balance"] == "true"
    assert noise_variant(noise_variant("human[balance=true]")) == "human[balance=true]"


def test_a_class_with_few_labels_is_recorded_as_short() -> None:
    rare = np.where(WORST == 2, 1, WORST)
    rare[:3] = 2
    assert drawn("human", annotated(worst=rare), 0.0).short == {2: 3}
    assert drawn("human", annotated(worst=np.where(rare == 0, 1, rare)), 0.0).short == {0: 0, 2: 3}
    assert drawn("replacement", scene([0] * 6 + [2] * 4, 3, shots=3), 0.3).short == {1: 0, 2: 2}


def test_human_without_annotations_or_with_others_is_one_line() -> None:
    with pytest.raises(BenchError) as caught:
        drawn("human", annotated(), 0.0)
    assert str(caught.value) == (
        "noise human needs human annotations, of which digits (train) has none; "
        "use a data set that brings them (cifar10, cifar100: docs/datasets.md names the file), or "
        "another kind."
    )
    with pytest.raises(BenchError) as caught:
        drawn("human", annotated(worst=WORST, random1=GIVEN), 0.0, labels="random11")
    assert str(caught.value) == (
        'noise human: digits (train) has no annotation "random11" but random1, worst; did you mean "random1"?'
    )


@pytest.mark.parametrize("kind", ["human", "given"])
def test_a_validation_split_without_the_labels_can_be_clean(kind: str) -> None:
    with pytest.raises(BenchError, match=r'\(validation\) has no .*; set validation = "clean", or give it'):
        drawn(kind, replace(annotated(), split_name="validation"), 0.0)


def test_human_labels_without_a_truth_are_only_observed() -> None:
    place = annotated(truth=False, labels=GIVEN, worst=WORST)
    found = drawn("human", place, 0.0)
    assert not found.noisy.truth
    assert (found.noisy.true == found.noisy.observed).all()
    with pytest.raises(
        BenchError, match="balance=true needs true labels, which digits does not have; use balance=observed"
    ):
        drawn("human", place, 0.0, balance="true")


def test_given_takes_the_labels_beside_the_truth_or_the_only_ones() -> None:
    beside = drawn("given", annotated(given=GIVEN), 0.0)
    assert beside.noisy.truth
    assert (beside.noisy.observed == GIVEN[beside.positions]).all()
    assert (beside.noisy.true == TRUE[beside.positions]).all()
    only = drawn("given", annotated(truth=False, labels=GIVEN), 0.0)
    assert not only.noisy.truth
    assert only.noisy.summary()["realised_rate"] is None
    assert (only.positions == beside.positions).all()
    assert (only.noisy.observed == beside.noisy.observed).all()
    assert np.bincount(only.noisy.observed).tolist() == [8, 8, 8]


def test_given_where_labels_are_true_ones_is_one_line() -> None:
    with pytest.raises(BenchError) as caught:
        drawn("given", annotated(worst=WORST), 0.0)
    assert str(caught.value) == (
        "noise given: digits (train) has no labels beside its own, and its labels are true ones; "
        "use none, or a synthetic kind."
    )
