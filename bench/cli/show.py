"""`bench show`: a record in words, and the commands that run its cell again."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from bench import console
from bench.cli import record_text
from bench.cli.app import DEFAULT_GRID, ConfigFile, Key, Plugins, StoreRoot, examples, json_option, verbs
from bench.cli.invocation import invocation_of
from bench.cli.selection import Selection
from bench.data.library import Library
from bench.errors import BenchError
from bench.grid.keys import Versions
from bench.records.record import UNFINISHED, Record
from bench.records.store import find_record
from bench.settings.schema import Config

OTHER = "OTHER"  # for the user to put in

app = verbs()


@app.command("show", epilog=examples("bench show 0f3a", "bench show 0f3a --store results/ci", "bench show 0f3a --json"))
def show_record(
    key: Key,
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: Annotated[bool, json_option("Print the record itself.")] = False,
) -> int:
    """Describe a record: cell, accuracies, curve, labels, provenance, and how to run its cell again."""
    selection = Selection(store=store, config=config, plugins=plugin)
    record = find_record(selection.existing(), key)
    if json:
        console.as_json(record.model_dump(by_alias=True))
        return 0
    console.facts(record_text.facts(record))
    columns, rows = record_text.curve(record)
    if rows:
        console.line()
        console.table(columns, rows)
    console.line()
    _print_commands(selection, record)
    return 0


def _print_commands(selection: Selection, record: Record) -> None:
    """Print the commands that run a record's cell again, a line each."""
    found = invocation_of(record.cell, selection.configuration, DEFAULT_GRID)
    kept = " --set keep_prompts=true" if record.cost.prompts_bytes else ""
    if record.status in UNFINISHED:
        console.line(f"to run it again:      {found.command()}{kept} --retry {record.status}{selection.flags()}")
    else:
        elsewhere = replace(selection, store=OTHER).flags()
        console.line(f"in another store:     {found.command()}{kept}{elsewhere}")
    if found.doubt:
        console.line(f"  this may be another cell here: {found.doubt}")
    elif _has_new_key(record, selection.configuration):
        console.line("  this makes another record here: files or versions behind its names have changed")
    console.line(f"to compare the bits:  bench reproduce {record.key}{selection.flags()}")


def _has_new_key(record: Record, config: Config) -> bool:
    """Check whether the record's cell has another key here; false where that is unknown."""
    try:
        return Versions(Library.of(config.settings.dataset)).key(record.cell) != record.key
    except BenchError:
        return False
