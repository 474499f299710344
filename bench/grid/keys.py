"""Versions and digests that enter a cell's key. Its record notes them, so that a change can be detected."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from bench import dataset_name
from bench.clip import identity
from bench.data.library import Library
from bench.grid.code import code_of, plugins_of
from bench.grid.options import noise_identity, parts, version_when
from bench.plugins import METHODS
from bench.records.cell import Cell


class Versions:
    """Cached versions and digests of plugins, data and weights."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.backbone = cache(identity.weights_identity)
        self.dataset = cache(library.identity)
        self.noise = cache(partial(noise_identity, library=library))

    def of(self, cell: Cell) -> dict[str, Any]:
        """Return the versions and digests that `Cell.key` takes: of plugins, files and weights.

        Raises:
            BenchError: a plugin is unknown, or a file or folder cannot be read.
        """
        return {
            "method": METHODS.row(cell.method).version,
            **version_when(cell.method, cell.options),
            "noise": self.noise(cell.noise),
            "dataset": self.dataset(dataset_name.canonical(cell.dataset)),
            "backbone": self.backbone(cell.backbone),
            **{name: row.version for name, row in parts(cell.method, cell.options).items() if row.version != 1},
        }

    def key(self, cell: Cell) -> str:
        """Return the key of a cell.

        Raises:
            BenchError: as `of`.
        """
        return cell.key(self.of(cell))


def origin_of(cell: Cell, library: Library) -> dict[str, Any]:
    """Return the provenance of a record's numbers: "resolved" for its key, "sources" and "plugins" for its code.

    An entry that cannot be told, since files or a plugin have gone, is left out.
    """
    return {
        **_known("resolved", partial(versions_of, cell, library)),
        **_known("sources", partial(code_of, cell)),
        **_known("plugins", partial(plugins_of, cell)),
    }


def _known(name: str, ask: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {name: ask()}
    except Exception:  # noqa: BLE001 - the record counts all the same, and says less
        return {}


def versions_of(cell: Cell, library: Library | None = None) -> dict[str, Any]:
    """Return `Versions.of` for one cell."""
    return Versions(library or Library()).of(cell)
