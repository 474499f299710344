"""The contract of a data set: class names, templates, and three splits of images with true labels."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.seeds import Stream

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Images with their true labels.

    Attributes:
        images: N images, decoded when indexed.
        labels: true labels, [N] int64.
    """

    images: Sequence[Image.Image]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


class ArrayImages(Sequence[Image.Image]):
    """Grey images of one size, from a uint8 array [N, H, W]."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override] # slices are never asked for
        return Image.fromarray(self.pixels[index])


class Dataset(ABC):
    """A data set. `root` is the folder of its files, or None where it needs none.

    Attributes:
        class_names: C names in the stored order.
        templates: texts with `{}` for the class name, used by zero-shot classification.
        licence: the licence of the images.
        source: where the images come from.
    """

    class_names: ClassVar[tuple[str, ...]]
    templates: ClassVar[tuple[str, ...]]
    licence: ClassVar[str]
    source: ClassVar[str]

    def __init__(self, root: Path | None = None) -> None:
        self.root = root

    @abstractmethod
    def load(self, split: SplitName) -> Split:
        """Read one split.

        Raises:
            BenchError: files are missing or not as expected.
        """

    @cached_property
    def splits(self) -> dict[SplitName, Split]:
        """All three splits."""
        return {name: self.load(name) for name in SPLITS}

    @cached_property
    def digest(self) -> str:
        """sha256 over the pixels and labels of all splits."""
        state = hashlib.sha256()
        for name in SPLITS:
            split = self.splits[name]
            state.update(f"{name} {len(split)}".encode())
            state.update(split.labels.astype("<i8").tobytes())
            for index in range(len(split)):
                image = split.images[index]
                state.update(f"{image.mode} {image.size}".encode() + image.tobytes())
        return state.hexdigest()


def stratified(labels: NDArray[np.int64], name: str, shares: tuple[float, float]) -> dict[SplitName, NDArray[np.int64]]:
    """Positions of a stratified split: of every class two shares go to train and validation, the rest to test.

    Args:
        labels: [N].
        name: the data set; the permutation of a class depends on it and on nothing else.
        shares: of train and of validation.
    """
    parts: dict[SplitName, list[NDArray[np.int64]]] = {split: [] for split in SPLITS}
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        members = members[Stream(0, "shots", name, "split", int(label)).permutation(len(members))]
        first, second = round(shares[0] * len(members)), round(sum(shares) * len(members))
        for split, part in zip(SPLITS, np.split(members, [first, second]), strict=True):
            parts[split].append(part)
    return {split: np.sort(np.concatenate(part)) for split, part in parts.items()}
