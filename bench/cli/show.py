"""`bench show` and `bench table`: records seen again, without training or a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench import console
from bench.cli import record_text
from bench.cli.commands import DEFAULT_GRID, Selection
from bench.cli.invocation import invocation
from bench.data.library import Library
from bench.errors import BenchError
from bench.execution.summary import in_order, summary_rows
from bench.grid.expand import expand
from bench.grid.filters import filtered, unmatched
from bench.grid.keys import Versions
from bench.records.naming import made_with, mixture
from bench.records.record import UNFINISHED, Record
from bench.records.store import find_record
from bench.settings.schema import Config

OTHER = "OTHER"  # for the user to put in


def show_record(selection: Selection, key: str, as_json: bool) -> int:
    """`bench show`: a record in words, or as it is."""
    config = selection.load()
    store = selection.existing(config)
    record = find_record(store, key)
    if as_json:
        console.as_json(record.model_dump(by_alias=True))
        return 0
    console.facts(record_text.facts(record))
    columns, rows = record_text.curve(record)
    if rows:
        console.line()
        console.table(columns, rows)
    console.line()
    _again(selection, record, config)
    return 0


def show_table(selection: Selection, sets: Sequence[str]) -> int:
    """`bench table`: the summary of the records chosen.

    Args:
        selection: of the store, and of the grid whose cells alone count, if any.
        sets: filters, see `bench.grid.filters`.
    """
    config = selection.load()
    store = selection.existing(config)
    where = f'store "{store.root}"'
    keys = [planned.key for planned in expand(config, selection.grid).cells] if selection.grid else None
    records = in_order(store.records(keys))
    for problem in store.problems.values():
        console.warn(problem)
    if not records:
        of = f" of a cell of grid {selection.grid}" if selection.grid else ""
        raise BenchError(f"{where} has no record{of}; run `bench run` first, or change --store or --grid.")
    chosen = filtered(records, sets, where)
    for line in unmatched(records, sets, where):
        console.warn(line)
    console.table(*summary_rows(chosen))
    if told := mixture(map(made_with, chosen)):
        console.line(told)
    return 0


def _again(selection: Selection, record: Record, config: Config) -> None:
    """The commands that make a record again, each in a line of its own."""
    found = invocation(record.cell, config, DEFAULT_GRID)
    kept = " --set keep_prompts=true" if record.cost.prompts_bytes else ""
    if record.status in UNFINISHED:
        console.line(f"to run it again:      {found.command()}{kept} --retry {record.status}{selection.flags()}")
    else:
        elsewhere = replace(selection, store=OTHER).flags()
        console.line(f"in another store:     {found.command()}{kept}{elsewhere}")
    if found.doubt:
        console.line(f"  which may not be this cell here: {found.doubt}")
    elif _moved_on(record, config):
        console.line("  which makes another record here: files or versions behind its names are others now")
    console.line(f"to compare the bits:  bench reproduce {record.key}{selection.flags()}")


def _moved_on(record: Record, config: Config) -> bool:
    """Whether what the cell's names stand for here makes another key; not where that cannot be told."""
    try:
        return Versions(Library.of(config.settings.dataset)).key(record.cell) != record.key
    except BenchError:
        return False
