"""Plugin files of Python callers, and which plugins worker processes will know."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from bench import dataset_name
from bench.errors import BenchError
from bench.grid.code import read_plugins
from bench.grid.options import noise_kind, noise_options
from bench.plugins import REGISTRIES
from bench.records.cell import Cell
from bench.registry import Row, load_plugin_file

Files: TypeAlias = Iterable[str | Path]


def import_plugins(files: Files) -> tuple[str, ...]:
    """Import plugin files, and return their paths.

    The file that is running as a program is left out: it has registered what it defines.

    Raises:
        BenchError: a file does not exist or does not import.
    """
    if isinstance(files, str | Path):
        files = (files,)
    paths = tuple(str(Path(file).resolve()) for file in files)
    main = getattr(sys.modules["__main__"], "__file__", None)
    for path in paths:
        if main is None or path != str(Path(main).resolve()):
            load_plugin_file(path)
    read_plugins.cache_clear()  # what was registered since the last call is read as well
    read_plugins()
    return paths


def check_reach(cells: Iterable[Cell], files: Collection[str]) -> None:
    """See that workers will know every plugin that the cells name.

    Raises:
        BenchError: one was registered by code that no worker imports.
    """
    names = {name for cell in cells for name in _named_by(cell)}
    for registry in REGISTRIES:
        for row in registry.rows():
            if names & {row.name, *row.aliases} and not _importable(row, files):
                raise BenchError(
                    f'{registry.kind} "{row.name}" was registered by this program itself, where worker processes '
                    "cannot find it; put it into a Python file of its own and give plugins=[that file]."
                )


def _importable(row: Row, files: Collection[str]) -> bool:
    """Check whether a worker knows a plugin: ours, an installed package's, or of one of these files."""
    return not row.origin.startswith("file ") or bool({row.plugin_file, *row.files[:1]} & {*files})


def _named_by(cell: Cell) -> Iterator[str]:
    """Collect names of plugins in a cell; other texts do no harm."""
    yield from (cell.method, noise_kind(cell.noise), dataset_name.base(cell.dataset), cell.backbone)
    for value in (*cell.options.values(), *noise_options(cell.noise).values()):
        if isinstance(value, str):
            yield value
