"""Scenes for tests of noise kinds: a split of true labels, without images unless they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.dataset import Dataset, Split, SplitName
from bench.contracts.noise import Labels, Sampled, Scene
from bench.plugins import NOISE


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
        "features": toy_features,
        "texts": toy_texts(classes),
        "open_dataset": lambda name: Toy(),
    }
    return Scene(**{**values, **changes})


def balanced(classes: int, per_class: int, seed: int = 0) -> Labels:
    """Labels of equally many samples per class, in a mixed order."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), per_class))


def toy_features(encoder: str, positions: Labels) -> NDArray[np.float32]:
    """Features of length one with a common part, so that centring matters; the same position gives the same row."""
    drawn = np.random.default_rng(7).standard_normal((4096, 12))[positions] + 2
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def toy_texts(classes: int) -> Any:
    """Text features of length one."""
    drawn = np.random.default_rng(8).standard_normal((classes, 12))
    return lambda encoder: (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


class Toy(Dataset):
    """Another data set: 60 images in three classes, one of which scenes have too, under another spelling."""

    class_names = ("Class_1", "stone", "cloud")
    size = 20

    def load(self, split: SplitName) -> Split:
        labels = np.tile(np.arange(3), self.size)
        images: Any = range(len(labels))
        return Split(images, labels)


def drawn(kind: str, place: Scene, rate: float, **options: Any) -> Sampled:
    """What a kind makes of a scene."""
    found = NOISE.get(kind)
    return found(found.Options(**options)).draw(place, rate)
