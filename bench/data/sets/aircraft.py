"""FGVC-Aircraft from its official lists."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bench.contracts.dataset import SplitName
from bench.data.files.indexed import Index, Indexed, IndexedSplit
from bench.data.files.lines import lines_of
from bench.data.sets.torchvision_sets import torchvision_index
from bench.errors import BenchError

CLASS_FILE = "variants.txt"
SPLIT_LISTS: dict[SplitName, str] = {"train": "train", "validation": "val", "test": "test"}


class FGVCAircraft(Indexed):
    """FGVC-Aircraft, 100 variants in the order of `variants.txt`, official splits.

    CoOp has no split file for it and reads these lists; torchvision reads the same, so that both modes give the same
    images and labels.
    """

    name = "fgvcaircraft"
    modes: ClassVar[tuple[str, ...]] = ("coop", "tv")

    def read(self) -> Index:
        """Read the index of the mode."""
        if self.mode == "tv":
            return torchvision_index(self)
        base = self.base(CLASS_FILE) or self.folder
        classes = tuple(lines_of(base / CLASS_FILE))
        return Index(classes, {split: _part(base, name, classes) for split, name in SPLIT_LISTS.items()})


def _part(base: Path, name: str, classes: tuple[str, ...]) -> IndexedSplit:
    """Read one list, whose every line is an image's number, a space and its variant."""
    file, numbers = base / f"images_variant_{name}.txt", {variant: label for label, variant in enumerate(classes)}
    pairs = []
    for line in lines_of(file):
        number, _, variant = line.partition(" ")
        if variant not in numbers:
            raise BenchError(f'"{file}": "{line}" names no variant of {CLASS_FILE}; fetch the files again.')
        pairs.append((f"images/{number}.jpg", numbers[variant]))
    return IndexedSplit.of(base, pairs)
