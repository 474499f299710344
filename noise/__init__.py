"""The kinds of label noise, one file each; `noise.base` is the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.registry import Registry, Row

if TYPE_CHECKING:
    from noise.base import Noise

NOISE: Registry[type[Noise]] = Registry(
    "noise",
    "noisy_prompt_bench.noise",
    "noise.base:Noise",
    (
        Row("none", "noise.none:NoNoise", "labels as they are", aliases=("clean",)),
        Row("symmetric", "noise.symmetric:Symmetric", "a uniformly drawn other class", aliases=("sym",)),
        Row(
            "asymmetric", "noise.asymmetric:Asymmetric", "the next class in the stored order", aliases=("asym", "pair")
        ),
    ),
)
