"""The `bench run` command that trains exactly one cell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from bench.errors import BenchError
from bench.grid.expansion import BUDGET, FIXED, cells
from bench.grid.overrides import override
from bench.limits import Value
from bench.records.cell import Cell
from bench.settings.schema import Config
from bench.variants import axis_text, value_text, variant_text

AXES = ("dataset", "backbone", "shots", "seed", "epochs")


@dataclass(frozen=True)
class Invocation:
    """Options of `bench run`.

    Attributes:
        sets: texts for `--set`.
        doubt: why they may not lead to the cell here, one line; empty where they do.
    """

    sets: tuple[str, ...]
    doubt: str = ""

    def command(self) -> str:
        """Format the command for a shell."""
        return "bench run" + "".join(f" --set {shlex.quote(text)}" for text in self.sets)


def invocation_of(cell: Cell, config: Config, grid: str) -> Invocation:
    """Find the options of `bench run` for a cell: every axis, and whatever differs from the grid and the method.

    Args:
        cell: of a record, perhaps of another version, or of a plugin that is not here.
        config: the settings under which the command is to run.
        grid: that the command runs.
    """
    plain = _sets(cell, config, grid, {})
    try:
        found = _cell(config, grid, plain)
        sets = _sets(cell, config, grid, {n: v for n, v in cell.options.items() if found.options.get(n) != v})
        found = _cell(config, grid, sets)
    except BenchError as error:
        return Invocation(_sets(cell, config, grid, cell.options), " ".join(error.lines))
    if found == cell:
        return Invocation(sets)
    differing = [name.replace("_", " ") for name in Cell.model_fields if getattr(found, name) != getattr(cell, name)]
    return Invocation(sets, f"the settings or the version here give it other {', '.join(differing)}")


def _cell(config: Config, grid: str, sets: tuple[str, ...]) -> Cell:
    found = list(cells(override(config, grid, sets), grid))
    if len(found) != 1:
        raise BenchError(f"grid {grid} has {len(found)} cells with these values, because of its excludes.")
    return found[0][0]


def _sets(cell: Cell, config: Config, grid: str, options: Mapping[str, Value]) -> tuple[str, ...]:
    table = config.settings.grid[grid]
    own = Cell.own_fields(cell.budget)  # what is not named is the method's own, whatever the cell has
    rest = [name for name in (*FIXED, *BUDGET) if name in own or getattr(table, name) != getattr(cell, name)]
    texts = {name: axis_text(getattr(cell, name)) for name in AXES}
    texts["noise"] = axis_text(cell.noise)
    if cell.rate:
        texts["rate"] = value_text(cell.rate)
    texts["method"] = axis_text(variant_text(cell.method, options) + cell.suffix)
    texts |= {name: value_text(getattr(cell, name)) for name in rest}
    return tuple(f"{name}={text}" for name, text in texts.items())
