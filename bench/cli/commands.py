"""What the verbs of the command line do."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import console
from bench.data.library import Library
from bench.errors import BenchError
from bench.execution.execute import Request, execute_plan, left_out, make_ready, set_up, unfinished
from bench.execution.plan import Plan, make_plan
from bench.execution.progress import Progress, shown
from bench.execution.summary import summary_rows
from bench.grid.code import read_plugins
from bench.grid.expand import expand
from bench.grid.freshness import told
from bench.grid.overrides import override
from bench.machine import WORKER_BYTES, this_machine
from bench.records.naming import made_with, mixture
from bench.records.store import Store
from bench.registry import load_plugin_file
from bench.settings.schema import Config, load_config

EXIT_UNFINISHED = 4
DEFAULT_GRID = "quick"


@dataclass(frozen=True)
class Selection:
    """Options that several verbs share; `grid` and `store` are None where the user named none."""

    grid: str | None
    sets: Sequence[str]
    store: str | None
    config: str | None
    plugins: Sequence[str]
    retry: str | None = None

    def load(self) -> Config:
        """The settings, with plugins imported and `--set` laid over the grid."""
        for plugin in self.plugins:
            load_plugin_file(plugin)
        read_plugins()
        config = load_config(self.config)
        return override(config, self.grid or DEFAULT_GRID, self.sets) if self.sets or self.grid else config

    def open(self, config: Config) -> Store:
        """The store that was named, or the settings' own."""
        return Store(self.store or config.settings.paths.store)

    def existing(self, config: Config) -> Store:
        """As `open`.

        Raises:
            BenchError: it does not exist.
        """
        store = self.open(config)
        if not store.exists():
            raise BenchError(f'store "{store.root}" does not exist; run `bench run` first, or change --store.')
        return store

    def flags(self) -> str:
        """The options that lead another verb to the same store, as a shell takes them."""
        given = [("store", self.store), ("config", self.config), *(("plugin", plugin) for plugin in self.plugins)]
        return "".join(f" --{name} {shlex.quote(value)}" for name, value in given if value)


def run_grid(selection: Selection, request: Request) -> int:
    """`bench run`."""
    config = selection.load()
    store = selection.open(config)
    library = Library.of(config.settings.dataset)
    grid = expand(config, selection.grid or DEFAULT_GRID)
    plan = make_plan(grid, store, selection.retry, library=library, rerun=request.rerun)
    for text in (*plan.grid.notes, *plan.problems, *told(plan.stale, request.rerun)):
        console.warn(text)
    if not plan.todo:
        counts = plan.counts()
        console.line(
            f"grid {plan.grid.name}: nothing left to do, {counts['done']} of {counts['cells']} done{_skipped(counts)}."
        )
        return _end(selection, plan, store, None)
    setup = set_up(plan, config, request)
    console.line(
        f"grid {plan.grid.name}: {len(plan.todo)} of {len(plan.grid.cells)} cells to run, {_plural(setup.workers)} "
        f"({setup.name}, {setup.device}), about {console.duration(plan.estimate.total / setup.workers)}{_on_top(plan)}."
    )
    for text in left_out(plan, config):
        console.warn(text)
    began = time.monotonic()
    with console.amount("image features", "images") as report:
        images = make_ready(plan, config, setup, request, report)
    if images:
        seconds = time.monotonic() - began
        console.line(f"encoded {images:,} images in {console.duration(seconds)}, {images / seconds:.1f} a second.")
    for key in [planned.key for planned in plan.todo if planned.key in store.problems]:
        console.warn(f"{key}.json in the store is no record of this version and is kept as {store.set_aside(key)}.")
    labels = {planned.key: planned.cell.label() for planned in plan.todo}
    with shown(len(plan.todo), labels) as listen:
        progress = execute_plan(plan, store, config, setup, request, listen)
    console.line(f"ran {len(progress.done)} cells in {console.duration(progress.elapsed)}.")
    return _end(selection, plan, store, progress)


