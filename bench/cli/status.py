"""`bench status`: the records of a store, counted, and how far its grids are."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from bench import console, dataset_name
from bench.cli.app import AsJson, ConfigFile, Plugins, StoreRoot, examples, verbs
from bench.cli.selection import Selection
from bench.clip import identity
from bench.errors import BenchError
from bench.execution.plan import Plan, make_plan
from bench.execution.summary import in_order, row_names
from bench.grid.expansion import Grid, expand
from bench.records.record import UNFINISHED, Record
from bench.records.store import Store, uncollected
from bench.settings.schema import Config

NAMES = ("dataset", "noise", "method")
COUNTS = ("done", "failed", "skipped")
MOST = 40  # rows of one table, and unfinished cells that are named
Group = dict[str, Any]

app = verbs()


class Snapshot(Store):
    """Store whose records are read once."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._known: dict[str, Record | None] = {}

    def read_many(self, keys: Sequence[str]) -> list[Record | None]:
        """Read those that are not known yet."""
        new = [key for key in keys if key not in self._known]
        self._known.update(zip(new, super().read_many(new), strict=True))
        return [self._known[key] for key in keys]


@app.command(
    "status",
    epilog=examples(
        "bench status", "bench status --grid ci --store results/ci", "bench status --cells", "bench status --json"
    ),
)
@uncollected()
def count_records(
    grid: Annotated[str | None, typer.Option(help="Count this grid alone.  [default: all that were begun]")] = None,
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    cells: Annotated[bool, typer.Option("--cells", help="Also a line per record: key, what it is, status.")] = False,
    json: AsJson = False,
) -> int:
    """Count the records of a store by data set, noise and method, and the cells of its grids."""
    selection = Selection(grid, None, store, config, plugin)
    settings = selection.configuration
    snapshot = Snapshot(selection.existing().root)
    if grid:
        plans = [make_plan(expand(settings, grid), snapshot)]
        records = in_order(snapshot.records(planned.key for planned in plans[0].grid.cells))
    else:
        records = in_order(snapshot.records())
        plans = [make_plan(begun, snapshot) for begun in _begun(settings, records)]
    groups = _groups(records)
    total = {"store": snapshot.root, **_total(plans, records)}
    counts = [plan.counts() for plan in plans]
    named = [{"key": one.key, "label": one.cell.label(), "status": one.status} for one in records if cells]
    if json:
        console.as_json({**total, "grids": counts, "groups": groups, **({"recorded": named} if cells else {})})
        return 0
    for problem in snapshot.problems.values():
        console.warn(problem)
    states = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in total["by_status"].items())
    console.line(f"{snapshot.root}: {len(records)} records{': ' if states else ''}{states}.")
    _tables(groups, selection)
    if cells:
        console.line()
        console.table(["key", "cell", "status"], [list(one.values()) for one in named])
    if plans:
        columns = ["grid", "cells", "done", "failed", "todo"]
        console.line()
        console.table(columns, [[str(one[column]) for column in columns] for one in counts])
    _unfinished(records, selection)
    return 0


def _tables(groups: Sequence[Group], selection: Selection) -> None:
    """Print one table of all groups, or where these are many one per name."""
    if len(groups) <= MOST:
        if groups:
            _table(NAMES, groups)
        return
    for name in NAMES:
        _table([name], _added(groups, name))
        console.line()
    chosen = f" --grid {shlex.quote(selection.grid)}" if selection.grid else ""
    console.line(f"by data set, noise and method together: bench table{chosen}{selection.flags()}")


def _table(names: Sequence[str], groups: Sequence[Group]) -> None:
    shown = [count for count in COUNTS if count == "done" or any(group[count] for group in groups)]
    rows = [[*(group[name] for name in names), str(group["records"]), *(str(group[count] or "") for count in shown),
             str(len(group["seeds"]))] for group in groups]  # fmt: skip
    console.table([*names, "records", *shown, "seeds"], rows)


def _unfinished(records: Iterable[Record], selection: Selection) -> None:
    left = [record for record in records if record.status in UNFINISHED]
    for record in left[:MOST]:
        console.line(f"  {record.key}: {record.cell.label()}: {record.status}: {record.reason}")
    if len(left) > MOST:
        console.line(f"  and {len(left) - MOST} more.")
    if left:
        console.line(f"one of them in full: bench show {left[0].key}{selection.flags()}")


def _groups(records: Sequence[Record]) -> list[Group]:
    """Count records that differ in seed or fold alone."""
    found: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record, name in zip(records, row_names(records), strict=True):
        found[name].append(record)
    return [{**dict(zip(NAMES, name, strict=True)), **_counts(group)} for name, group in found.items()]


def _counts(records: Sequence[Record]) -> Group:
    states = Counter(record.status for record in records)
    return {
        "records": len(records),
        "done": states["done"],
        "failed": sum(states[status] for status in UNFINISHED),
        "skipped": states["skipped"],
        "seeds": sorted({record.cell.seed for record in records}),
    }


def _added(groups: Sequence[Group], name: str) -> list[Group]:
    """Add up the groups of each value of one name."""
    found: dict[str, Group] = {}
    for group in groups:
        one = found.setdefault(group[name], {name: group[name], **dict.fromkeys(("records", *COUNTS), 0), "seeds": []})
        for count in ("records", *COUNTS):
            one[count] += group[count]
        one["seeds"] = sorted({*one["seeds"], *group["seeds"]})
    return list(found.values())


def _total(plans: Sequence[Plan], records: Sequence[Record]) -> dict[str, Any]:
    """Count the records, and the distinct cells of the plans that are still to do."""
    todo = {key: seconds for plan in plans for key, seconds in plan.expected(plan.packs()).items()}
    return {
        "records": len(records),
        "cells": len(records) + len(todo),
        **{name: count for name, count in _counts(records).items() if name in COUNTS},
        "todo": len(todo),
        "estimate_seconds": round(sum(todo.values()), 1),
        "by_status": dict(sorted(Counter(record.status for record in records).items())),
    }


def _begun(config: Config, records: Sequence[Record]) -> list[Grid]:
    """Find the smallest grids of the settings that account for the records of a store.

    A large grid shares cells with a small one; it counts only where it has a record that no smaller one has.
    """
    grids = []
    datasets, backbones = ({getattr(record.cell, name) for record in records} for name in ("dataset", "backbone"))
    for name, table in config.settings.grid.items():
        try:
            if datasets.isdisjoint(map(dataset_name.canonical, table.dataset)):
                continue
            if not backbones.isdisjoint(map(identity.canonical, table.backbone)):
                grids.append(expand(config, name))
        except BenchError:  # it needs a plugin that is not here, and nobody asked for it by name
            continue
    begun, left = [], {record.key for record in records}
    for grid in sorted(grids, key=lambda grid: len(grid.cells)):
        if own := {planned.key for planned in grid.cells} & left:
            begun.append(grid)
            left -= own
    return begun
