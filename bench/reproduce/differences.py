"""Compare two runs of one cell: parts of their records that differ, and what has changed around them.

Numbers are compared as they are, to the last bit. What only the newer record has is not held against the older one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.records.record import Record

ABSENT = "absent"
STEPS = ("optimizer_steps", "forward_passes", "trained_parameters")
MACHINE_FACTS = ("device", "processor", "platform", "threads")
COMMIT = 10  # digits of a commit in a message
Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Compared: TypeAlias = tuple[str, Any, Any]


@dataclass(frozen=True)
class Difference:
    """Place at which two runs differ, with both values."""

    where: str
    record: Any
    now: Any


@dataclass(frozen=True)
class RecordPart:
    """Part of a record: numbers of compared and of differing values, and the first that differs."""

    name: str
    compared: int
    differing: int
    first: Difference | None

    @classmethod
    def of(cls, name: str, compared: Iterable[Compared]) -> RecordPart:
        """Summarise all comparisons of the part, in order."""
        pairs = list(compared)
        differing = [Difference(*pair) for pair in pairs if pair[1] != pair[2]]
        return cls(name, len(pairs), len(differing), differing[0] if differing else None)


def compared_parts(record: Record, now: Record) -> list[RecordPart]:
    """Compare every part of a record with a rerun, each before those it affects: accuracy last."""
    old, new = (json.loads(one.to_json()) for one in (record, now))
    ends: list[Compared] = [("status", record.status, now.status)]
    ends += [("reason", record.reason, now.reason)] if record.status == now.status else []
    return [
        RecordPart.of("status", ends),
        *(_section(name, old[name], new[name]) for name in ("data", "noise", "oracle")),
        RecordPart.of("curve", _curve(record.curve.columns, now.curve.columns)),
        _section("diagnostics", old["diagnostics"], new["diagnostics"]),
        _section("steps", _only(old["cost"], STEPS), _only(new["cost"], STEPS)),
        _section("accuracy", old["accuracy"], new["accuracy"]),
    ]


def compared_outcomes(record: Arrays, now: Arrays) -> RecordPart:
    """Compare per-sample outcomes bit by bit. Arrays that only the newer run has are left out."""
    found = [_array(name, array, now.get(name)) for name, array in record.items()]
    first = next((part.first for part in found if part.first is not None), None)
    return RecordPart("outcomes", sum(p.compared for p in found), sum(p.differing for p in found), first)


def changes(record: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """List what differs between two provenances: packages, machine, code, and versions and digests in the key."""
    found = [Difference(*pair) for pair in _all(record.get("versions", {}), now.get("versions", {}))]
    found += [Difference(name, record.get(name), now.get(name)) for name in MACHINE_FACTS if name in record]
    if "resolved" in record:
        found += [Difference(*pair) for pair in _all(record["resolved"], now.get("resolved", {}), "key: ")]
    noted = "sources" in record and "sources" in now
    found += [Difference(*pair) for pair in _all(record["sources"], now["sources"], "code of ")] if noted else []
    found = [one for one in found if one.record != one.now]
    if noted:
        return found
    old, new = record.get("code", {}), now.get("code", {})
    same = old.get("commit") == new.get("commit") and not old.get("dirty") and not new.get("dirty")
    others = ", maybe others" if _code(old) == _code(new) else ""
    return found if same else [*found, Difference("code", _code(old), _code(new) + others)]


def _code(state: Mapping[str, Any]) -> str:
    if not state:
        return "not from a git checkout"
    return str(state.get("commit", ""))[:COMMIT] + (" with uncommitted changes" if state.get("dirty") else "")


def _only(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _section(name: str, record: Any, now: Any) -> RecordPart:
    if not record and now:  # nothing at all where the rerun has something is no older format
        return RecordPart.of(name, [(name, ABSENT, f"{len(now)} entries")])
    return RecordPart.of(name, _walk(name, record, now))


def _walk(where: str, record: Any, now: Any) -> Iterator[Compared]:
    """Yield every value of the record with the current one at its place."""
    if isinstance(record, dict):
        inside = now if isinstance(now, dict) else {}
        for name, value in record.items():
            yield from _walk(f"{where}.{name}", value, inside.get(name, ABSENT))
    elif isinstance(record, list) and isinstance(now, list):
        if len(record) != len(now):
            yield f"number of {where}", len(record), len(now)
        for index, pair in enumerate(zip(record, now, strict=False)):
            yield from _walk(f"{where}[{index}]", *pair)
    else:
        yield where, record, now


def _curve(record: Mapping[str, list[Any]], now: Mapping[str, list[Any]]) -> Iterator[Compared]:
    """Compare row by row, so that the first difference is the earliest."""
    if not record and now:
        yield "curve", ABSENT, f"{len(now)} entries"
    for name, values in record.items():
        if len(values) != len(now.get(name, [])):
            yield f"number of rows of {name}", len(values), len(now[name]) if name in now else ABSENT
    epochs = record.get("epoch", [])
    for row in range(max(map(len, record.values()), default=0)):
        at = f"at epoch {epochs[row]}" if row < len(epochs) else f"in row {row}"
        at += " after finalize" if row and row < len(epochs) and epochs[row] == epochs[row - 1] else ""
        for name, values in record.items():
            if row < min(len(values), len(now.get(name, []))):
                yield f"{name} {at}", values[row], now[name][row]


def _array(name: str, record: NDArray[Any], now: NDArray[Any] | None) -> RecordPart:
    if now is None or (record.shape, record.dtype) != (now.shape, now.dtype):
        shapes = [ABSENT if one is None else f"{one.dtype} {list(one.shape)}" for one in (record, now)]
        return RecordPart(name, record.size, record.size, Difference(name, *shapes))
    flat, other = np.ascontiguousarray(record).reshape(-1), np.ascontiguousarray(now).reshape(-1)
    bits = f"u{record.dtype.itemsize}"
    unlike = np.flatnonzero(flat.view(bits) != other.view(bits))
    if not unlike.size:
        return RecordPart(name, flat.size, 0, None)
    place = ", ".join(str(int(index)) for index in np.unravel_index(unlike[0], record.shape))
    first = Difference(f"{name}[{place}]", _bits(flat[unlike[0]]), _bits(other[unlike[0]]))
    return RecordPart(name, flat.size, int(unlike.size), first)


def _bits(value: Any) -> Any:
    """Return a value, as text with its bits where they are not visible: zeros of two signs, NaN."""
    number = value.item()
    return number if number and number == number else f"{number!r} (bits {value.tobytes().hex()})"


def _all(record: Mapping[str, Any], now: Mapping[str, Any], before: str = "") -> Iterator[Compared]:
    """Pair every value of two nested mappings, including those on one side alone."""
    for name in dict.fromkeys([*record, *now]):
        old, new = record.get(name, ABSENT), now.get(name, ABSENT)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _all(old, new, f"{before}{name} ")
        else:
            yield f"{before}{name}", old, new
