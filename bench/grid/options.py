"""Options of a cell from its plugins' code, and whether a kind of noise takes a rate.

Ours declare them without torch. Asking a plugin whose row does not say where they are means importing it, and with it
torch, which takes seconds once in a process.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from bench import dataset_name
from bench.clip import identity
from bench.contracts import conditions
from bench.contracts.options import registered, scalar_options
from bench.data.library import Library
from bench.errors import BenchError, did_you_mean
from bench.limits import Value
from bench.plugins import LOSSES, METHODS, NOISE, SPLITS
from bench.records.cell import Cell, Role
from bench.registry import BUILT_IN, Registry, Row
from bench.validation import expectation
from bench.variants import parse_variant, shown, variant_text

T = TypeVar("T")
ANSWERS: dict[str, Any] = {}  # of built-in plugins, which stay as they are while the process lives


Layer: TypeAlias = tuple[str, Mapping[str, Value]]  # where options are set, as a table's name or "" in place; and these


def method_options(method: str, given: Mapping[str, Value]) -> dict[str, Value]:
    """Return all options of a method: `given` in place, and the code's defaults for the rest.

    Raises:
        BenchError: the method is unknown or does not import, an option is unknown, out of range or does nothing.
    """
    return layered(method, [("", given)])


def layered(method: str, layers: Sequence[Layer]) -> dict[str, Value]:
    """Return all options of a method from layers, each over the one before. What does nothing has its default.

    An option that does nothing both beside the layers up to its own and in the end is a mistake. One that a later layer
    puts out of action is not, and neither is one that says what holds anyway: reports write every option of a cell.

    Raises:
        BenchError: as `method_options`.
    """
    question = json.dumps(["options", method, layers], sort_keys=True, default=repr)
    return dict(_remembered(METHODS, method, question, lambda: _options("method", method, METHODS, layers)))


def defaults(method: str) -> dict[str, Value]:
    """Return all option defaults in the method's code. None where the method is unknown or does not load."""
    try:
        return method_options(method, {})
    except BenchError:
        return {}


def non_default(method: str, given: Mapping[str, Value]) -> dict[str, Value]:
    """Return the non-default options of a method; all, if it is unknown."""
    known = defaults(method)
    return {name: value for name, value in given.items() if name not in known or known[name] != value}


def method_variant(method: str, given: Mapping[str, Value]) -> str:
    """Return the canonical name of a method, with its non-default options."""
    return variant_text(method, non_default(method, given))


def parts(method: str, chosen: Mapping[str, Value]) -> dict[str, Row]:
    """List losses and splits that options name, by kind and name ("loss mine"); not ours of version 1.

    Those of a method that is unknown or does not load are left out.
    """
    texts = {value for value in chosen.values() if isinstance(value, str)}
    rows = [row for one in (LOSSES, SPLITS) for text in texts if (row := one.find(text)) and row.name == text]
    special = {row.name for row in rows if row.origin != BUILT_IN or row.version != 1}
    if not special:
        return {}  # nothing has to be imported
    try:
        fields = METHODS.options(method).model_fields
    except BenchError:
        return {}
    found = {}
    for name, value in chosen.items():
        choice = registered(fields[name]) if name in fields else None
        if choice is not None and value in special and value not in choice.others:
            row = choice.registry.row(str(value))
            found[f"{choice.registry.kind} {row.name}"] = row
    return found


def scalar_names(method: str) -> tuple[str, ...]:
    """List the options in which cells of a pack may differ; none of a method that does not load."""
    question = json.dumps(["scalars", method])
    try:
        return tuple(_remembered(METHODS, method, question, lambda: scalar_options(METHODS.options(method))))
    except BenchError:
        return ()


