"""Data sets, few-shot sampling and splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.registry import Registry, Row

if TYPE_CHECKING:
    from bench.data.base import Dataset

DATASETS: Registry[type[Dataset]] = Registry(
    "dataset",
    "noisy_prompt_bench.datasets",
    "bench.data.base:Dataset",
    (
        Row("digits", "bench.data.digits:Digits", "1,797 real handwritten digits of 8 x 8 pixels, 10 classes"),
        Row("letters", "bench.data.letters:Letters", "rendered letters in held-out fonts, 26 classes"),
    ),
)
