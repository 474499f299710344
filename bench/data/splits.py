"""Images from an array, and stratified splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.contracts.dataset import SPLITS, SplitName
from bench.seeds import Stream


class ArrayImages(Sequence[Image.Image]):
    """Images of one size, from a uint8 array: grey [N, H, W], in colour [N, H, W, 3]."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override] # slices are never asked for
        return Image.fromarray(self.pixels[index])


def stratified(labels: NDArray[np.int64], name: str, shares: tuple[float, float]) -> dict[SplitName, NDArray[np.int64]]:
    """Draw the positions of a stratified split. Of every class two shares go to train and validation, the rest to test.

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
