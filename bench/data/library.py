"""Open data sets by name. Nothing else knows their folders and `skip_broken`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bench import dataset_name
from bench.dataset_name import FOLDER, folder_of, registered_variant
from bench.errors import BenchError
from bench.plugins import DATASETS
from bench.variants import variant_text

if TYPE_CHECKING:
    from bench.contracts.dataset import Dataset


class DatasetSettings(Protocol):
    """Settings of a `[dataset.NAME]` table."""

    @property
    def root(self) -> str:
        """Folder of the files, empty for the default place."""

    @property
    def skip_broken(self) -> bool:
        """Whether to leave out images that cannot be decoded."""


@dataclass(frozen=True)
class Library:
    """Opener of data sets by name. Small to pickle.

    Attributes:
        roots: folders by registered name, where they are not in the default place.
        skip_broken: registered names of the data sets whose broken images are left out.
    """

    roots: Mapping[str, str] = field(default_factory=dict)
    skip_broken: tuple[str, ...] = ()

    @classmethod
    def of(cls, tables: Mapping[str, DatasetSettings]) -> Library:
        """Read the `[dataset.NAME]` tables, in which a data set may stand under any of its names.

        Raises:
            BenchError: a data set is unknown, or has two tables.
        """
        found: dict[str, tuple[str, DatasetSettings]] = {}
        for name, table in tables.items():
            registered = DATASETS.row(name).name
            if registered in found:
                both = f"[dataset.{found[registered][0]}] and [dataset.{name}]"
                raise BenchError(f"{both} are tables of one data set, {registered}; keep one of them.")
            found[registered] = name, table
        roots = {name: table.root for name, (_, table) in found.items() if table.root}
        return cls(roots, tuple(name for name, (_, table) in found.items() if table.skip_broken))

    def open(self, name: str) -> Dataset:
        """Open the data set of a name as `dataset_name.canonical` gives it.

        Raises:
            BenchError: as `open_dataset`.
        """
        base = dataset_name.base(name)
        return open_dataset(name, self.roots.get(base), base in self.skip_broken)

    def missing(self, name: str) -> tuple[str, ...]:
        """List what keeps a data set from being opened, one line each. Nothing is decoded."""
        try:
            return tuple(self.open(name).missing())
        except BenchError as error:
            return error.lines

    def identity(self, name: str) -> str:
        """Return a data set's identity in a record's key: name, version, mode, `skip_broken`, or a digest.

        Raises:
            BenchError: the data set is unknown, or a user's folder cannot be read.
        """
        base = dataset_name.base(name)
        return identity(name, base in self.skip_broken)


def identity(name: str, skip_broken: bool = False) -> str:
    """Return a data set's identity in a record's key. That is name, version and mode, or the digest of a user's own
    images.

    Images that are left out shift the positions that shots are drawn from, so `skip_broken` is part of it.

    Raises:
        BenchError: the data set is unknown, or a user's folder cannot be read.
    """
    if folder_of(name) is None:
        variant = registered_variant(name)
        skipping = " skip_broken" if skip_broken else ""
        return f"{variant_text(variant.name, variant.options)} {DATASETS.row(variant.name).version}{skipping}"
    return f"{FOLDER} {DATASETS.row(FOLDER).version} {open_dataset(name, None, skip_broken).digest}"


@lru_cache(maxsize=4)
def open_dataset(name: str, root: str | None = None, skip_broken: bool = False) -> Dataset:
    """Open the data set of a name. The last few are kept, for the cells that follow.

    Args:
        name: as `canonical` gives it.
        root: the folder of its files, or None for the default place.
        skip_broken: whether images that cannot be decoded are left out.

    Raises:
        BenchError: data set or mode is unknown, or its files are missing or not as expected.
    """
    path = folder_of(name)
    if path is not None:
        return DATASETS.get(FOLDER)(path, skip_broken=skip_broken)
    variant = registered_variant(name)
    mode = variant.options.get("mode")
    more = (mode, skip_broken) if mode is not None or skip_broken else ()  # a plugin may take the root alone
    return DATASETS.get(variant.name)(Path(root) if root else None, *more)
