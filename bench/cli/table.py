"""`bench table`: the table at the end of a run, for any records of a store."""

from __future__ import annotations

from typing import Annotated

import typer

from bench import console
from bench.cli.app import ConfigFile, Plugins, RecordSets, StoreRoot, examples, verbs
from bench.cli.selection import Selection
from bench.errors import BenchError
from bench.execution.summary import in_order, summary_rows
from bench.grid.expansion import expand
from bench.grid.filters import filtered, unmatched
from bench.records.naming import made_with, mixture
from bench.records.store import uncollected

app = verbs()


@app.command(
    "table",
    epilog=examples(
        "bench table",
        "bench table --set method=coop,gce-coop --set seed=1..3",
        "bench table --grid ci --store results/ci",
    ),
)
@uncollected()
def print_table(
    sets: RecordSets = None,
    grid: Annotated[str | None, typer.Option(help="Only records of cells of this grid.")] = None,
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Print the table that `run` ends with, for the records of a store."""
    selection = Selection(grid, None, store, config, plugin)
    opened = selection.existing()
    where = f'store "{opened.root}"'
    keys = [one.key for one in expand(selection.configuration, grid).cells] if grid else None
    records = in_order(opened.records(keys))
    for problem in opened.problems.values():
        console.warn(problem)
    if not records:
        of = f" of a cell of grid {grid}" if grid else ""
        raise BenchError(f"{where} has no record{of}; run `bench run` first, or change --store or --grid.")
    chosen = filtered(records, sets or (), where)
    for line in unmatched(records, sets or (), where):
        console.warn(line)
    console.table(*summary_rows(chosen))
    if told := mixture(map(made_with, chosen)):
        console.line(told)
    return 0
