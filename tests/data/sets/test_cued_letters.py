"""`cued-letters`: the shipped file is whole, small and documented, and rendered as its script says."""

from __future__ import annotations

import hashlib
import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.plugins import DATASETS
from tests import ROOT

SHIPPED = ROOT / "bench" / "data" / "sets" / "cued_letters.npz"
PAGE = ROOT / "docs" / "evidence.md"

sys.path.insert(0, str(ROOT / "scripts"))
import glyphs  # noqa: E402
import render_cued_letters as script  # noqa: E402


def test_the_file_is_small_and_its_digest_is_the_recorded_one() -> None:
    assert SHIPPED.stat().st_size <= 1.5 * 2**20
    assert hashlib.sha256(SHIPPED.read_bytes()).hexdigest() in PAGE.read_text(encoding="utf-8")


def test_parts_are_stratified_and_hold_no_duplicates() -> None:
    with np.load(SHIPPED, allow_pickle=False) as data:
        image, label, other, split = (data[name] for name in ("image", "label", "other", "split"))
    assert image.dtype == np.uint8
    assert image.shape == (800, 32, 32, 3)
    for part, count in enumerate(script.PER_CLASS):
        assert np.bincount(label[split == part], minlength=10).tolist() == [count] * 10
    assert len({row.tobytes() for row in image}) == len(image)
    assert not (label == other).any()
    assert set(other) == set(range(10))
    assert len(np.unique(image)) <= script.LEVELS


def test_the_images_of_the_data_set_are_in_colour() -> None:
    images = DATASETS.get("cued-letters")().splits["test"].images
    assert {image.mode for image in images} == {"RGB"}
    assert images[0].size == (32, 32)


def test_a_hue_changes_no_mean_over_channels() -> None:
    colours = script.hue(torch.linspace(0, 2 * math.pi, 50))
    assert torch.allclose(colours.mean(1), torch.tensor(script.GREY))
    assert 0 <= float(colours.min()) <= float(colours.max()) <= 1
    warm, cool = script.hue(torch.tensor([script.WARM, script.COOL])).flatten(1)
    assert warm.argmax() == cool.argmin() == 0


def test_rendering_depends_on_the_seed_and_at_every_strength_draws_the_same() -> None:
    label = torch.arange(10)
    first = script.render(label, 0.5, 1)
    assert torch.equal(first.image, script.render(label, 0.5, 1).image)
    assert not torch.equal(first.image, script.render(label, 0.5, 2).image)
    alone = script.render(label, 0.0, 1)
    assert torch.equal(alone.other, first.other)
    # the other letter can but lighten what is there, and the warm channel of the named one stays
    assert bool((first.image >= alone.image).all())
    assert not torch.equal(first.image, alone.image)


def test_letters_come_from_fonts_and_a_hand_held_out_of_the_pretraining(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Tensor]] = []
    rendered = glyphs.render

    def noted(part: str, wanted: Tensor, *rest: object) -> tuple[Tensor, Tensor]:
        asked.append((part, wanted))
        return rendered(part, wanted, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(glyphs, "render", noted)
    data = script.render(torch.arange(10), 0.5, 1)
    assert [part for part, _ in asked] == ["held_out", "held_out"]
    for (_, wanted), label in zip(asked, (data.label, data.other), strict=True):
        shown = [glyphs.CHARACTERS[index].lower() for index in wanted.tolist()]
        assert shown == [script.NAMES[index] for index in label.tolist()]


def test_grey_copies_keep_the_mean_and_lose_the_colour() -> None:
    image = script.render(torch.arange(10), 0.5, 1).image
    copies = script.grey(image)
    assert bool((copies == copies[..., :1]).all())
    assert float((copies[..., 0].float() - image.float().mean(-1)).abs().max()) <= 0.5
