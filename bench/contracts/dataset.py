"""The contract of a data set: class names, templates, and three splits of images with true labels."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.images.grey import depth_of

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Images of one split with their labels.

    Attributes:
        images: N images, decoded when indexed.
        labels: [N] int64; true ones, or where `truth` is False the labels as they stand in the data.
        names: what each image is called in masks and lists, N different texts: for files the path relative to the data
            set's root; where none are given, the position.
        annotations: further labels of the same images by name, [N] int64 each: "given" for a label that stands in the
            data beside the true one, or the label sets of human annotators ("aggregate", "worst").
        truth: whether `labels` are true.
    """

    images: Sequence[Image.Image]
    labels: NDArray[np.int64]
    names: Sequence[str] = ()
    annotations: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    truth: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, position: int) -> str:
        """Return the name of the image at a position."""
        return self.names[position] if len(self.names) else f"{position:06d}"


class Dataset(ABC):
    """A data set.

    Args:
        root: the folder of its files, or None where it needs none.
        mode: one of `modes`; None is the first of them.
        skip_broken: whether images that cannot be decoded are left out and recorded, instead of being an error.

    Attributes:
        class_names: C names in the stored order; of a data set in files known once it is opened.
        templates: texts with `{}` for the class name, used by zero-shot classification.
        licence: the licence of the images.
        source: where the images come from.
        modes: names of the ways in which the files are split, the default first; empty where there is only one. Two
            modes are two data sets to every table, because their test sets differ.
        homonyms: names that several classes have in the list that was published, which no prompt can tell apart.
        embedded: whether the images come with the package or are made by it.
        superclasses: for every class the number of the group of similar classes it belongs to, or None.
        skipped: names of images that were left out because they cannot be decoded.
        notes: sentences on how the splits came about and how images are read, for records and reports.
        left_out: sentences on what lies among the images and is none of the data set, one for each reason.
        class_labels: the C classes as a user has written them beside the images, in the order of `class_names`; empty
            where nobody has.
    """

    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    licence: str
    source: str
    modes: ClassVar[tuple[str, ...]] = ()
    homonyms: ClassVar[tuple[str, ...]] = ()
    embedded: ClassVar[bool] = False
    superclasses: tuple[int, ...] | None = None
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    class_labels: tuple[str, ...] = ()

    def __init__(self, root: Path | None = None, mode: str | None = None, skip_broken: bool = False) -> None:
        self.root = root
        self.mode = mode or next(iter(self.modes), "")
        self.skip_broken = skip_broken

    def missing(self) -> list[str]:
        """List missing files, a line each with what to do; empty where the data set can be opened.

        It decodes nothing, so that it may be called before anything is trained.
        """
        return []

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
        """`images_digest`, and where a split has further labels sha256 over it and these."""
        further = {
            name: {label: values.tolist() for label, values in sorted(split.annotations.items())}
            for name, split in self.splits.items()
        }
        if not any(further.values()):
            return self.images_digest
        state = hashlib.sha256(json.dumps([self.images_digest, further]).encode())
        return self.images_digest[: -len(state.hexdigest())] + state.hexdigest()

    @cached_property
    def images_digest(self) -> str:
        """sha256 over the pixels and labels of all splits; features are kept under it, whatever further labels say."""
        state = hashlib.sha256()
        for name in SPLITS:
            split = self.splits[name]
            state.update(f"{name} {len(split)}".encode())
            state.update(split.labels.astype("<i8").tobytes())
            for index in range(len(split)):
                image = split.images[index]
                depth = depth_of(image)
                read = f", {depth.code}" if depth else ""
                state.update(f"{image.mode} {image.size}{read}".encode() + image.tobytes())
        return state.hexdigest()
