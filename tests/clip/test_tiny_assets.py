"""The shipped files of the embedded backbone and of `letters`: whole, small, documented, and rendered as described."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests import ROOT

TINY = ROOT / "bench" / "clip" / "tiny"
LETTERS = ROOT / "bench" / "data" / "sets" / "letters.npz"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = (
    "a photo of a {}.",
    "a handwritten digit {}.",
    "the letter {}.",
    'a photo of the number: "{}".',
    "X X X X {}.",
)

sys.path.insert(0, str(ROOT / "scripts"))
import glyphs  # noqa: E402
import skeletons  # noqa: E402


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return load_file(TINY / "weights.safetensors")


@pytest.fixture(scope="module")
def config() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((TINY / "open_clip.json").read_text())
    return found


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_sizes_and_digests_are_the_recorded_ones() -> None:
    assert (TINY / "weights.safetensors").stat().st_size <= 4 * 2**20
    assert LETTERS.stat().st_size <= 2 * 2**20
    readme = (TINY / "README.md").read_text()
    recorded = (TINY / "weights.sha256").read_text().split()[0]
    assert digest(TINY / "weights.safetensors") == recorded
    assert recorded in readme
    assert digest(LETTERS) in readme


def test_the_origin_is_stated() -> None:
    readme = (TINY / "README.md").read_text()
    for needed in ("Apache-2.0", "DejaVu", "STIX", "Computer Modern", "load_digits"):
        assert needed in readme
    looks = re.findall(r"^\| *\d+ *\|", readme, flags=re.MULTILINE)
    assert looks, "the README lists every look at the real digits"


def test_weights_are_a_whole_open_clip_model(state: dict[str, Tensor], config: dict[str, dict[str, object]]) -> None:
    ids = state["token_ids"].long()
    assert bool((ids.diff() > 0).all())
    assert state["token_embedding.weight"].shape[0] == len(ids)
    model = open_clip.CLIP(**config["model_cfg"])
    full = torch.zeros(model.token_embedding.weight.shape)
    full[ids] = state["token_embedding.weight"].float()
    rest = {name: value.float() for name, value in state.items() if name != "token_ids"}
    model.load_state_dict(rest | {"token_embedding.weight": full})
    trained = sum(p.numel() for name, p in model.named_parameters() if name != "token_embedding.weight")
    assert 0.5e6 <= trained <= 1.5e6
    assert 80 <= model.logit_scale.exp().item() <= 101


def test_the_table_covers_class_names_in_templates(state: dict[str, Tensor]) -> None:
    known = set(state["token_ids"].tolist())
    tokenizer = open_clip.SimpleTokenizer()
    assert {tokenizer.sot_token_id, tokenizer.eot_token_id} <= known
    texts = [t.format(name) for t in TEMPLATES for name in (*DIGITS, *"abcdefghijklmnopqrstuvwxyz", *"0123456789")]
    assert not {token for text in texts for token in tokenizer.encode(text)} - known


def test_letters_are_stratified_and_hold_no_duplicates() -> None:
    with np.load(LETTERS, allow_pickle=False) as data:
        image, label, split = data["image"], data["label"], data["split"]
    assert image.dtype == np.uint8
    assert image.shape == (26 * 60, 32, 32)
    for part, count in enumerate((32, 8, 20)):
        assert np.bincount(label[split == part], minlength=26).tolist() == [count] * 26
    assert len({row.tobytes() for row in image}) == len(image)


def test_parts_share_no_typeface_and_no_skeleton() -> None:
    assert not set(glyphs.TRAIN_FACES) & set(glyphs.HELD_OUT_FACES)
    strokes = {v for text in skeletons.TRAIN_HAND.values() for v in text.split("|")}
    assert not strokes & {v for text in skeletons.HELD_OUT_HAND.values() for v in text.split("|")}


def test_rendering_is_deterministic_and_depends_on_the_seed() -> None:
    def once(seed: int) -> Tensor:
        wanted = torch.arange(62)
        pixels, _ = glyphs.render("held_out", wanted, 0.5, glyphs.Distortion(), torch.Generator().manual_seed(seed))
        return pixels

    first = once(1)
    assert torch.equal(first, once(1))
    assert not torch.equal(first, once(2))
    assert 0.0 <= float(first.min()) <= float(first.max()) <= 1.0
    assert bool((first.flatten(1).amax(1) > 0.3).all())
