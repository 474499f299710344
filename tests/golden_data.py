"""Numbers computed by the original authors' code, and the small random CLIP they were computed with.

`golden/clip_tiny.safetensors` holds only the token rows that these texts use. The references: CoOp (commit ff61507),
Dassl (c61a1b5), PLOT (728539f), TecoPrompt (5adeff4), CLIPCleaner (efff9cd), and for `losses` PTNL, NLPrompt, DeFT,
ELR, Co-teaching, DivideMix, SCELoss-Reproduce; for `srrs_split` and `srrs_step` SRRS (0f07037), whose BLIP is a table
of invented scores.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.clip.load import load_backbone

FOLDER = Path(__file__).parent / "golden"
TOLERANCE = 1e-4
DEVIATIONS: dict[str, float] = {}


@lru_cache
def golden(name: str) -> dict[str, NDArray[Any]]:
    """The arrays of an item, such as "coop" or "losses"; a key may lie in a group ("shared_M16_end/ctx")."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


class Item:
    """The same, as fresh tensors."""

    def __init__(self, name: str) -> None:
        self.arrays = golden(name)

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(self.arrays[key].copy())

    def names(self, key: str = "class_names") -> list[str]:
        return [str(name) for name in self.arrays[key]]


@lru_cache
def backbone() -> Backbone:
    """The CLIP of the golden numbers, on the CPU."""
    return load_backbone(str(FOLDER / "clip_tiny.safetensors"))


def deviation(found: Tensor, expected: Tensor) -> float:
    """Largest deviation relative to the largest expected entry."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float((found.detach() - expected).abs().max() / expected.abs().max())


def error(found: Tensor, golden: Tensor) -> float:
    """The same against the original authors' numbers; noted for the table of `--golden-table`."""
    found_error = deviation(found, golden)
    note(found_error)
    return found_error


def entry_error(found: Tensor, golden: Tensor) -> float:
    """Largest deviation of an entry from the original authors' number, relative where that exceeds 1; noted too."""
    value = float(((found.detach() - golden).abs() / golden.abs().clamp_min(1)).max())
    note(value)
    return value


def note(value: float) -> None:
    """Keep the largest deviation of the running test."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    DEVIATIONS[test] = max(DEVIATIONS.get(test, 0.0), value)
