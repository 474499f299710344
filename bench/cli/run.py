"""`bench run`: trains what a grid lacks, tells how far that is, and ends with a table."""

from __future__ import annotations

import shlex
import time
from enum import StrEnum
from typing import Annotated, Any

import typer

from bench import console
from bench.cli.app import (
    DEFAULT_GRID,
    EXIT_UNFINISHED,
    ConfigFile,
    Grid,
    Plugins,
    Rerun,
    Retry,
    Sets,
    StoreRoot,
    Workers,
    examples,
    for_a_program,
    verbs,
)
from bench.cli.plan import labels, on_top, plural, skipped
from bench.cli.selection import Selection
from bench.data.library import Library
from bench.execution.execute import Request, Setup, execute_plan, left_out, make_ready, set_up, unfinished
from bench.execution.plan import Plan, make_plan
from bench.execution.progress import Progress, shown
from bench.execution.summary import summary_rows
from bench.grid.expansion import expand
from bench.grid.freshness import stale_lines
from bench.records.naming import made_with, mixture
from bench.records.record import Record
from bench.records.store import Store
from bench.settings.schema import Config

app = verbs()


class SchedulerName(StrEnum):
    """Schedulers; auto is Ray where more than one worker fits, else local."""

    AUTO = "auto"
    RAY = "ray"
    LOCAL = "local"


@app.command(
    epilog=examples(
        "bench run",
        "bench run --grid ci --store results/ci --retry all",
        "bench run --set method=coop,'gce-coop[q=0.5]' --set noise=symmetric --set rate=0.25,0.5 --set seed=1..5",
        "bench run --workers 8 --set backbone=ViT-B-16/openai --json",
    )
)
def run(
    grid: Grid = DEFAULT_GRID,
    sets: Sets = None,
    store: StoreRoot = None,
    scheduler: Annotated[SchedulerName, typer.Option(help="Who runs the workers.")] = SchedulerName.AUTO,
    workers: Workers = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster.")] = None,
    retry: Retry = None,
    rerun: Rerun = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first cell that does not finish.")
    ] = False,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: Annotated[
        bool, typer.Option("--json", callback=for_a_program, help="Print counts and outcomes as JSON.")
    ] = False,
) -> int:
    """Train the cells of a grid that have no record yet."""
    selection = Selection(grid, sets, store, config, plugin)
    request = Request(scheduler.value, workers, address, fail_fast, tuple(plugin or ()), rerun)
    settings = selection.load()
    opened = selection.open(settings)
    library = Library.of(settings.settings.dataset)
    plan = make_plan(expand(settings, grid), opened, retry, library=library, rerun=rerun)
    for text in (*plan.grid.notes, *plan.problems, *stale_lines(plan.stale, rerun)):
        console.warn(text)
    if plan.todo:
        progress = _train(plan, opened, settings, request)
    else:
        progress = Progress(0, {}, 1)
        counts = plan.counts()
        console.line(
            f"grid {plan.grid.name}: nothing left to do, {counts['done']} of {counts['cells']} done{skipped(counts)}."
        )
    records = list(opened.records(planned.key for planned in plan.grid.cells)) if plan.todo or json else []
    if json:
        now = make_plan(plan.grid, opened, library=library)
        console.as_json({"store": opened.root, **now.counts(), **_outcomes(plan, records, progress)})
    return _end(selection, plan, records, progress)


def _train(plan: Plan, store: Store, config: Config, request: Request) -> Progress:
    """Run what is to do, with a word on each step."""
    setup = set_up(plan, config, request)
    console.line(
        f"grid {plan.grid.name}: {len(plan.todo)} of {len(plan.grid.cells)} cells to run, {plural(setup.workers)} "
        f"({setup.name}, {setup.device}), about {console.duration(plan.estimate.total / setup.workers)}{on_top(plan)}."
    )
    for text in left_out(plan, config):
        console.warn(text)
    _encode(plan, config, setup, request)
    for key in [planned.key for planned in plan.todo if planned.key in store.problems]:
        console.warn(f"{key}.json in the store is no record of this version and is kept as {store.set_aside(key)}.")
    with shown(len(plan.todo), {planned.key: planned.cell.label() for planned in plan.todo}) as listen:
        progress = execute_plan(plan, store, config, setup, request, listen)
    console.line(f"ran {len(progress.done)} cells in {console.duration(progress.elapsed)}.")
    return progress


def _encode(plan: Plan, config: Config, setup: Setup, request: Request) -> None:
    began = time.monotonic()
    with console.amount("image features", "images") as report:
        images = make_ready(plan, config, setup, request, report)
    if images:
        seconds = time.monotonic() - began
        console.line(f"encoded {images:,} images in {console.duration(seconds)}, {images / seconds:.1f} a second.")


def _end(selection: Selection, plan: Plan, records: list[Record], progress: Progress) -> int:
    """Summary, unfinished cells with their reasons, and the next command; returns the exit code."""
    if plan.todo:
        console.table(*summary_rows(records))
        if told_apart := mixture(map(made_with, records)):
            console.line(told_apart)
    left = unfinished(plan, progress)
    if left:
        console.complaint(f"{len(left)} of {len(plan.grid.cells)} cells did not finish:")
        for label, reason in left:
            console.complaint(f"  {label}: {reason}")
        sets = "".join(f" --set {shlex.quote(text)}" for text in selection.sets or ())
        chosen = f"--grid {shlex.quote(plan.grid.name)}{sets}"
        console.line(f"to run them again: bench run {chosen} --retry all{selection.flags()}")
    console.line(f"next: bench report{selection.flags()}")
    if any(planned.cell.fold for planned in plan.grid.cells):
        console.line(f"labels that are probably wrong: bench suspects{selection.flags()}")
    return EXIT_UNFINISHED if left else 0


def _outcomes(plan: Plan, records: list[Record], progress: Progress) -> dict[str, Any]:
    """What was run now, and what every cell of the grid has come to; a cell without a record is to do."""
    found = {record.key: record for record in records}
    cells = [
        {
            "key": planned.key,
            "label": label,
            "status": record.status if record else "to do",
            "reason": record.reason if record else None,
            "accuracy": record.accuracy.last if record else None,
        }
        for planned, label in zip(plan.grid.cells, labels(plan.grid), strict=True)
        for record in (found.get(planned.key),)
    ]
    return {"ran": len(progress.done), "seconds": round(progress.elapsed, 1) if plan.todo else 0.0, "outcomes": cells}
