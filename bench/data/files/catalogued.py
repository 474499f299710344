"""Locate the files of data sets that have a catalogue entry, and report what is missing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from bench.contracts.dataset import Dataset, SplitName
from bench.data import catalogue
from bench.errors import BenchError

ONE_MODE = "official"


class Catalogued(Dataset):
    """Data set described in `bench/data/catalogue`.

    Args:
        root: the folder of its files, or None for its folder under `catalogue.default_root()`.
        mode: one of `modes`; None is the first.
        skip_broken: whether images that cannot be decoded are left out and recorded.

    Attributes:
        name: as it is registered; its entry is `catalogue.entry(name)`.
    """

    name: ClassVar[str]

    def __init__(self, root: Path | None = None, mode: str | None = None, skip_broken: bool = False) -> None:
        super().__init__(root, mode, skip_broken)
        self.entry = catalogue.entry(self.name)
        self.folder = Path(root).expanduser() if root is not None else catalogue.default_root() / self.entry.folder
        self.templates, self.licence, self.source = self.entry.templates, self.entry.licence, self.entry.source
        self.notes = self.entry.notes

    @property
    def sizes(self) -> catalogue.Sizes | None:
        """Required numbers of classes and images in this mode."""
        return self.entry.sizes.get(self.mode or ONE_MODE)

    @property
    def downloads(self) -> tuple[catalogue.Download, ...]:
        """Files that this mode needs."""
        return tuple(file for file in self.entry.downloads if not file.modes or self.mode in file.modes)

    @property
    def full_name(self) -> str:
        """Name with the mode, as written on the command line."""
        return self.name if not self.modes or self.mode == self.modes[0] else f"{self.name}[mode={self.mode}]"

    def bases(self) -> tuple[Path, ...]:
        """List the folders that paths of the catalogue entry may be relative to, in search order."""
        return (self.folder, *(self.folder / nested for nested in self.entry.nested))

    def base(self, path: str) -> Path | None:
        """Return the first of `bases` under which a path exists."""
        return next((base for base in self.bases() if os.access(base / path, os.F_OK)), None)

    def place(self, path: str) -> Path | None:
        """Locate a file or folder of the catalogue entry, also compressed (.gz); None where it is missing."""
        found = (base / name for base in self.bases() for name in (path, f"{path}.gz"))
        return next((file for file in found if os.access(file, os.F_OK)), None)

    def missing(self) -> list[str]:
        """List what is missing, one line each with what to do about it."""
        return self.absent()

    def absent(self) -> list[str]:
        """List which of these paths are missing. One line covers all that can be fetched, one each manual step."""
        remedies: dict[str, list[str]] = {}
        for file in (file for file in self.downloads if not file.optional):
            remedy = self._prepare if file.urls else file.manual
            remedies.setdefault(remedy, []).extend(path for path in file.gives if self.place(path) is None)
        here = os.access(self.folder, os.F_OK) and self.folder.is_dir()
        where = "" if here else f", or if it lies elsewhere, set root under [dataset.{self.name}]"
        return [
            f'dataset {self.full_name}: "{self.folder}" has no {", ".join(paths)}; {remedy.rstrip(".")}{where}.'
            for remedy, paths in remedies.items()
            if paths
        ]

    def size_problems(self, classes: int, images: Mapping[SplitName, int]) -> list[str]:
        """List the numbers of classes and of each split's images that differ from the catalogue, one line each."""
        found = {str(split): count for split, count in images.items()}
        found |= {"classes": classes, "total": sum(images.values())}
        things = {"classes": "classes", "total": "images"}
        return [
            f'dataset {self.full_name}: "{self.folder}" has {found[what]:,} {things.get(what, f"{what} images")}, '
            f"expected {expected:,}; some are lost or of another version: fetch its files again."
            for what, expected in (self.sizes.model_dump() if self.sizes else {}).items()
            if expected and found[what] != expected
        ]

    def unreadable(self, error: Exception) -> BenchError:
        """Build the error for files that torchvision's class rejects."""
        reason = " ".join(str(error).split()).partition(" You can use download=True")[0].rstrip(".")
        return BenchError(
            f'dataset {self.full_name}: torchvision cannot read "{self.folder}" ({reason}); fetch its files again.'
        )

    @property
    def _prepare(self) -> str:
        name = self.full_name
        return f"run: bench data prepare {name}" if name == self.name else f'run: bench data prepare "{name}"'
