"""`bench plan`: what a grid has left to do, and what that would cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bench import console, dataset_name
from bench.cli.app import (
    DEFAULT_GRID,
    AsJson,
    ConfigFile,
    PackSize,
    Plugins,
    Rerun,
    Retry,
    Sets,
    StoreRoot,
    Workers,
    examples,
    verbs,
)
from bench.cli.app import Grid as GridName
from bench.cli.selection import Selection, with_pack
from bench.data.library import Library
from bench.execution.plan import Plan, make_plan, remarks
from bench.execution.summary import SHOWN_FIELDS
from bench.grid.expansion import Grid, expand
from bench.grid.options import method_variant
from bench.layout import counted
from bench.machine import WORKER_BYTES, Machine, this_machine
from bench.records.cell import Cell, noise_text
from bench.records.store import Store, uncollected

app = verbs()


@app.command(
    "plan",
    epilog=examples(
        "bench plan --grid embedded",
        "bench plan --grid ci --store results/ci --cells",
        "bench plan --set backbone=ViT-B-16/openai --set seed=1..3 --json",
    ),
)
@uncollected()
def plan_grid(
    grid: GridName = DEFAULT_GRID,
    sets: Sets = None,
    store: StoreRoot = None,
    retry: Retry = None,
    rerun: Rerun = False,
    workers: Workers = None,
    pack: PackSize = None,
    cells: Annotated[bool, typer.Option("--cells", help="Also a line per cell: key, what it is, status.")] = False,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Count the cells of a grid that are done, failed and to do, and estimate time, memory and disk."""
    selection = Selection(grid, with_pack(sets, pack), store, config, plugin)
    made = planned(selection, grid, selection.open(), retry, rerun)
    machine = this_machine(selection.configuration.settings.grid[grid].device)
    count = made.fitting(machine, workers)
    counts = made.counts(count)
    if machine.gpus:
        counts |= _on_gpus(made, machine, count)
    counts["memory_bytes"] = counts["workers"] * WORKER_BYTES if made.todo else 0
    if json:
        console.as_json(counts | ({"planned": _rows(made)} if cells else {}))
        return 0
    _tell(made, counts)
    if cells:
        console.line()
        console.table(["key", "cell", "status"], [[row["key"], row["label"], row["status"]] for row in _rows(made)])
    return 0


def planned(selection: Selection, grid: str, store: Store, retry: str | None, rerun: bool) -> Plan:
    """Compare a grid with a store, and print what there is to note of the two."""
    settings = selection.configuration
    library = Library.of(settings.settings.dataset)
    table = settings.settings.grid[grid]
    pack = table.pack_size
    plan = make_plan(expand(settings, grid), store, retry, library=library, rerun=rerun, pack=pack, device=table.device)
    for text in remarks(plan, rerun):
        console.warn(text)
    return plan


def _tell(plan: Plan, counts: Mapping[str, Any]) -> None:
    console.line(
        f"grid {plan.grid.name}: {counts['cells']} cells ({counts['reference']} of them reference rows), "
        f"{counts['done']} done, {counts['failed']} failed{skipped(counts)}, {counts['todo']} to do"
        + (f" in {counted(counts['packs'], 'pack')}." if plan.todo else ".")
    )
    if plan.todo:
        basis = f"{plan.estimate.measured} of {len(plan.todo)} from records of like cells, the others from a default"
        if foreign := len(plan.estimate.elsewhere):
            basis += f", {foreign} by other machines' records alone"
        time = f"{console.duration(counts['estimate_seconds'])}{on_top(plan)} on {counted(counts['workers'], 'worker')}"
        time += (
            f" and {console.duration(counts['start_seconds'])} to start {'it' if counts['workers'] == 1 else 'them'}"
        )
        console.line(
            f"about {time} ({basis}), "
            f"{counts['memory_bytes'] / 2**30:.1f} GiB of memory, {counts['disk_bytes'] / 2**20:.1f} MiB of disk."
        )
        if "gpu_trial_bytes" in counts:
            source = "by peaks of like cells" if counts["gpu_memory_measured"] else "until a like cell is measured"
            console.line(
                f"{counts['gpu_trial_bytes'] / 2**30:.1f} GiB of GPU memory a worker ({source}), "
                f"{counted(counts['workers_per_gpu'], 'worker')} to a GPU."
            )
    for record in plan.unfinished:
        console.line(f"  {record.cell.label()}: {record.status}: {record.reason}")


def _on_gpus(plan: Plan, machine: Machine, workers: int) -> dict[str, Any]:
    """Return what each worker is thought to take of a GPU in bytes, and how many share one."""
    peak = plan.estimate.gpu_memory(plan.packs(workers))
    return {
        "gpu_trial_bytes": int(machine.need(peak)),
        "gpu_memory_measured": peak > 0,
        "workers_per_gpu": math.ceil(workers / machine.gpus),
    }


def _rows(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "key": one.key,
            "label": label,
            "status": plan.state(one.key),
            "reference": one.reference,
            "cell": one.cell.model_dump(),
        }
        for one, label in zip(plan.grid.cells, labels(plan.grid), strict=True)
    ]


def labels(grid: Grid) -> list[str]:
    """Describe each cell of a grid by data set, noise, method and seed, and by what else differs between them."""
    fields = [name for name in Cell.model_fields if name not in SHOWN_FIELDS]
    varying = [name for name in fields if len({getattr(one.cell, name) for one in grid.cells}) > 1]
    return [
        " · ".join([
            dataset_name.shown(cell.dataset), noise_text(cell.noise, cell.rate),
            method_variant(cell.method, cell.options) + cell.suffix, f"seed {cell.seed}",
            *(f"{name.replace('_', ' ')} {getattr(cell, name)}" for name in varying),
        ])
        for cell in (one.cell for one in grid.cells)
    ]  # fmt: skip


def skipped(counts: Mapping[str, Any]) -> str:
    """Count cells that do not apply to their data, as the end of a phrase."""
    return f", {counts['skipped']} skipped" if counts["skipped"] else ""


def on_top(plan: Plan) -> str:
    """Describe what the estimate leaves out."""
    return f" (and image features of {', '.join(plan.from_files)}, if not stored yet)" if plan.from_files else ""
