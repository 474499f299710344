"""Scenes for tests of noise kinds: a split of true labels, without images unless they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.data.base import Split
from noise import NOISE
from noise.base import Sampled, Scene


def scene(labels: Sequence[int] | np.ndarray, classes: int, shots: int | None = None, **changes: Any) -> Scene:
    """A training split with these true labels; every sample is a shot unless `shots` is given."""
    labels = np.asarray(labels, dtype=np.int64)
    images: Any = range(len(labels))
    values: dict[str, Any] = {
        "split": Split(images, labels),
        "split_name": "train",
        "dataset": "digits",
        "class_names": tuple(f"class {number}" for number in range(classes)),
        "shots": shots or max(1, len(labels)),
        "seed": 1,
    }
    return Scene(**{**values, **changes})


def drawn(kind: str, place: Scene, rate: float, **options: Any) -> Sampled:
    """What a kind makes of a scene."""
    found = NOISE.get(kind)
    return found(found.Options(**options)).draw(place, rate)
