"""Data sets by name from where the settings say: the only place that knows folders and `skip_broken`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bench.data import DATASETS, named
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.data.base import Dataset


class Table(Protocol):
    """A `[dataset.NAME]` table of the settings."""

    @property
    def root(self) -> str:
        """Folder of the files, empty for the default place."""

    @property
    def skip_broken(self) -> bool:
        """Whether images that cannot be decoded are left out."""


@dataclass(frozen=True)
class Library:
    """Opens data sets by name. Small to pickle.

    Attributes:
        roots: folders by registered name, where they are not in the default place.
        skip_broken: registered names of the data sets whose broken images are left out.
    """

    roots: Mapping[str, str] = field(default_factory=dict)
    skip_broken: tuple[str, ...] = ()

    @classmethod
    def of(cls, tables: Mapping[str, Table]) -> Library:
        """Read the `[dataset.NAME]` tables, in which a data set may stand under any of its names.

        Raises:
            BenchError: a data set is unknown, or has two tables.
        """
        found: dict[str, tuple[str, Table]] = {}
        for name, table in tables.items():
            registered = DATASETS.row(name).name
            if registered in found:
                both = f"[dataset.{found[registered][0]}] and [dataset.{name}]"
                raise BenchError(f"{both} are tables of one data set, {registered}; keep one of them.")
            found[registered] = name, table
        roots = {name: table.root for name, (_, table) in found.items() if table.root}
        return cls(roots, tuple(name for name, (_, table) in found.items() if table.skip_broken))

    def open(self, name: str) -> Dataset:
        """Open the data set of a name as `named.canonical` gives it.

        Raises:
            BenchError: as `named.open_dataset`.
        """
        base = named.base(name)
        return named.open_dataset(name, self.roots.get(base), base in self.skip_broken)

    def missing(self, name: str) -> tuple[str, ...]:
        """Say what keeps a data set from being opened, one line each; nothing is decoded."""
        try:
            return tuple(self.open(name).missing())
        except BenchError as error:
            return error.lines

    def identity(self, name: str) -> str:
        """Return what stands for a data set in a record's key: name, version, mode, `skip_broken`, or a digest.

        Raises:
            BenchError: the data set is unknown, or a user's folder cannot be read.
        """
        base = named.base(name)
        return named.identity(name, base in self.skip_broken)
