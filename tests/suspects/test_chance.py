"""The test by which a class is found on which the methods are no better than chance."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.suspects.chance import class_agreements, guessed_classes
from bench.suspects.score import SuspectRanking, rank
from tests.suspects.test_suspects import CLASSES, Shop


def ranked(predicted: NDArray[np.int64], given: NDArray[np.int64], folds: bool = True) -> SuspectRanking:
    """Rank samples for which a method predicts what it is told to."""
    shop = Shop(count=len(given))
    shop.observed = given
    for number in (1, 2) if folds else ():
        shop.fold(number)
        outcomes = shop.outcomes[shop.records[-1].key]
        outcomes["probabilities"][:] = np.eye(CLASSES)[predicted[outcomes["unseen"]]]
    if not folds:
        shop.add({"unseen": np.arange(len(given)), "probabilities": np.eye(CLASSES, dtype=np.float32)[predicted]})
    return rank(shop.sets()[0])


def test_a_class_that_is_told_apart_is_no_guess_and_one_that_is_shuffled_is() -> None:
    given = np.arange(80) % CLASSES
    predicted = given.copy()
    both = np.flatnonzero(given >= 2)
    predicted[both] = 2 + np.arange(len(both)) // 2 % 2  # of 2 and 3 each is said as often, whatever the label is
    ranking = ranked(predicted, given)
    assert guessed_classes(ranking) == ()
    assert class_agreements(ranking)[0].chance < 1e-10, "that it is one of the two is told"
    predicted[:] = np.arange(80) // 4 % CLASSES
    predicted[given == 0] = 0
    assert guessed_classes(ranked(predicted, given)) == (1, 2, 3)


def test_who_always_says_one_class_tells_it_from_none() -> None:
    given = np.arange(40) % CLASSES
    found = class_agreements(ranked(np.full(40, 2), given))
    assert found[2].agreed == found[2].given == 10
    assert [one.label for one in found if one.guessed] == [0, 1, 2, 3]


def test_the_probability_is_that_of_the_exact_test() -> None:
    given, predicted = np.arange(40) % CLASSES, np.arange(40) % CLASSES
    predicted[:24] = (predicted[:24] + np.arange(24) // 4) % CLASSES
    for found in class_agreements(ranked(predicted, given)):
        k, n, m = found.agreed, found.given, found.predicted
        tail = sum(comb(n, i) * comb(40 - n, m - i) for i in range(k, min(n, m) + 1)) / comb(40, m)
        assert found.chance == pytest.approx(tail)


def test_a_class_of_too_few_images_is_not_told_apart() -> None:
    given = np.r_[np.zeros(1, np.int64), np.full(3, 1), np.full(6, 2), np.full(2, 3)]
    found = {one.label: one.guessed for one in class_agreements(ranked(given.copy(), given))}
    assert found == {0: True, 1: False, 2: False, 3: False}


def test_in_sample_agreement_says_nothing() -> None:
    given = np.arange(40) % CLASSES
    assert class_agreements(ranked(given, given, folds=False)) == ()