def _end(selection: Selection, plan: Plan, store: Store, progress: Progress | None) -> int:
    """Summary, unfinished cells with their reasons, and the next command; returns the exit code."""
    if progress is not None:
        records = list(store.records(planned.key for planned in plan.grid.cells))
        console.table(*summary_rows(records))
        if told_apart := mixture(map(made_with, records)):
            console.line(told_apart)
    left = unfinished(plan, progress or Progress(0, {}, 1))
    if left:
        console.line(f"{len(left)} of {len(plan.grid.cells)} cells did not finish:")
        for label, reason in left:
            console.line(f"  {label}: {reason}")
        chosen = f"--grid {shlex.quote(plan.grid.name)}{_sets(selection)}"
        console.line(f"to run them again: bench run {chosen} --retry all{selection.flags()}")
    console.line(f"next: bench report{selection.flags()}")
    if any(planned.cell.fold for planned in plan.grid.cells):
        console.line(f"labels that are probably wrong: bench suspects{selection.flags()}")
    return EXIT_UNFINISHED if left else 0


def _sets(selection: Selection) -> str:
    return "".join(f" --set {shlex.quote(text)}" for text in selection.sets)


def _skipped(counts: Mapping[str, Any]) -> str:
    """How many cells have no meaning for their data, which is no failure; nothing where none has."""
    return f", {counts['skipped']} skipped" if counts["skipped"] else ""


def _plural(workers: int) -> str:
    return f"{workers} worker{'s' if workers > 1 else ''}"


def _on_top(plan: Plan) -> str:
    """What the estimate does not hold, in words."""
    return f" (and image features of {', '.join(plan.from_files)}, if not stored yet)" if plan.from_files else ""


def show_plan(selection: Selection, workers: int | None, as_json: bool, rerun: bool = False) -> int:
    """`bench plan`."""
    config = selection.load()
    grid = expand(config, selection.grid or DEFAULT_GRID)
    plan = make_plan(
        grid, selection.open(config), selection.retry, library=Library.of(config.settings.dataset), rerun=rerun
    )
    machine = this_machine(config.settings.grid[grid.name].device)
    count = machine.workers(workers, max(1, len(plan.todo)), plan.estimate.gpu_memory)
    counts = plan.counts(count) | {"memory_bytes": count * WORKER_BYTES if plan.todo else 0}
    for text in (*grid.notes, *plan.problems, *told(plan.stale, rerun)):
        console.warn(text)
    if as_json:
        console.as_json(counts)
        return 0
    console.line(
        f"grid {grid.name}: {counts['cells']} cells ({counts['reference']} of them reference rows), "
        f"{counts['done']} done, {counts['failed']} failed{_skipped(counts)}, {counts['todo']} to do."
    )
    if plan.todo:
        basis = f"{plan.estimate.measured} of {len(plan.todo)} from records of like cells, the others from a default"
        console.line(
            f"about {console.duration(counts['estimate_seconds'])}{_on_top(plan)} on {_plural(count)} ({basis}), "
            f"{counts['memory_bytes'] / 2**30:.1f} GiB of memory, {counts['disk_bytes'] / 2**20:.1f} MiB of disk."
        )
    for record in plan.unfinished:
        console.line(f"  {record.cell.label()}: {record.status}: {record.reason}")
    return 0


def write_report(selection: Selection, formats: set[str], out: str | None, published: bool, figures: int | None) -> int:
    """`bench report`."""
    from bench.reports.build import FORMATS, build
    from bench.reports.figures.kinds import MOST

    config = selection.load()
    store = selection.existing(config)
    if out is None and "://" in store.root:
        raise BenchError(f'store "{store.root}" is a URL; name the folder of the report with --out.')
    folder = Path(out or Path(store.root) / "report")
    files = build(store, folder, frozenset(formats) or FORMATS, published, MOST if figures is None else figures)
    for problem in store.problems.values():
        console.warn(problem)
    console.line(f"report: {files[0]} and {len(files) - 1} more files in {files[0].parent}")
    return 0


def show_config(selection: Selection, as_json: bool) -> int:
    """`bench config`: as TOML, which can be copied into a settings file."""
    config = selection.load()
    if as_json:
        console.as_json(config.entries())
        return 0
    for place, value, origin in config.layers.flat():
        console.line(f"{'.'.join(map(_key, place))} = {_toml(value)}  # {origin}")
    return 0


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _toml(value: Any) -> str:
    """A value in one line, as TOML; its strings are escaped as those of JSON."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_toml(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
