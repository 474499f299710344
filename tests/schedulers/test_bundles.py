"""Packs divided among Ray's trials."""

from __future__ import annotations

import pytest

from bench.schedulers.ray_tune import PACKS_PER_TRIAL, SHARE, _by_node, bundled, packed, unpacked
from tests.schedulers.fakes import packs


@pytest.mark.parametrize("count", [0, 1, 3, 9, 100, 700])
@pytest.mark.parametrize("workers", [1, 2, 36])
def test_every_pack_is_in_one_bundle_and_none_is_left_with_many(count: int, workers: int) -> None:
    every = packs(count)
    bundles = bundled(every, workers, {})
    assert [pack for bundle in bundles for pack in bundle] == every
    sizes = [len(bundle) for bundle in bundles]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes, default=0) <= PACKS_PER_TRIAL
    assert sizes[-SHARE * workers :] == [1] * min(SHARE * workers, count)
    assert len(sizes) <= count / PACKS_PER_TRIAL + SHARE * workers * 6


def test_long_packs_are_trials_of_their_own_and_begin_first_whatever_they_read() -> None:
    """As in a grid of two data sets, where few packs of each take most of the time."""
    every = packs(100, datasets=("letters", "digits"))
    seconds = {pack[0][0]: 100.0 if number < 10 else 1.0 for number, pack in enumerate(every)}
    bundles = _by_node(every, {}, 2, seconds)
    assert sorted(pack for bundle in bundles for pack in bundle) == sorted(every)
    assert [len(bundle) for bundle in bundles[:10]] == [1] * 10
    assert [pack for bundle in bundles[:10] for pack in bundle] == every[:10]
    assert len(bundles) < 60
    assert all(len({pack[0][1].dataset for pack in bundle}) == 1 for bundle in bundles)


def test_a_pack_of_which_nothing_is_known_counts_as_long() -> None:
    every = packs(9)
    assert bundled(every, 1, {pack[0][0]: 1.0 for pack in every[1:]})[0] == (every[0], every[1])
    assert bundled(every, 1, {pack[0][0]: 0.001 for pack in every[1:]} | {"other": 5.0})[0] == (every[0],)


def test_packs_travel_as_text() -> None:
    bundle = (tuple(one for pack in packs(3) for one in pack), packs(1)[0])
    assert unpacked(packed(bundle)) == bundle
