"""What stands for a cell's names in its key, noted in its record so that a change can be told from one that was not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bench.cell import Cell
from bench.clip import identity
from bench.data import named
from bench.resolve import noise_identity
from methods import METHODS


def resolved(cell: Cell, skip_broken: Collection[str] = ()) -> dict[str, Any]:
    """What `Cell.key` takes beside the cell: versions of method, noise and data set, digests of files and weights.

    Args:
        cell: any.
        skip_broken: registered names of data sets whose broken images are left out.

    Raises:
        BenchError: a plugin is unknown, or a file or folder cannot be read.
    """
    return {
        "method": METHODS.row(cell.method).version,
        "noise": noise_identity(cell.noise),
        "dataset": named.identity(cell.dataset, named.base(cell.dataset) in skip_broken),
        "backbone": identity.identity(cell.backbone),
    }
