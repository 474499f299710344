"""Apply `--set axis=v1,v2` or `seed=1..5`, the last settings layer over one grid."""

from __future__ import annotations

import copy
import itertools
import os
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from bench import dataset_name
from bench.errors import BenchError, did_you_mean
from bench.grid.options import noise_kind, noise_variant, takes_rate
from bench.limits import spread
from bench.records.cell import Cell, Role
from bench.settings.schema import SET, Config, GridTable, NoiseEntry, Protocol, validated
from bench.variants import entry_text, parse_value, shown, split_list, unquoted

AXES = Cell.fields_of(Role.AXIS)
LISTS = (*AXES, "reference")
TEXTS = (*(axis for axis in AXES if Cell.model_fields[axis].annotation is str), "reference")
NUMBERS = ("shots", "epochs", "seed")  # whose values may be ranges
PATHS = ("dataset", "backbone")  # whose values may be paths as a whole


def override(config: Config, grid: str, sets: Sequence[str]) -> Config:
    """Return the settings with `sets` laid over the grid named `grid`.

    `rate` replaces the rates of every kind that takes one; `noise=K` keeps the grid's rates for K; naming methods gives
    exactly these, without reference rows unless `reference` is set too.

    Raises:
        BenchError: the grid, a key or a value is unknown or out of range, or a key is given twice.
    """
    table = grid_table(config, grid)
    values = {key: _one_or_list(key, found) for key, found in assigned(sets, Protocol.model_fields).items()}
    layer: dict[str, Any] = {key: value for key, value in values.items() if key != "noise"}
    if "method" in values:
        layer.setdefault("reference", [])
    if "noise" in values or "rate" in values:
        entries = _kinds(table, values["noise"]) if "noise" in values else list(table.noise)
        kept = {"kind"} if "rate" in values else {"kind", "rate"}
        layer["noise"] = [entry.model_dump(include=kept if entry.has_rates else {"kind"}) for entry in entries]
    layers = copy.deepcopy(config.layers)
    layers.lay(layer, SET, ("grid", grid))
    changed = validated(layers)
    if "rate" in values and not any(takes_rate(entry.kind) for entry in changed.settings.grid[grid].noise):
        kinds = shown(entry.kind for entry in changed.settings.grid[grid].noise)
        raise BenchError(
            f"--set rate={shown(values['rate'])}: noise {kinds} here takes no rate; add --set noise=symmetric."
        )
    return changed


def grid_table(config: Config, grid: str) -> GridTable:
    """Return the table of a grid.

    Raises:
        BenchError: there is none of this name.
    """
    grids = config.settings.grid
    if str(grid) not in grids:  # a list too, from Python
        raise BenchError(f'unknown grid "{grid}"; {did_you_mean(grid, grids)}')
    return grids[grid]


def inherited_rates(config: Config, grid: str) -> list[str]:
    """Return a line for each kind of noise in the grid that inherits the protocol's rates."""
    if "rate" in config.named(grid):
        return []
    table = config.settings.grid[grid]
    return [
        f"noise {entry.kind} has no rates in grid {grid}; the protocol's {shown(table.rate)} are used."
        for entry in table.noise
        if not entry.has_rates and takes_rate(entry.kind)
    ]


def assigned(sets: Sequence[str], keys: Collection[str]) -> dict[str, list[Any]]:
    """Parse the values of each key: texts for the axes that have names, else as `parse_value` does.

    Raises:
        BenchError: a text is of another form, a key is unknown or given twice, or a value is empty, a split path or no
            range.
    """
    values: dict[str, list[Any]] = {}
    for text in sets:
        key, equals, right = text.partition("=")
        key = key.strip()
        if not equals:
            raise BenchError(f'--set "{text}" is not of the form axis=value; for example --set seed=1,2.')
        if key not in keys:
            raise BenchError(f'--set: unknown axis "{key}"; {did_you_mean(key, keys)}')
        if key in values:
            raise BenchError(f"--set {key} is given twice; write --set {key}=value1,value2.")
        values[key] = _values(key, right)
    return values


def _values(key: str, text: str) -> list[Any]:
    parts = split_list(text)
    if (not parts and key != "reference") or "" in parts:
        raise BenchError(f"--set {key}={text} has an empty value; expected --set {key}=value1,value2.")
    if key in PATHS:
        _check_commas(key, parts)
    values = [unquoted(part) if key in TEXTS else parse_value(part) for part in parts]
    try:
        return spread(values) if key in NUMBERS else values
    except ValueError as error:
        raise BenchError(f"--set {key}={text}: expected {error}.") from error


def _one_or_list(key: str, values: list[Any]) -> Any:
    if key in LISTS:
        return values
    if len(values) > 1:
        raise BenchError(f"--set {key}={shown(values)} has {len(values)} values; {key} is no axis and takes one.")
    return values[0]


def _check_commas(key: str, parts: Sequence[str]) -> None:
    """Report a path that was split at its commas, where one of that name exists."""
    for first, last in itertools.combinations(range(len(parts) + 1), 2):
        for comma in (",", ", ") if last - first > 1 else ():
            text = comma.join(parts[first:last])
            path = dataset_name.folder_of(text) if key == "dataset" else Path(text).expanduser()
            if '"' not in text and path is not None and os.path.exists(path):  # noqa: PTH110 - no error on any name
                raise BenchError(
                    f'--set {key}: commas split values, and "{path}" is here; in double quotes it is one value: '
                    f"--set {shlex.quote(f'{key}={entry_text(text)}')}"
                )


def _kinds(table: GridTable, kinds: Sequence[str]) -> list[NoiseEntry]:
    entries: list[NoiseEntry] = []
    for kind in kinds:
        name = noise_variant(kind)
        plain = [entry for entry in table.noise if noise_kind(entry.kind) == noise_kind(name)]
        own = [entry for entry in plain if noise_variant(entry.kind) == name]
        entries += own or [NoiseEntry(**{**entry.model_dump(exclude_unset=True), "kind": name}) for entry in plain[:1]]
        entries += [] if plain else [NoiseEntry(kind=name)]
    return entries
