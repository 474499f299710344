"""Records of one experiment under several seeds as a group, and the committed file of groups that a run is held to."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from bench.errors import BenchError
from bench.grid.options import told
from bench.plugins import METHODS
from bench.records.cell import Cell, noise_text
from bench.records.naming import UNKNOWN, Content, Origin, newest
from bench.records.record import Record
from bench.variants import variant_text

KIND = "noisy-prompt-bench baseline"
SCHEMA = 1
Seeds: TypeAlias = dict[int, float]


@dataclass(frozen=True)
class Group:
    """All cells that differ in the seed alone.

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

    @property
    def label(self) -> str:
        """Dataset, noise and method with the options that are not its defaults, for people."""
        cell = self.cell
        if self.written and cell["method"] not in METHODS:
            return self.written
        method = variant_text(cell["method"], told(cell["method"], cell["options"]))
        subset = "" if cell["subset"] == "all" else f"@{cell['subset']}"
        return f"{cell['dataset']} · {noise_text(cell['noise'], cell['rate'])} · {method}{subset}"

    @property
    def family(self) -> str:
        """What the groups of one method under all noise have in common."""
        cell = {name: value for name, value in self.cell.items() if name not in ("noise", "rate")}
        return json.dumps([cell, self.content.dataset, self.content.backbone], sort_keys=True)


def identity(cell: Cell, content: Content = UNKNOWN) -> str:
    """The name of a cell's group: every field but the seed, and its known contents, as JSON."""
    told = {name: value for name, value in content._asdict().items() if value}
    return json.dumps([cell.model_dump(exclude={"seed"}), told], sort_keys=True)


def write_baseline(records: Iterable[Record], path: Path) -> int:
    """Write what `compare` reads, whole or not at all; returns the number of groups.

    Raises:
        BenchError: no record is done, or the file cannot be written.
    """
    records = newest(records)
    groups = {k: g for k, g in grouped(records).items() if g.accuracy}
    if not groups:
        raise BenchError("no finished record to make a baseline of; run `bench run` first.")
    sd, df = pooled([g.accuracy for g in groups.values()])
    rows = [_row(group) for _, group in sorted(groups.items(), key=lambda item: (item[1].label, item[0]))]
    content = {
        "kind": KIND,
        "schema": SCHEMA,
        "unit": "percent",
        "pooled_sd": _short(sd),
        "pooled_df": df,
        "environment": environment(record for record in records if record.status == "done"),
        "groups": rows,
    }
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise BenchError(f'baseline "{path}" cannot be written: {error.strerror}; give a writable path.') from error
    return len(groups)


def pooled(groups: Iterable[Seeds]) -> tuple[float, int]:
    """Pooled sample standard deviation within groups, and its degrees of freedom (0 where nothing is known).

    Groups that do not vary at all (training-free methods) say nothing about the noise of the others.
    """
    squares = [(float(np.var(list(g.values()), ddof=1)), len(g) - 1) for g in groups if len(set(g.values())) > 1]
    df = sum(d for _, d in squares)
    return (math.sqrt(sum(v * d for v, d in squares) / df), df) if df else (0.0, 0)


def grouped(records: Iterable[Record]) -> dict[str, Group]:
    """The groups by `identity`; skipped records, and folds, which are no experiments of their own, are left out.

    A record that did not finish, and so may not say its contents, goes with those of its cell that may be the same.
    """
    groups: dict[str, Group] = {}
    alike: dict[str, list[Group]] = defaultdict(list)
    chosen = [record for record in newest(records) if record.status != "skipped" and record.cell.fold is None]
    for record in sorted(chosen, key=lambda record: record.status != "done"):
        cell, content, plain = record.cell.model_dump(exclude={"seed"}), Origin(record).content, identity(record.cell)
        if record.status != "done":
            same = [group.content for group in alike[plain] if group.content.may_be(content)]
            content = same[-1] if same else content
        name = identity(record.cell, content)
        if name not in groups:
            groups[name] = Group(cell, {}, {}, {}, {}, content=content)
            alike[plain].append(groups[name])
        group = groups[name]
        accuracy, seed = record.accuracy.last, record.cell.seed
        if record.status != "done" or accuracy is None or not math.isfinite(accuracy):
            group.failed[seed] = record.reason or ("no final accuracy" if record.status == "done" else record.status)
            continue
        group.accuracy[seed], group.keys[seed] = _short(100 * float(accuracy)), record.key
        share = (record.curve.memorized or [None])[-1]
        if share is not None and math.isfinite(share):
            group.memorized[seed] = _short(100 * float(share))
    return {k: g for k, g in groups.items() if g.accuracy or g.failed}


@dataclass(frozen=True)
class Baseline:
    """A baseline as read: groups by `identity`, and the `environment` of its records."""

    groups: dict[str, Group]
    environment: dict[str, list[str]]


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file.

    Raises:
        BenchError: the file is missing, torn, or something else.
    """
    advice = "restore it, or write a new one."
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BenchError(
            f'baseline "{path}" cannot be read: {error.strerror}; give an existing file, or {advice}'
        ) from error
    except ValueError as error:
        raise BenchError(f'baseline "{path}" is torn: it is not valid JSON; {advice}') from error
    if not isinstance(content, dict) or content.get("kind") != KIND or content.get("schema") != SCHEMA:
        raise BenchError(f'"{path}" is not a baseline of schema {SCHEMA}; {advice}')
    try:
        groups = [
            Group(
                row["cell"],
                _seeds(row["accuracy"]),
                _seeds(row["memorized"]),
                _keys(row["keys"]),
                {},
                str(row["label"]),
                Content(**row.get("content", {})),
            )
            for row in content["groups"]
        ]
        named = {identity(Cell(**group.cell, seed=0), group.content): group for group in groups}
        if len(named) < len(groups) or not all(group.accuracy for group in groups):
            raise ValueError("a group twice, or without accuracies")
        return Baseline(named, {name: list(values) for name, values in content["environment"].items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BenchError(f'baseline "{path}" is torn: a group in it is incomplete or there twice; {advice}') from error


def _seeds(values: Mapping[str, float]) -> Seeds:
    seeds = {int(seed): float(value) for seed, value in values.items()}
    if not all(math.isfinite(value) for value in seeds.values()):
        raise ValueError("not finite")
    return seeds


def environment(records: Iterable[Record]) -> dict[str, list[str]]:
    """What the records were made with and on, from their provenance: package or "processor" to its values, sorted."""
    found: dict[str, set[str]] = {}
    for record in records:
        noted = record.provenance
        for name, value in {**noted.versions, **({"processor": noted.processor} if noted.processor else {})}.items():
            found.setdefault(name, set()).add(value)
    return {name: sorted(values) for name, values in sorted(found.items())}


def _row(group: Group) -> dict[str, Any]:
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


def _keys(values: Mapping[str, str]) -> dict[int, str]:
    return {int(seed): str(key) for seed, key in values.items()}


def _short(value: float) -> float:
    return round(value, 6)
