"""Group records of one experiment by everything but the seed, and read and write baseline files of groups."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from bench.errors import BenchError
from bench.files import write_whole
from bench.grid.options import method_variant
from bench.plugins import METHODS
from bench.records.cell import Cell, noise_text
from bench.records.naming import UNKNOWN, Content, RecordOrigin, further_versions, in_time, newest
from bench.records.record import Record

KIND = "noisy-prompt-bench baseline"
BASELINE_SCHEMA = 1
Seeds: TypeAlias = dict[int, float]


@dataclass(frozen=True)
class SeedGroup:
    """All cells that differ only in the seed.

    Attributes:
        cell: every field of the cell but the seed.
        accuracy: last test accuracy in percent by seed, finished records only.
        memorized: final memorized share in percent by seed, where it exists.
        keys: the records' keys by seed, which change with plugin versions and weights.
        failed: reason by seed, of the records that did not finish.
        written: the label in the file that the group was read from; it stands for a method that is not known here.
        content: digests of data, weights and files; a group of other contents is another experiment.
    """

    cell: dict[str, Any]
    accuracy: Seeds
    memorized: Seeds
    keys: dict[int, str]
    failed: dict[int, str]
    written: str = ""
    content: Content = UNKNOWN

    @property
    def column(self) -> str:
        """Noise kind and rate."""
        return f"{self.cell['noise']} {self.cell['rate']}"

    @cached_property
    def label(self) -> str:
        """Dataset, noise and method with non-default options, for display."""
        cell = self.cell
        if self.written and cell["method"] not in METHODS:
            return self.written
        method = method_variant(cell["method"], cell["options"])
        subset = "" if cell["subset"] == "all" else f"@{cell['subset']}"
        return f"{cell['dataset']} · {noise_text(cell['noise'], cell['rate'])} · {method}{subset}"

    @property
    def family(self) -> str:
        """Properties that the groups of one method under all noise share."""
        cell = {name: value for name, value in self.cell.items() if name not in ("noise", "rate")}
        return json.dumps([cell, self.content.dataset, self.content.backbone], sort_keys=True)


def identity(cell: Mapping[str, Any], content: Content = UNKNOWN) -> str:
    """Return the identity of a group as JSON. It is every field of its cells but the seed, and their known contents."""
    known = {name: value for name, value in content._asdict().items() if value}
    return json.dumps([cell, known], sort_keys=True)


def write_baseline(records: Iterable[Record], path: Path) -> int:
    """Write what `compare` reads, whole or not at all; returns the number of groups.

    Raises:
        BenchError: no record is done, or the file cannot be written.
    """
    return write_counted(CountedRecords.of(records), path)


def write_counted(counted: CountedRecords, path: Path) -> int:
    """Write the baseline of records that are grouped already, as `write_baseline` does."""
    groups = {k: g for k, g in counted.groups.items() if g.accuracy}
    kept = {key for group in groups.values() for key in group.keys.values()}
    if not groups:
        raise BenchError("no finished record to make a baseline of; run `bench run` first.")
    variance, df = pooled_variance(g.accuracy for g in groups.values())
    rows = [_row(group) for _, group in sorted(groups.items(), key=lambda item: (item[1].label, item[0]))]
    content = {
        "kind": KIND,
        "schema": BASELINE_SCHEMA,
        "unit": "percent",
        "pooled_sd": _short(math.sqrt(variance)),
        "pooled_df": df,
        "environment": environment(record for record in counted.records if record.key in kept),
        "groups": rows,
    }
    try:
        write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise BenchError(f'baseline "{path}" cannot be written: {error.strerror}; give a writable path.') from error
    return len(groups)


def pooled_variance(groups: Iterable[Seeds]) -> tuple[float, int]:
    """Compute the pooled variance within groups and its degrees of freedom, 0 where nothing is known.

    Groups that do not vary at all (training-free methods) say nothing about the noise of the others.
    """
    squares = [(float(np.var(list(g.values()), ddof=1)), len(g) - 1) for g in groups if len(set(g.values())) > 1]
    df = sum(d for _, d in squares)
    return (sum(v * d for v, d in squares) / df, df) if df else (0.0, 0)


@dataclass(frozen=True)
class CountedRecords:
    """The records of a store that count, in groups, and how many do not.

    Attributes:
        records: the last of each cell.
        groups: of them by `identity`, without skipped records, and folds, which are no experiments of their own.
        superseded: records of cells that have a later one.
        outdated: last records of an earlier plugin version than other seeds of their cell.
    """

    records: list[Record]
    groups: dict[str, SeedGroup]
    superseded: int
    outdated: int

    @classmethod
    def of(cls, records: Iterable[Record]) -> CountedRecords:
        """Group records.

        A record that did not finish, and so may not say its contents, goes with the newest of its cells that may be the
        same. No group mixes versions of a plugin: those of the newest record count, and others are left out.
        """
        every = list(records)
        last = newest(every)
        chosen = [record for record in last if record.status != "skipped" and record.cell.fold is None]
        cells: dict[str, dict[Content, list[Record]]] = defaultdict(dict)
        for record in sorted(in_time(chosen), key=lambda record: record.status != "done"):
            content = RecordOrigin(record).content
            alike = cells[record.cell.model_dump_json(exclude={"seed"})]
            if record.status != "done":
                content = next((known for known in reversed(alike) if known.may_be(content)), content)
            alike[content] = [*alike.pop(content, []), record]  # the newest last
        groups = [
            _group(of_one_version(found), content) for alike in cells.values() for content, found in alike.items()
        ]
        taken = sum(len(group.keys) + len(group.failed) for group in groups)
        by_identity = {identity(group.cell, group.content): group for group in groups}
        return cls(last, by_identity, len(every) - len(last), len(chosen) - taken)

    def notes(self) -> list[str]:
        """Report records that do not count."""
        told = {
            f"{self.superseded} records are of cells that also have a record of other plugin versions or weights; the "
            "one finished last counts, with --grid the one of today's grid.": self.superseded,
            f"seeds of an earlier plugin version than others of their cells do not count: {self.outdated} of the "
            "records; `bench run` makes them anew.": self.outdated,
        }
        return [line for line, count in told.items() if count]


def of_one_version(records: Iterable[Record]) -> list[Record]:
    """Select the records that contradict no later one in the version of a plugin."""
    known: dict[str, str] = {}
    chosen, late = [], in_time(records)
    for record, further in zip(reversed(late), reversed(further_versions(late)), strict=True):
        versions = {**RecordOrigin(record).versions, **{name: text for name, text in further.items() if text}}
        if all(known.get(name, version) == version for name, version in versions.items()):
            known |= versions
            chosen.append(record)
    return chosen


def _group(records: Sequence[Record], content: Content) -> SeedGroup:
    group = SeedGroup(records[0].cell.model_dump(exclude={"seed"}), {}, {}, {}, {}, content=content)
    for record in sorted(records, key=lambda record: record.key):
        accuracy, seed = record.accuracy.last, record.cell.seed
        if record.status != "done" or accuracy is None or not math.isfinite(accuracy):
            group.failed[seed] = record.reason or ("no final accuracy" if record.status == "done" else record.status)
            continue
        group.accuracy[seed], group.keys[seed] = _short(100 * float(accuracy)), record.key
        share = (record.curve.memorized or [None])[-1]
        if share is not None and math.isfinite(share):
            group.memorized[seed] = _short(100 * float(share))
    return group


@dataclass(frozen=True)
class Baseline:
    """Content of a baseline file: groups by `identity`, and the `environment` of its records."""

    groups: dict[str, SeedGroup]
    environment: dict[str, list[str]]


def read_baseline(path: Path) -> Baseline:
    """Read the baseline in a file.

    Raises:
        BenchError: the file is missing, torn, or something else.
    """
    advice = "restore it, or write a new one."
    try:
        found = _File.model_validate_json(path.read_text(encoding="utf-8-sig"))
        named = {}
        for row in found.groups:
            cell, content = Cell(**row.cell, seed=0), Content(**row.content)  # with the fields that have come since
            whole = cell.model_dump(exclude={"seed"})
            named[identity(whole, content)] = SeedGroup(
                whole, row.accuracy, row.memorized, row.keys, {}, row.label, content
            )
        if len(named) < len(found.groups):
            raise ValueError("a group twice")
        return Baseline(named, found.environment)
    except OSError as error:
        raise BenchError(
            f'baseline "{path}" cannot be read: {error.strerror}; give an existing file, or {advice}'
        ) from error
    except (TypeError, ValueError) as error:
        raise BenchError(f"{_torn(path, error)}; {advice}") from error


class _Row(BaseModel):
    """A group as it is written."""

    label: str
    cell: dict[str, Any]
    accuracy: dict[int, FiniteFloat] = Field(min_length=1)
    memorized: dict[int, FiniteFloat]
    keys: dict[int, str]
    content: dict[str, str] = {}


class _File(BaseModel):
    """A baseline as it is written."""

    kind: str = Field(pattern=f"^{KIND}$")
    schema_: int = Field(alias="schema", ge=BASELINE_SCHEMA, le=BASELINE_SCHEMA)
    groups: list[_Row]
    environment: dict[str, list[str]]


def _torn(path: Path, error: Exception) -> str:
    problems = error.errors() if isinstance(error, ValidationError) and error.title == _File.__name__ else []
    if isinstance(error, UnicodeDecodeError) or any(one["type"] == "json_invalid" for one in problems):
        return f'baseline "{path}" is torn: it is not valid JSON'
    if any(one["loc"][:1] in ((), ("kind",), ("schema",)) for one in problems):
        return f'"{path}" is not a baseline of schema {BASELINE_SCHEMA}'
    return f'baseline "{path}" is torn: a group in it is incomplete or there twice'


def environment(records: Iterable[Record]) -> dict[str, list[str]]:
    """Collect the packages and processors of the records from their provenance: values by name, sorted."""
    found: dict[str, set[str]] = {}
    for record in records:
        noted = record.provenance
        for name, value in {**noted.versions, **({"processor": noted.processor} if noted.processor else {})}.items():
            found.setdefault(name, set()).add(value)
    return {name: sorted(values) for name, values in sorted(found.items())}


def _row(group: SeedGroup) -> dict[str, Any]:
    values = list(group.accuracy.values())
    return {
        "label": group.label,
        "cell": group.cell,
        "content": {name: value for name, value in group.content._asdict().items() if value},
        "keys": {str(s): key for s, key in sorted(group.keys.items())},
        "accuracy": {str(s): _short(v) for s, v in sorted(group.accuracy.items())},
        "mean": _short(float(np.mean(values))),
        "sd": _short(float(np.std(values, ddof=1))) if len(values) > 1 else None,
        "memorized": {str(s): _short(v) for s, v in sorted(group.memorized.items())},
    }


def _short(value: float) -> float:
    return round(value, 6)