def structure(cell: Cell) -> str:
    """Return what is equal among the cells of a pack. Folds of one count are, for their sizes hardly differ."""
    scalars = scalar_names(cell.method)
    structural = {name: value for name, value in cell.options.items() if name not in scalars}
    subset = f"folds of {cell.fold[1]}" if cell.fold else cell.subset
    own = cell.model_dump(exclude={*Cell.fields_of(Role.MEMBER), "options", "subset"})
    return json.dumps([own, structural, subset], sort_keys=True)


def alone(method: str, chosen: Mapping[str, Value]) -> str:
    """Return why such cells of a method are never trained in lockstep, as its row says.

    Empty where they are. Options that are not chosen have their defaults.

    Raises:
        BenchError: the row names a condition that is malformed or of no option.
    """
    row = METHODS.find(method)
    if row is None or not row.alone:
        return ""
    return row.alone if not row.alone_when or _met(row, "alone_when", row.alone_when, chosen) else ""


def version_when(method: str, chosen: Mapping[str, Value]) -> dict[str, int]:
    """Return the version of what such cells of a method compute under a condition, by its text; mostly none.

    Raises:
        BenchError: the method is unknown, or its row names a condition that is malformed or of no option.
    """
    row = METHODS.row(method)
    if not row.version_when or not _met(row, "version_when", row.version_when[0], chosen):
        return {}
    when, version = row.version_when
    return {"faithful" if when == "faithful=true" else when: version}


def _met(row: Row, field: str, when: str, chosen: Mapping[str, Value]) -> bool:
    """Check a condition that a method's row names."""
    try:
        return conditions.met(when, {**defaults(row.name), **chosen})
    except (ValueError, KeyError, TypeError) as error:
        raise BenchError(
            f'method "{row.name}" from {row.origin}: {field} = "{when}" is no condition on its options; '
            "correct it, for example faithful=true."
        ) from error


def takes_rate(noise: str) -> bool:
    """Return whether a kind of noise, or a variant of it, takes a rate.

    Raises:
        BenchError: the kind is unknown or does not import.
    """
    kind = noise_kind(noise)
    question = json.dumps(["takes_rate", kind])
    return bool(_remembered(NOISE, kind, question, lambda: NOISE.get(kind).takes_rate))


def noise_kind(noise: str) -> str:
    """Return the registered name of a kind of noise, or of a variant of it.

    Raises:
        BenchError: the kind is unknown.
    """
    return NOISE.row(parse_variant(noise, "noise").name).name


def noise_variant(noise: str) -> str:
    """Return the canonical name of a kind of noise, with its non-default options.

    Raises:
        BenchError: the kind is unknown or does not import, an option is unknown, out of range or does nothing.
    """
    given, kind = parse_variant(noise, "noise").options, noise_kind(noise)
    if not given:
        return kind
    known = noise_options(kind)
    return variant_text(kind, {n: value for n, value in noise_options(noise).items() if known[n] != value})


def noise_options(noise: str) -> dict[str, Value]:
    """Return all options of a kind of noise or a variant of it.

    Raises:
        BenchError: the kind is unknown or does not import, an option is unknown, out of range or does nothing.
    """
    given, kind = parse_variant(noise, "noise").options, noise_kind(noise)
    question = json.dumps(["noise options", kind, given], sort_keys=True)
    return dict(_remembered(NOISE, kind, question, lambda: _options("noise", kind, NOISE, [("", given)])))


def noise_identity(noise: str, library: Library | None = None) -> dict[str, Any]:
    """Return a noise kind's identity in a record's key. It is every option, a file by its digest, a backbone by its
    weights.

    Raises:
        BenchError: as `noise_options`; or a file that an option names, or should name, cannot be read.
    """
    kind = noise_kind(noise)
    given = noise_options(noise)
    roles, library = noise_roles(kind), library or Library()
    return {
        "kind": kind,
        "version": NOISE.row(kind).version,
        "options": {
            name: library.identity(dataset_name.canonical(str(value)))
            if (role := roles.get(name, "")) == "dataset"
            else _stands_for(kind, name, value, role)
            for name, value in given.items()
        },
    }


