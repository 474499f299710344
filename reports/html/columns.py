"""Records as compact columns of JSON: each distinct value once, numbers rounded, long lists in short.

A column is `{"values": [v]}` where all rows have v, `{"raw": [...]}` one value per row, or `{"values": [...], "codes":
[...]}` where row i has `values[codes[i]]`. Absent and non-finite numbers are null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import pandas as pd
from pydantic import BaseModel

from bench.dataset_name import shown
from bench.errors import printable
from bench.grid.options import defaults
from bench.records.cell import Cell, Role
from bench.records.parts import noted
from bench.records.record import Record
from bench.reports.names import column_name
from bench.settings.layers import packaged_layers
from bench.settings.schema import Settings, validated
from bench.variants import entry_text, variant_text

Encoded: TypeAlias = dict[str, list[Any]]
DIGITS = 6
LONGEST = 40
PLAIN = frozenset({int, float, bool, type(None)})  # in which no letter can hide
CELLS = (
    "key", "setting", "label", "section", "noise", "rate", "seed", "status", "reason", "last", "best", "selected",
    "memorized", "memorized_excess", "recovered", "neither", "train_clean_accuracy", "train_given_accuracy",
    "test_calibration_error", "split_share", "seconds",
)  # fmt: skip
LEFT_OUT = ("confusion",)
SHARED = ("cell", "noise", "data", "accuracy", "cost", "oracle", "attempts", "provenance")
SAID_OTHERWISE = ("noise", "rate", "method")  # with options
AXES = ("dataset", "backbone", "shots", "seed", "epochs")  # named in every command
QUICK = "quick"  # the grid that `bench run` runs where none is named
SET = [n for n in Cell.fields_of(Role.AXIS | Role.TRAINING | Role.PROTOCOL) if n not in SAID_OTHERWISE]


def cell_columns(frame: pd.DataFrame) -> dict[str, Encoded]:
    """Encode the columns of `bench.reports.frame.tidy` that the page needs, and `column`, the noise in words."""
    named = [column_name(str(k), float(r)) for k, r in zip(frame["noise"], frame["rate"], strict=True)]
    return {**{name: encode(frame[name].tolist()) for name in CELLS}, "column": encode(named)}


def detail_columns(records: Sequence[Record]) -> dict[str, dict[str, Encoded]]:
    """Encode everything else of the records, flat ("provenance.versions.torch").

    As "columns", and as "sets" the arguments of `bench run --set` that ask for the cell.
    """
    rows = [_shareable(record) for record in records]
    return {"columns": _encoded(rows), "sets": _encoded([settings(record.cell) for record in records])}


def settings(cell: Cell) -> dict[str, str]:
    """Format the values for `bench run --set` that ask for exactly this cell; a user's folder by name alone.

    Left out is what the packaged settings give it anyway: the default grid's values and the method's options.
    """
    values, packaged = vars(cell), _packaged()
    known = _options(cell.method)
    options = {name: value for name, value in cell.options.items() if name not in known or known[name] != value}
    method = entry_text(f"{variant_text(cell.method, options)}{cell.suffix}")
    own = (*AXES, *Cell.own_fields(cell.budget))
    named = [name for name in SET if name in own or getattr(packaged.grid[QUICK], name) != values[name]]
    texts = {name: _written(values[name]) for name in named} | {"noise": entry_text(cell.noise)}
    texts |= {"rate": repr(cell.rate)} if cell.rate else {}
    texts |= {"method": entry_text(method)}
    return {name: f"{name}={text}" for name, text in texts.items()}


@cache
def _packaged() -> Settings:
    """Read the packaged settings, whatever a user's own are."""
    return validated(packaged_layers()).settings


@cache
def _options(method: str) -> dict[str, Any]:
    """Find the options that a method has under the packaged settings; none of an unknown one."""
    table = _packaged().method.get(method)
    return {**defaults(method), **(table.options if table else {})}


def encode(values: Sequence[Any]) -> Encoded:
    """Encode a column in the shortest of its three forms."""
    types = set(map(type, values))
    plain = [rounded(value) for value in values] if types & {float, list} else list(values)
    mixed = list in types or len(types & {bool, int, float}) > 1  # equal values may be written otherwise
    known = [_identity(value) for value in plain] if mixed else plain
    kept: dict[Any, Any] = {}
    for identity, value in zip(known, plain, strict=True):
        kept.setdefault(identity, value)
    if len(kept) == 1:
        return {"values": [*kept.values()]}
    if len(kept) > len(plain) / 2:
        return {"raw": plain}
    codes = {identity: code for code, identity in enumerate(kept)}
    return {"values": [*kept.values()], "codes": [codes[identity] for identity in known]}


def rounded(value: Any) -> Any:
    """Convert a value for JSON: floats to `DIGITS` significant digits, None where they are not finite."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value


def readable(data: Any) -> Any:
    """Escape in every text what hides letters or turns their direction, as `bench.errors.printable` does."""
    match data:
        case str():
            return printable(data)
        case Mapping():
            return {printable(name): readable(value) for name, value in data.items()}
        case list() if not PLAIN.issuperset(map(type, data)):
            return [readable(value) for value in data]
    return data


def embedded(data: Any) -> str:
    """Write JSON that is safe inside a `script` element, whatever texts it holds."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _encoded(rows: Sequence[Mapping[str, Any]]) -> dict[str, Encoded]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: encode([row.get(name) for row in rows]) for name in names}


def _identity(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, list) else (type(value), value)


def _shareable(record: Record) -> dict[str, Any]:
    """Return a record without curves, a user's folder by name alone: its path says who the user is."""
    found: dict[str, Any] = {}
    for name in SHARED:
        _flatten(vars(record)[name], name, found)
    found["cell.dataset"] = shown(record.cell.dataset)
    return found


def _flatten(value: Any, name: str, found: dict[str, Any]) -> None:
    """Add what a value holds to `found`, under its names joined by dots."""
    if isinstance(value, BaseModel):
        value = noted(value)
    if isinstance(value, dict):
        for part, inner in value.items():
            if part not in LEFT_OUT:
                _flatten(inner, f"{name}.{part}", found)
    elif value not in (None, [], ""):
        found[name] = _in_short(value) if isinstance(value, list) and len(value) > LONGEST else value


def _in_short(values: list[Any]) -> str:
    numbers = [value for value in values if isinstance(value, int | float) and math.isfinite(value)]
    if len(numbers) == len(values):
        return f"{len(values)} values from {min(numbers):.4g} to {max(numbers):.4g}"
    return f"{len(values)} entries, {values[0]} to {values[-1]}"


def _written(value: Any) -> str:
    return entry_text(shown(value)) if isinstance(value, str) else repr(value)
