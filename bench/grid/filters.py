"""Filter records by `--set axis=v1,v2`, with the values that `run` accepts.

A name stands for all variants of it, an option in brackets for those that have its value, given or by default: what is
not named is free. What follows "@" is no option: `coop` is CoOp on all samples, `coop@clean` its oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from bench import dataset_name
from bench.clip import identity
from bench.errors import BenchError
from bench.grid.options import method_variant, noise_options
from bench.grid.overrides import assigned
from bench.limits import Value
from bench.plugins import DATASETS, METHODS, NOISE
from bench.records.cell import Cell
from bench.records.naming import suffix
from bench.records.record import Record
from bench.registry import Registry
from bench.variants import parse_variant, shown

Matches: TypeAlias = Callable[[Cell], bool]
T = TypeVar("T")
NO_MODES: tuple[str, ...] = ()
FIELDS = tuple(field for field in Cell.model_fields if field != "options")
NAMED = 20  # values in a message


def filtered(records: Sequence[Record], sets: Sequence[str], where: str) -> list[Record]:
    """Return the records that have one of the values at every named axis or field.

    `sets` are texts "axis=v1,v2", where an axis is any field of a cell; `where` names the records in messages.

    Raises:
        BenchError: a text is malformed, or nothing is left; says which values there are.
    """
    wanted = assigned(sets, FIELDS)
    tests = {key: [_test(key, value) for value in values] for key, values in wanted.items()}
    left = [r for r in records if all(any(test(r.cell) for test in several) for several in tests.values())]
    if left or not wanted:
        return left
    there = "; ".join(f"{key} {_listed(key, records)}" for key in wanted)
    asked = " ".join(f"{key}={shown(values)}" for key, values in wanted.items())
    raise BenchError(f"{where} has no record with {asked}; among its {len(records)} records there are {there}.")


def unmatched(records: Sequence[Record], sets: Sequence[str], where: str) -> list[str]:
    """Return a line for each filter value that no record has, such as a misspelt name."""
    return [
        f"{where} has no record with {key}={shown([value])}; there are {key} {_listed(key, records)}."
        for key, values in assigned(sets, FIELDS).items()
        for value in values
        if not any(map(_test(key, value), (record.cell for record in records)))
    ]


def _test(key: str, value: Any) -> Matches:
    match key:
        case "method":
            return _of_method(value)
        case "noise":
            return _of_noise(value)
        case "dataset":
            return _of_dataset(value)
        case "backbone":
            known = {value, _known(lambda: identity.canonical(value), value)}
            return lambda cell: cell.backbone in known
        case _:
            return lambda cell: bool(getattr(cell, key) == value)


def _of_method(text: str) -> Matches:
    variant = parse_variant(text)
    name = _registered(METHODS, variant.name)

    def matches(cell: Cell) -> bool:
        # without wrong labels the clean samples are all samples, and the cell is that of the method itself
        subset = cell.subset in variant.subsets or ("clean" in variant.subsets and cell.noise == "none")
        return cell.method == name and subset and _has(cell.options, variant.options)

    return matches


def _of_noise(text: str) -> Matches:
    variant = parse_variant(text, "noise")
    name = _registered(NOISE, variant.name)

    def matches(cell: Cell) -> bool:
        own = parse_variant(cell.noise, "noise")
        if own.name != name:
            return False
        return not variant.options or _has(_known(lambda: noise_options(cell.noise), own.options), variant.options)

    return matches


def _of_dataset(text: str) -> Matches:
    path = dataset_name.folder_of(text)
    if path is not None:
        place = path.resolve()
        return lambda cell: (
            (own := dataset_name.folder_of(cell.dataset)) is not None
            and (own.resolve() == place or dataset_name.shown(cell.dataset) == text.strip())
        )
    variant = parse_variant(text, "dataset")
    name = _registered(DATASETS, variant.name)

    def matches(cell: Cell) -> bool:
        if dataset_name.folder_of(cell.dataset) is not None:
            return False
        own = parse_variant(cell.dataset, "dataset")
        modes = _known(lambda: DATASETS.get(name).modes, NO_MODES) if variant.options else NO_MODES
        first: dict[str, Value] = {"mode": modes[0]} if modes else {}
        return own.name == name and _has(first | own.options, variant.options)

    return matches


def _has(options: dict[str, Value], wanted: dict[str, Value]) -> bool:
    return all(name in options and options[name] == value for name, value in wanted.items())


def _registered(registry: Registry[Any], name: str) -> str:
    """Return the registered name. One that is not known here may still be that of a record."""
    return _known(lambda: registry.row(name).name, name)


def _known(ask: Callable[[], T], otherwise: T) -> T:
    try:
        return ask()
    except BenchError:
        return otherwise


def _listed(key: str, records: Sequence[Record]) -> str:
    """Return the values of a field among the records, as a filter takes them."""
    values = dict.fromkeys(_value(key, record.cell) for record in records)
    more = f" and {len(values) - NAMED} more" if len(values) > NAMED else ""
    return shown(list(values)[:NAMED]) + more


def _value(key: str, cell: Cell) -> Any:
    match key:
        case "method":
            return method_variant(cell.method, cell.options) + suffix(cell)
        case "dataset":
            return dataset_name.shown(cell.dataset)
        case _:
            return getattr(cell, key)