def noise_roles(noise: str) -> dict[str, str]:
    """Return the role of each noise option that names a "file", "backbone" or "dataset".

    Raises:
        BenchError: the kind is unknown or does not import.
    """
    kind = noise_kind(noise)
    return dict(_remembered(NOISE, kind, json.dumps(["noise roles", kind]), lambda: _roles(kind)))


def _roles(kind: str) -> dict[str, str]:
    fields = NOISE.options(kind).model_fields
    extras = {name: field.json_schema_extra for name, field in fields.items()}
    return {name: str(extra.get("role", "")) for name, extra in extras.items() if isinstance(extra, dict)}


def takes_weights(encoder: str) -> bool:
    """Return whether an encoder of a kind of noise is a backbone. "thumbnail" is one of its own, and "" is none."""
    return encoder not in ("", "thumbnail")


def _stands_for(kind: str, name: str, value: Value, role: str) -> Value:
    if role == "backbone":
        return identity.weights_identity(str(value)) if takes_weights(str(value)) else value
    if role != "file":
        return value
    if not value:
        raise BenchError(f"noise {kind} needs a file; write {kind}[{name}=PATH].")
    try:
        content = Path(str(value)).expanduser().read_bytes()
    except OSError as error:
        raise BenchError(
            f'noise {kind}: {name} "{value}" cannot be read: {error.strerror}; give the path of a file.'
        ) from error
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _options(what: str, plugin: str, registry: Registry[Any], layers: Sequence[Layer]) -> dict[str, Value]:
    model: type[BaseModel] = registry.options(plugin)
    given: dict[str, Value] = {}
    stages: list[tuple[Layer, Mapping[str, str]]] = []  # layers, with what is idle once they are laid
    try:
        for layer in layers:
            given |= layer[1]
            chosen = _validated(f'{what} "{plugin}"', model, given)
            stages.append((layer, conditions.idle(chosen)))
    except ValueError as error:
        raise BenchError(f'{what} "{plugin}": {error}; correct its declaration.') from error
    in_the_end, fields = stages[-1][1], model.model_fields
    for (place, own), idle in stages:
        for name in (name for name in own if name in idle and name in in_the_end):
            if own[name] != fields[name].default:
                where = place or f'{what} "{plugin}"'
                raise BenchError(f"{where}: option {name} = {own[name]!r} does nothing here; {in_the_end[name]}.")
    return conditions.settled(chosen)


def _validated(where: str, model: type[BaseModel], given: Mapping[str, Value]) -> BaseModel:
    unknown = [name for name in given if name not in model.model_fields]
    if unknown and not model.model_fields:
        raise BenchError(f'{where} has no option "{unknown[0]}"; it has none, leave out the brackets.')
    if unknown:
        raise BenchError(f'{where} has no option "{unknown[0]}"; {did_you_mean(unknown[0], model.model_fields)}')
    try:
        chosen = model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else shown(given)
        either = [
            expectation(one).removeprefix("expected ") for one in error.errors() if one["loc"][:1] == first["loc"][:1]
        ]
        text = " or ".join(either)
        text += "" if text.endswith(("?", ".")) else "."
        raise BenchError(f"{where}: option {name} = {first['input']!r}: expected {text}") from error
    for name, value in chosen:
        if isinstance(value, float) and not math.isfinite(value):
            raise BenchError(f"{where}: option {name} = {value!r}: expected a finite number.")
        if isinstance(given.get(name), bool) and type(value) in (int, float):
            raise BenchError(f"{where}: option {name} = {given[name]!r}: expected a number.")
    return chosen


def _remembered(registry: Registry[Any], name: str, question: str, ask: Callable[[], T]) -> T:
    if registry.row(name).origin != BUILT_IN:
        return ask()
    if question not in ANSWERS:
        ANSWERS[question] = ask()
    answer: T = ANSWERS[question]
    return answer
