"""Packs divided among Ray's trials."""

from __future__ import annotations

import pytest

from bench.schedulers.ray_tune import PACKS_PER_TRIAL, SHARE, bundled, packed, unpacked
from tests.schedulers.fakes import packs


@pytest.mark.parametrize("count", [0, 1, 3, 9, 100, 700])
@pytest.mark.parametrize("workers", [1, 2, 36])
def test_every_pack_is_in_one_bundle_and_none_is_left_with_many(count: int, workers: int) -> None:
    every = packs(count)
    bundles = bundled(every, workers)
    assert [pack for bundle in bundles for pack in bundle] == every
    sizes = [len(bundle) for bundle in bundles]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes, default=0) <= PACKS_PER_TRIAL
    assert sizes[-SHARE * workers :] == [1] * min(SHARE * workers, count)
    assert len(sizes) <= count / PACKS_PER_TRIAL + SHARE * workers * 6


def test_packs_travel_as_text() -> None:
    bundle = (tuple(one for pack in packs(3) for one in pack), packs(1)[0])
    assert unpacked(packed(bundle)) == bundle
