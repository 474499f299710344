"""Plans and runs grids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Unpack

from bench.api.axes import PlanOptions, RunOptions, axes_of, laid_over
from bench.api.plugins import Files, check_reach, import_plugins
from bench.api.results import Place, Results, opened
from bench.data.library import Library
from bench.errors import BenchError
from bench.execution.execute import Request, tidy, train
from bench.execution.observer import Display, Observer
from bench.execution.plan import Plan, make_plan, remarks
from bench.grid.expansion import Grid, PlannedCell, expand
from bench.grid.keys import Versions
from bench.records.cell import Cell
from bench.records.store import Store
from bench.registry import importing
from bench.settings.schema import Config

DEFAULT_GRID: Final = "quick"


def plan(
    grid: str = DEFAULT_GRID,
    *,
    store: Place | None = None,
    plugins: Files = (),
    **options: Unpack[PlanOptions],
) -> Plan:
    """Compare a grid with a store: its cells, which of them are to do, and what these will cost. Runs nothing.

    Args:
        grid: a grid of the settings.
        store: folder, URL or store; None: the one that the settings name, `results`. It need not exist.
        plugins: Python files that register plugins.
        options: axes laid over the grid, see `Axes`; and those of `PlanOptions`.

    Returns:
        A plan, whose `grid.cells` and `todo` are cells for `bench.run`; `counts()` and `estimate` tell the cost.

    Raises:
        BenchError: a name, an axis or a value is unknown or out of range.

    Examples:
        >>> import bench
        >>> plan = bench.plan(method=["coop", "gce-coop"], noise="symmetric", rate=[0.25, 0.5], seed=[1, 2])
        >>> plan.counts()["todo"], [planned.cell.label() for planned in plan.todo[:2]]
    """
    import_plugins(plugins)
    config = laid_over(grid, options)
    return _planned(expand(config, grid), config, opened(store, config), options)


def run(
    cells: str | Plan | Iterable[PlannedCell | Cell] = DEFAULT_GRID,
    *,
    store: Place | None = None,
    workers: int | None = None,
    plugins: Files = (),
    progress: bool = False,
    **options: Unpack[RunOptions],
) -> Results:
    """Train the cells of a grid that have no record yet, in worker processes, as `bench run` does.

    It needs no `if __name__ == "__main__":` and works in a notebook. What is finished stays finished: an interrupted
    run goes on when it is called again.

    Args:
        cells: the name of a grid; or a plan, or cells of one. A plan's cells are `plan.todo` and `plan.grid.cells`.
        store: folder, URL or store of the records; None: the one that the settings name, `results`.
        workers: cells at a time; None: as many as fit.
        plugins: Python files that register plugins; workers import them too. They know no plugin that a notebook, or
            the script that calls this, has registered itself.
        progress: print how far it is, and what is worth knowing of the plan.
        options: axes laid over the grid, see `Axes`; and those of `RunOptions`. With cells: only axes that are no part
            of a cell (timeout, pack, keep_prompts, device). With a plan, `retry` and `rerun` are its own unless named.

    Returns:
        The store, whose tables hold the cells of this call. A cell that did not finish has a record with its reason:
        look at the column "status".

    Raises:
        BenchError: a name, an axis or a value is unknown or out of range; data, weights or files are missing; a plugin
            is out of the workers' reach; or the store cannot be written.
        ClusterLost: the Ray cluster does not answer any more; what was published stays.
        KeyboardInterrupt: after the workers are gone. While Ray runs, SIGTERM and SIGHUP raise it too.

    Examples:
        >>> import bench
        >>> results = bench.run(method=["coop", "gce-coop"], noise="symmetric", rate=[0.25, 0.5], seed=[1, 2])
        >>> results.frame().groupby(["label", "rate"])["last"].mean()
    """
    _refuse_while_importing()
    files = import_plugins(plugins)
    if isinstance(cells, Plan):
        options = {"retry": cells.retry, "rerun": cells.rerun, **options}  # type: ignore[typeddict-item]
    grid, config = _chosen(cells, options)
    results = Results(opened(store, config).root, [planned.key for planned in grid.cells])
    request = Request(
        options.get("scheduler", "auto"), workers, options.get("address"), options.get("fail_fast", False), files,
        options.get("rerun", False),
    )  # fmt: skip
    ready = _planned(grid, config, results, options)
    check_reach([planned.cell for planned in ready.todo], files)
    if ready.todo:
        observer = Display() if progress else Observer()
        for text in remarks(ready, request.rerun):
            observer.note(text)
        train(ready, results, config, request, observer)
    else:
        tidy(results)
    return results


def _refuse_while_importing() -> None:
    """Raise BenchError where a plugin file that is being imported calls `run`."""
    if importing:
        raise BenchError(
            f'bench.run was called while "{importing[0]}" is imported as a plugin; put the call below '
            'if __name__ == "__main__": in it.'
        )


def _chosen(cells: str | Plan | Iterable[PlannedCell | Cell], options: Mapping[str, Any]) -> tuple[Grid, Config]:
    """Resolve the cells to look at, the grid whose settings hold for them, and the settings."""
    if isinstance(cells, str):
        config = laid_over(cells, options)
        return expand(config, cells), config
    name = cells.grid.name if isinstance(cells, Plan) else DEFAULT_GRID
    for axis in axes_of(options):
        if axis in Cell.model_fields or axis == "reference":
            raise BenchError(f"{axis}= cannot change cells that are given; pass it to bench.plan.")
    config = laid_over(name, options)
    versions, found = Versions(Library.of(config.settings.dataset)), {}
    for one in cells.grid.cells if isinstance(cells, Plan) else cells:
        cell = one.cell if isinstance(one, PlannedCell) else one
        key = versions.key(cell)
        found[key] = PlannedCell(key, cell)
    return Grid(name, tuple(found.values())), config


def _planned(grid: Grid, config: Config, store: Store, options: Mapping[str, Any]) -> Plan:
    library, rerun = Library.of(config.settings.dataset), options.get("rerun", False)
    table, retry = config.settings.grid[grid.name], options.get("retry")
    return make_plan(grid, store, retry, library=library, rerun=rerun, pack=table.pack_size, device=table.device)
