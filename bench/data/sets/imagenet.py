"""ImageNet (ILSVRC 2012) with the class names of CLIP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from bench.contracts.dataset import SplitName
from bench.contracts.noise import Labels
from bench.data.files.indexed import Index, Indexed, IndexedSplit
from bench.data.files.lines import lines_of
from bench.errors import BenchError
from bench.seeds import Stream

CLASS_FILE = "classnames.txt"
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png")


class ImageNet(Indexed):
    """ImageNet, 1,000 classes under the names that CLIP's authors gave them (CoOp's `classnames.txt`).
    Two pairs of classes share a name there, which bounds the accuracy of all that read names: 2 of 1,000 classes.

    CoOp reports on the official validation images and chooses on them too. Here they are the test split alone, and
    50 images of every class are taken from the training images for validation. Labels follow the sorted WordNet
    numbers, as in CoOp and torchvision.
    """

    name = "imagenet"
    homonyms = ("missile", "sunglasses")
    validation_per_class: ClassVar[int] = 50

    def base(self, path: str) -> Path | None:
        """Return the base folder; `train` and `val` may also be beside `images`."""
        return super().base(path) or super().base(path.removeprefix("images/"))

    def place(self, path: str) -> Path | None:
        """Locate a file or folder; `train` and `val` may also be beside `images`."""
        return super().place(path) or super().place(path.removeprefix("images/"))

    def read(self) -> Index:
        """Read the folders by WordNet number."""
        train, val, names = (self.place(path) for path in ("images/train", "images/val", CLASS_FILE))
        assert train is not None and val is not None and names is not None  # noqa: S101, PT018 - `missing` says so first
        called = class_names(names)
        folders = sorted(entry.name for entry in os.scandir(train) if entry.is_dir())
        unnamed = [folder for folder in folders if folder not in called]
        if unnamed:
            raise BenchError(f'"{names}" has no name for the folder {unnamed[0]} of "{train}"; fetch it again.')
        whole, test = _listed(train, folders), _listed(val, folders)
        held = held_out(whole.labels, self.name, self.validation_per_class)
        rest = np.setdiff1d(np.arange(len(whole.labels)), held)
        parts: dict[SplitName, IndexedSplit] = {
            "train": whole.take(rest.tolist()),
            "validation": whole.take(held.tolist()),
            "test": test,
        }
        return Index(tuple(called[folder] for folder in folders), parts)


def class_names(file: Path) -> dict[str, str]:
    """Return names by WordNet number, from lines of a number, a space and a name.

    Raises:
        BenchError: the file cannot be read.
    """
    return {number: name for number, _, name in (line.partition(" ") for line in lines_of(file))}


def held_out(labels: Labels, name: str, count: int) -> Labels:
    """Select positions of `count` images of every class, sorted. Of a class with fewer than twice as many, half of it.

    Args:
        labels: [N].
        name: the data set, on which alone the choice depends.
        count: images per class.
    """
    chosen = []
    order = np.argsort(labels, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        stream = Stream(0, "shots", name, "validation", int(labels[members[0]]))
        chosen.append(members[stream.permutation(len(members))][: min(count, len(members) // 2)])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _listed(folder: Path, classes: list[str]) -> IndexedSplit:
    """List the images in the folders of the classes, sorted by name. Names begin with the split's own folder."""
    pairs: list[tuple[str, int]] = []
    for label, number in enumerate(classes):
        if not (folder / number).is_dir():
            raise BenchError(f'"{folder}" has no folder "{number}"; sort its images into the folders of their classes.')
        files = sorted(
            entry.name for entry in os.scandir(folder / number) if entry.name.lower().endswith(IMAGE_SUFFIXES)
        )
        pairs += [(f"{folder.name}/{number}/{file}", label) for file in files]
    return IndexedSplit.of(folder.parent, pairs, seen=True)
