"""`bench run`: trains the cells of a grid that have no record, and ends with a table."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from bench import console
from bench.cli.app import (
    DEFAULT_GRID,
    EXIT_UNFINISHED,
    ConfigFile,
    Grid,
    PackSize,
    Plugins,
    Rerun,
    Retry,
    Sets,
    StoreRoot,
    Workers,
    examples,
    json_option,
    verbs,
)
from bench.cli.plan import labels, on_top, planned, skipped
from bench.cli.selection import Selection, with_pack
from bench.data.library import Library
from bench.execution.execute import Request, tidy, train, unfinished
from bench.execution.observer import Display
from bench.execution.plan import Plan, make_plan
from bench.execution.progress import Progress
from bench.execution.summary import summary_rows
from bench.layout import counted
from bench.records.naming import made_with, mixture
from bench.records.record import Record
from bench.schedulers.contract import Pack
from bench.tracking.live import Tracked, chosen_trackers

app = verbs()


class SchedulerName(StrEnum):
    """Schedulers; auto is Ray where more than one worker fits, else local."""

    AUTO = "auto"
    RAY = "ray"
    LOCAL = "local"


@app.command(
    "run",
    epilog=examples(
        "bench run",
        "bench run --grid ci --store results/ci --retry all",
        "bench run --set method=coop,'gce-coop[q=0.5]' --set noise=symmetric --set rate=0.25,0.5 --set seed=1..5",
        "bench run --workers 8 --set backbone=ViT-B-16/openai --tensorboard runs --json",
    ),
)
def run_grid(
    grid: Grid = DEFAULT_GRID,
    sets: Sets = None,
    store: StoreRoot = None,
    scheduler: Annotated[SchedulerName, typer.Option(help="Who runs the workers.")] = SchedulerName.AUTO,
    workers: Workers = None,
    pack: PackSize = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster.")] = None,
    retry: Retry = None,
    rerun: Rerun = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop after the pack of the first cell that does not finish.")
    ] = False,
    tensorboard: Annotated[str | None, typer.Option(help="Also write TensorBoard event files to this folder.")] = None,
    mlflow: Annotated[
        str | None, typer.Option(help="Also write runs to MLflow: a folder, a .db file or a tracking URI.")
    ] = None,
    wandb: Annotated[
        str | None, typer.Option(help="Also write runs of this W&B project, offline unless WANDB_MODE says otherwise.")
    ] = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: Annotated[bool, json_option("Print counts and outcomes as JSON.")] = False,
) -> int:
    """Train the cells of a grid that have no record yet."""
    selection = Selection(grid, with_pack(sets, pack), store, config, plugin)
    request = Request(scheduler.value, workers, address, fail_fast, tuple(plugin or ()), rerun)
    opened = selection.open()
    plan = planned(selection, grid, opened, retry, rerun)
    if plan.todo:
        observer = Tracked(_Narrator(), opened, chosen_trackers(tensorboard, mlflow, wandb))
        progress = train(plan, opened, selection.configuration, request, observer)
    else:
        tidy(opened)
        progress = Progress(0, {}, 1)
        counts = plan.counts()
        console.line(
            f"grid {plan.grid.name}: nothing left to do, {counts['done']} of {counts['cells']} done{skipped(counts)}."
        )
    records = list(opened.records(one.key for one in plan.grid.cells)) if plan.todo or json else []
    if json:
        now = make_plan(plan.grid, opened, library=Library.of(selection.configuration.settings.dataset))
        console.as_json({"store": opened.root, **now.counts(), **_outcomes(plan, records, progress)})
    return _end(selection, plan, records, progress)


class _Narrator(Display):
    """Display that says in words what is done."""

    told: Sequence[str] = ()  # of the nodes of a cluster

    def begin(self, plan: Plan, packs: Sequence[Pack], workers: int | None, where: str) -> None:
        many = "as many workers as the cluster has room for" if workers is None else counted(workers, "worker")
        alone = " of one worker" * (workers is None)
        console.line(
            f"grid {plan.grid.name}: {len(plan.todo)} of {len(plan.grid.cells)} cells to run, {many} "
            f"({where}), about {console.duration(plan.duration(packs, workers or 1))}{alone}{on_top(plan)}, "
            f"in {counted(len(packs), 'pack')}."
        )

    def nodes(self, lines: list[str]) -> None:
        if lines != self.told:
            self.told = lines
            for text in lines:
                console.line(text)

    def encoded(self, images: int, seconds: float) -> None:
        if images:
            console.line(f"encoded {images:,} images in {console.duration(seconds)}, {images / seconds:.1f} a second.")

    def end(self, progress: Progress) -> None:
        own = len(progress.done) - progress.elsewhere
        others = f"; {counted(progress.elsewhere, 'cell')} done by another run" if progress.elsewhere else ""
        console.line(f"ran {counted(own, 'cell')} in {console.duration(progress.elapsed)}{others}.")


def _end(selection: Selection, plan: Plan, records: list[Record], progress: Progress) -> int:
    """Print summary, unfinished cells with their reasons, and the next command; returns the exit code."""
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
    console.line(f"next: bench report{selection.flags_to('report')}")
    if any(one.cell.fold for one in plan.grid.cells):
        console.line(f"labels that are probably wrong: bench suspects{selection.flags_to('suspects')}")
    return EXIT_UNFINISHED if left else 0


def _outcomes(plan: Plan, records: list[Record], progress: Progress) -> dict[str, Any]:
    """Describe what was run now, and every cell of the grid; one without a record is to do."""
    found = {record.key: record for record in records}
    cells = [
        {
            "key": one.key,
            "label": label,
            "status": record.status if record else "to do",
            "reason": record.reason if record else None,
            "accuracy": record.accuracy.last if record else None,
        }
        for one, label in zip(plan.grid.cells, labels(plan.grid), strict=True)
        for record in (found.get(one.key),)
    ]
    ran = len(progress.done) - progress.elsewhere
    return {"ran": ran, "seconds": round(progress.elapsed, 1) if plan.todo else 0.0, "outcomes": cells}
