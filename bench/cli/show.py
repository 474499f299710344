"""`bench show`: a record in words, and the commands that make it again."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from bench import console
from bench.cli import record_text
from bench.cli.app import DEFAULT_GRID, ConfigFile, Key, Plugins, StoreRoot, examples, for_a_program, verbs
from bench.cli.invocation import invocation
from bench.cli.selection import Selection
from bench.data.library import Library
from bench.errors import BenchError
from bench.grid.keys import Versions
from bench.records.record import UNFINISHED, Record
from bench.records.store import find_record
from bench.settings.schema import Config

OTHER = "OTHER"  # for the user to put in

app = verbs()


@app.command(epilog=examples("bench show 0f3a", "bench show 0f3a --store results/ci", "bench show 0f3a --json"))
def show(
    key: Key,
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: Annotated[bool, typer.Option("--json", callback=for_a_program, help="Print the record itself.")] = False,
) -> int:
    """Tell what a record holds: cell, accuracies, curve, labels, provenance, and how to make it again."""
    selection = Selection(store=store, config=config, plugins=plugin)
    settings = selection.load()
    record = find_record(selection.existing(settings), key)
    if json:
        console.as_json(record.model_dump(by_alias=True))
        return 0
    console.facts(record_text.facts(record))
    columns, rows = record_text.curve(record)
    if rows:
        console.line()
        console.table(columns, rows)
    console.line()
    _again(selection, record, settings)
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
