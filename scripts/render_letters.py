"""Render the data set `letters` once: 26 letters in typefaces and a hand that the backbone was not pretrained on.

    python scripts/render_letters.py --tiny bench/clip/tiny --out bench/data/sets/letters.npz

A class holds lower and upper case in equal parts. Half of the lower-case letters are written by the held-out hand
(which has no capitals), all others set in held-out typefaces. One number, the strength of the distortion, is
fixed by bisection on seed 1 so that the zero-shot accuracy of `tiny` ("a photo of a {}.") is 62 %; the shipped images
are then rendered with seed 2, whatever they give. No method and no validation result is consulted.

The file holds `image` [N, 32, 32] uint8 (white on black), `label` [N] uint8 and `split` [N] uint8 (0 train,
1 validation, 2 test): 32, 8 and 20 images per class. It holds no pickled object.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Final

import glyphs
import numpy as np
import open_clip
import pretrain_tiny as tiny
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from bench.files import write_whole
from bench.seeds import Stream

PER_CLASS: Final = (32, 8, 20)
TARGET: Final = 62.0
TUNING_SEED, SHIPPED_SEED = 1, 2


def distortion(strength: float) -> glyphs.Distortion:
    """All distortions in proportion to one number; 1 is what the pretraining used."""
    usual = glyphs.Distortion()
    return glyphs.Distortion(
        jitter=usual.jitter * strength,
        wobble=usual.wobble * strength,
        slant=usual.slant * strength,
        turn=usual.turn * strength,
        aspect=usual.aspect * strength,
        shift=usual.shift * strength,
        noise=usual.noise * strength,
        resolutions=(10,),
    )


def letters(strength: float, seed: int, per_class: int) -> tuple[Tensor, Tensor]:
    """Pixels [26 * per_class, 32, 32] uint8 and labels; class by class, lower and upper case alternating."""
    label = torch.arange(26).repeat_interleave(per_class)
    upper = torch.arange(len(label)) % 2
    generator = Stream(seed, "augment", "letters").torch()
    pixels, _ = glyphs.render("held_out", 10 + label + 26 * upper, 0.5, distortion(strength), generator)
    return (pixels * 255).round().to(torch.uint8), label


def load(folder: Path) -> tuple[open_clip.CLIP, Tensor]:
    """The shipped backbone with its compact table, and the table's token ids [R]."""
    state = load_file(folder / "weights.safetensors")
    ids = state.pop("token_ids").long()
    config = json.loads((folder / "open_clip.json").read_text())["model_cfg"]
    config["text_cfg"]["vocab_size"] = len(ids)
    model = open_clip.CLIP(**config)
    model.load_state_dict({name: value.float() for name, value in state.items()})
    return model.eval(), ids


def zero_shot(model: open_clip.CLIP, ids: Tensor, pixels: Tensor, label: Tensor) -> float:
    """Accuracy in percent with "a photo of a {}."."""
    text = tiny.classifier(model, ids, tiny.LETTER_NAMES, ("a photo of a {}.",))
    return tiny.accuracy(tiny.features(model, pixels.float() / 255) @ text.T, label)


def bisect(model: open_clip.CLIP, ids: Tensor) -> float:
    """The strength at which the tuning seed's zero-shot accuracy crosses `TARGET`, to two decimals."""
    low, high = 0.0, 4.0
    while high - low > 0.02:
        middle = (low + high) / 2
        reached = zero_shot(model, ids, *letters(middle, TUNING_SEED, 60))
        print(f"strength {middle:.3f}: zero-shot {reached:.1f} % on seed {TUNING_SEED}")
        low, high = (middle, high) if reached > TARGET else (low, middle)
    return round((low + high) / 2, 2)


def write(path: Path, arrays: dict[str, np.ndarray]) -> str:
    """Write an .npz whose bytes depend on the arrays alone (numpy's own stamps the time); return its SHA-256."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            inner = io.BytesIO()
            np.save(inner, array, allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), inner.getvalue(), zipfile.ZIP_DEFLATED
            )
    write_whole(path, buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def report(model: open_clip.CLIP, ids: Tensor, pixels: Tensor, label: Tensor) -> None:
    """Print the cross-entropy beside what `describe` measures."""
    found = tiny.features(model, pixels.float() / 255)
    text = tiny.classifier(model, ids, tiny.LETTER_NAMES, ("a photo of a {}.",))
    print("cross-entropy", float(F.cross_entropy(model.logit_scale.detach().exp() * found @ text.T, label)))
    print(tiny.describe(model, ids, pixels.float() / 255, label, tiny.LETTER_NAMES))


def main() -> None:
    """Fix the strength, render, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--strength", type=float, help="skip the bisection")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, ids = load(options.tiny)
    strength = options.strength if options.strength is not None else bisect(model, ids)
    pixels, label = letters(strength, SHIPPED_SEED, sum(PER_CLASS))
    split = torch.tensor([part for part, count in enumerate(PER_CLASS) for _ in range(count)]).repeat(26)
    arrays = {"image": pixels.numpy(), "label": label.to(torch.uint8).numpy(), "split": split.to(torch.uint8).numpy()}
    print(f"strength {strength}: shipped, seed {SHIPPED_SEED}, zero-shot {zero_shot(model, ids, pixels, label):.1f} %")
    print("test part", zero_shot(model, ids, pixels[split == 2], label[split == 2]))
    report(model, ids, pixels, label)
    print("sha256", write(options.out, arrays))


if __name__ == "__main__":
    main()
