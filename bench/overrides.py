"""`--set axis=v1,v2`: the last layer over one grid, and `bench config`'s rows of origin "--set"."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from bench.config import SET, Config, GridTable, NoiseEntry, Protocol, validated
from bench.errors import BenchError, did_you_mean
from bench.resolve import noise_kind, noise_variant, takes_rate
from bench.variants import parse_value, shown, split_list

AXES = ("dataset", "shots", "noise", "rate", "method", "backbone", "epochs", "seed")
LISTS = (*AXES, "reference")
TEXTS = ("dataset", "noise", "method", "backbone", "reference")


def override(config: Config, grid: str, sets: Sequence[str]) -> Config:
    """The settings with `sets` laid over the grid named `grid`.

    `rate` replaces the rates of every kind that takes one; `noise=K` keeps the grid's rates for K; naming methods gives
    exactly these, without reference rows unless `reference` is set too.

    Args:
        config: validated settings.
        grid: name of a grid.
        sets: texts "key=value" or "axis=v1,v2".

    Raises:
        BenchError: the grid, a key or a value is unknown or out of range, or a key is given twice.
    """
    table = grid_table(config, grid)
    values = _parsed(sets)
    layer: dict[str, Any] = {key: value for key, value in values.items() if key != "noise"}
    if "method" in values:
        layer.setdefault("reference", [])
    if "noise" in values or "rate" in values:
        entries = _kinds(table, values["noise"]) if "noise" in values else list(table.noise)
        layer["noise"] = [_written(entry, keep_rate="rate" not in values) for entry in entries]
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
    """The table of a grid.

    Raises:
        BenchError: there is none of this name.
    """
    grids = config.settings.grid
    if grid not in grids:
        raise BenchError(f'unknown grid "{grid}"; {did_you_mean(grid, grids)}')
    return grids[grid]


def inherited_rates(config: Config, grid: str) -> list[str]:
    """A line for each kind of noise in the grid whose rates are the protocol's, because nothing else names any."""
    if "rate" in config.named(grid):
        return []
    table = config.settings.grid[grid]
    return [
        f"noise {entry.kind} has no rates in grid {grid}; the protocol's {shown(table.rate)} are used."
        for entry in table.noise
        if not entry.has_rates and takes_rate(entry.kind)
    ]


def _parsed(sets: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in sets:
        key, equals, right = text.partition("=")
        key = key.strip()
        if not equals:
            raise BenchError(f'--set "{text}" is not of the form axis=value; for example --set seed=1,2.')
        if key not in Protocol.model_fields:
            raise BenchError(f'--set: unknown axis "{key}"; {did_you_mean(key, Protocol.model_fields)}')
        if key in values:
            raise BenchError(f"--set {key} is given twice; write --set {key}=value1,value2.")
        values[key] = _value(key, right)
    return values


def _value(key: str, text: str) -> Any:
    parts: list[Any] = split_list(text)
    if (not parts and key != "reference") or "" in parts:
        raise BenchError(f"--set {key}={text} has an empty value; expected --set {key}=value1,value2.")
    if key not in TEXTS:
        parts = [parse_value(part) for part in parts]
    if key in LISTS:
        return parts
    if len(parts) > 1:
        raise BenchError(f"--set {key}={text} has {len(parts)} values; {key} is no axis and takes one.")
    return parts[0]


def _kinds(table: GridTable, kinds: Sequence[str]) -> list[NoiseEntry]:
    entries: list[NoiseEntry] = []
    for kind in kinds:
        name = noise_variant(kind)
        plain = [entry for entry in table.noise if noise_kind(entry.kind) == noise_kind(name)]
        own = [entry for entry in plain if noise_variant(entry.kind) == name]
        entries += own or [NoiseEntry(**{**entry.model_dump(exclude_unset=True), "kind": name}) for entry in plain[:1]]
        entries += [] if plain else [NoiseEntry(kind=name)]
    return entries


def _written(entry: NoiseEntry, keep_rate: bool) -> dict[str, Any]:
    return {"kind": entry.kind, "rate": entry.rate} if keep_rate and entry.has_rates else {"kind": entry.kind}
