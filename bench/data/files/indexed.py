"""Data sets of image files: splits, checks and skipping, from an index of names and labels."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.contracts.dataset import SPLITS, Split, SplitName
from bench.contracts.noise import Labels
from bench.data.files.catalogued import Catalogued
from bench.data.files.digests import SIZES_ONLY, broken, listing_digest, stamps
from bench.errors import BenchError
from bench.images.decode import FileImages


@dataclass(frozen=True)
class IndexedSplit:
    """Images of one split.

    Attributes:
        root: the folder that the names are relative to.
        names: N paths with forward slashes.
        labels: [N].
        prefix: stands before the names in masks and lists, where the files are another data set's.
        truth: whether the labels are true.
        annotations: further labels by name, [N] each.
        seen: whether the names come from the folder itself, so that every file is there.
    """

    root: Path
    names: Sequence[str]
    labels: Labels
    prefix: str = ""
    truth: bool = True
    annotations: Mapping[str, Labels] = field(default_factory=dict)
    seen: bool = False

    @classmethod
    def of(cls, root: Path, pairs: Sequence[tuple[str, int]], truth: bool = True, seen: bool = False) -> IndexedSplit:
        """Build a split from pairs of name and label."""
        labels = np.array([label for _, label in pairs], dtype=np.int64)
        return cls(root, [name for name, _ in pairs], labels, truth=truth, seen=seen)

    def shown(self, positions: Sequence[int] | None = None) -> tuple[str, ...]:
        """Return the names as they are displayed, all or those at some positions."""
        names = self.names if positions is None else [self.names[position] for position in positions]
        return tuple(f"{self.prefix}{name}" for name in names) if self.prefix else tuple(names)

    def take(self, positions: Sequence[int]) -> IndexedSplit:
        """Select the images at these positions."""
        index = np.asarray(positions, dtype=np.int64)
        annotations = {name: labels[index] for name, labels in self.annotations.items()}
        names = [self.names[position] for position in positions]
        return replace(self, names=names, labels=self.labels[index], annotations=annotations)


@dataclass(frozen=True)
class Index:
    """Classes and splits of a data set.

    Attributes:
        class_names: C names in the order of the labels.
        parts: the three splits.
    """

    class_names: tuple[str, ...]
    parts: Mapping[SplitName, IndexedSplit]


class Indexed(Catalogued):
    """Data set whose images are files."""

    @abstractmethod
    def read(self) -> Index:
        """Read names and labels of all images, from lists or folders.

        Raises:
            BenchError: a list is not as expected.
        """

    @cached_property
    def listed(self) -> Index:
        """Index, checked against the catalogue entry and the files that exist. Nothing is decoded.

        Raises:
            BenchError: files are missing or not as expected.
        """
        absent = self.absent()
        if absent:
            raise BenchError(absent[0])
        index = self.read()
        problems = self.size_problems(len(index.class_names), {name: len(index.parts[name].names) for name in SPLITS})
        if problems:
            raise BenchError(problems[0])
        self._check_files(index)
        return index

    @cached_property
    def index(self) -> Index:
        """Index without the images that cannot be decoded, where these are to be left out.

        Raises:
            BenchError: files are missing or not as expected, or a class is left without images.
        """
        parts = dict(self.listed.parts)
        if self.skip_broken:
            parts = {split: part.take(self._sound[split]) for split, part in parts.items()}
        for split in ("train", "test"):
            idle = set(range(len(self.listed.class_names))) - set(parts[split].labels.tolist())
            if idle:
                name = self.listed.class_names[min(idle)]
                raise BenchError(
                    f'dataset {self.full_name}: class "{name}" has no image in the {split} split under '
                    f'"{self.folder}"; restore its files.'
                )
        return Index(self.listed.class_names, parts)

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override] # known once the files are read
        """C names in the order of the labels."""
        return self.listed.class_names

    @cached_property
    def skipped(self) -> tuple[str, ...]:  # type: ignore[override] # found when asked for
        """Names of images that were left out because they cannot be decoded."""
        if not self.skip_broken:
            return ()
        found: list[str] = []
        for split, part in self.listed.parts.items():
            sound = set(self._sound[split])
            found += part.shown([position for position in range(len(part.names)) if position not in sound])
        return tuple(found)

    @cached_property
    def images_digest(self) -> str:
        """SHA-256 of names, labels and bytes.

        Above 100,000 files it is "sizes-" and a SHA-256 of sizes in place of bytes.
        """
        self._stamps  # noqa: B018 - taken before any byte is read
        roots = dict.fromkeys(part.root for part in self.index.parts.values())
        digests = []
        for root in roots:
            parts = {split: part for split, part in self.index.parts.items() if part.root == root}
            digests.append(listing_digest(root, {split: (part.names, part.labels) for split, part in parts.items()}))
        if len(digests) == 1:
            return digests[0]
        prefix = SIZES_ONLY if any(digest.startswith(SIZES_ONLY) for digest in digests) else ""
        return prefix + hashlib.sha256(" ".join(digests).encode()).hexdigest()

    def missing(self) -> list[str]:
        """List what is missing, one line each with what to do about it."""
        absent = self.absent()
        if absent:
            return absent
        try:
            self.listed  # noqa: B018 - reading it is the check
        except BenchError as error:
            return [str(error)]
        return []

    def load(self, split: SplitName) -> Split:
        """Load one split."""
        part = self.index.parts[split]
        images = FileImages(part.root, part.names, stamps=self._stamps[split])
        return Split(images, part.labels, part.shown(), part.annotations, part.truth)

    @cached_property
    def _stamps(self) -> dict[SplitName, Labels]:
        """Sizes and times that reveal a file changed after its digest was taken."""
        return {split: stamps(part.root, part.names) for split, part in self.index.parts.items()}

    @cached_property
    def _sound(self) -> dict[SplitName, list[int]]:
        """Positions of the images that can be decoded."""
        found = {}
        for split, part in self.listed.parts.items():
            gone = set(broken(part.root, part.names))
            found[split] = [position for position, name in enumerate(part.names) if name not in gone]
        return found

    def _check_files(self, index: Index) -> None:
        parts = [part for part in index.parts.values() if not part.seen]
        names = [(part.root, name) for part in parts for name in part.names]
        gone = [root / name for root, name in names if not (root / name).is_file()]
        if gone:
            raise BenchError(
                f'dataset {self.full_name}: {len(gone):,} of {len(names):,} images are missing, first "{gone[0]}"; '
                "fetch its files again."
            )
