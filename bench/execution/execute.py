"""Run a plan: packs, scheduler, outcomes, and cells that were lost on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from bench.data.library import Library
from bench.dataset_name import embedded, shown
from bench.errors import BenchError, did_you_mean
from bench.execution import preflight
from bench.execution.collector import Collector
from bench.execution.observer import Observer
from bench.execution.packs import MOST, pack_seconds
from bench.execution.plan import Plan
from bench.execution.progress import Progress
from bench.machine import cpus, this_machine
from bench.records.store import Store
from bench.schedulers.claims import NOBODY, Claims, Fleet
from bench.schedulers.contract import ClusterLost, Pack, Scheduler
from bench.schedulers.work import Work
from bench.settings.schema import Config

SchedulerName = Literal["auto", "ray", "local"]
SCHEDULERS: tuple[SchedulerName, ...] = get_args(SchedulerName)


@dataclass(frozen=True)
class Request:
    """User's request for running a plan.

    Attributes:
        scheduler: "auto" is Ray where more than one worker fits, else local.
        workers: at a time; None for what fits.
        address: of a running Ray cluster.
        fail_fast: stop after the pack of the first cell that does not finish.
        plugins: files that workers import too.
        rerun: whether done records of other code or data are replaced.

    Raises:
        BenchError: there is no such scheduler, or no such number of workers.
    """

    scheduler: SchedulerName = "auto"
    workers: int | None = None
    address: str | None = None
    fail_fast: bool = False
    plugins: tuple[str, ...] = ()
    rerun: bool = False

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise BenchError(f'unknown scheduler "{self.scheduler}"; {did_you_mean(self.scheduler, SCHEDULERS)}')
        if self.workers is not None and (type(self.workers) is not int or self.workers < 1):
            raise BenchError(f"workers = {self.workers!r}: expected a whole number from 1 on, or None for what fits.")

    @property
    def whole_cluster(self) -> bool:
        """Whether as many workers may run as a cluster has room for."""
        return self.address is not None and self.workers is None


@dataclass(frozen=True)
class Setup:
    """Scheduler, device, workers and packs that a request resolves to on this machine.

    Attributes:
        workers: at a time; on a cluster that may be used whole as many as there are packs.
        room: how many of them the nodes of a cluster have room for, once it has been asked.
    """

    scheduler: Scheduler
    name: Literal["ray", "local"]
    workers: int
    device: Literal["cpu", "cuda"]
    packs: tuple[Pack, ...] = ()
    room: list[int] = field(default_factory=list)


def set_up(plan: Plan, config: Config, request: Request, tell: Callable[[list[str]], None] | None = None) -> Setup:
    """Choose scheduler, device, number of workers and packs.

    `tell` is called with a line for each node of a cluster.

    Raises:
        BenchError: the request contradicts itself or the machine.
    """
    if request.address is not None and request.scheduler == "local":
        raise BenchError("--address names a Ray cluster and --scheduler is local; leave out one of the two.")
    table = config.settings.grid[plan.grid.name]
    machine = this_machine(table.device)
    cells = len(plan.todo)
    if request.whole_cluster:
        fitting = math.ceil(cells / MOST)  # of a cluster: so many that a worker has a few packs of some cells
    elif request.address is not None:
        fitting = min(request.workers or 1, cells)
    else:
        fitting = plan.fitting(machine, request.workers)
    packs = plan.packs(fitting)
    workers = len(packs) if request.whole_cluster else min(fitting, len(packs))
    name: Literal["ray", "local"] = "ray" if workers > 1 or request.address is not None else "local"
    if request.scheduler != "auto":
        name = request.scheduler
    seconds = {pack[0][0]: pack_seconds(pack, plan.estimate.seconds) for pack in packs}
    room: list[int] = []

    def asked(lines: list[str], places: int) -> None:
        room[:] = [places]
        if tell is not None:
            tell(lines)

    return Setup(_scheduler(name, request, machine.gpus, machine.fraction(workers), seconds, asked), name, workers,
                 "cuda" if machine.gpus else "cpu", packs, room)  # fmt: skip


def make_ready(
    plan: Plan, config: Config, setup: Setup, request: Request, report: Callable[[int, int | None], None]
) -> int:
    """Check that nothing is missing, and compute the plan's image features unless a cluster runs it.

    `report` is called with the number of images done, and of all, None where it is not known yet. Returns the number of
    images that went through a tower.

    Raises:
        Several: data, weights or files are missing; nothing is written then.
        BenchError: an image cannot be decoded, or features cannot be written.
    """
    settings = trial_settings(config, plan.grid.name, setup.device)
    preflight.check(plan, settings, here=request.address is None)
    if request.address is not None or all(embedded(planned.cell.dataset) for planned in plan.todo):
        return 0
    from bench.engine.resources import TrialSettings
    from bench.execution.precompute import compute_missing, release

    done = compute_missing([planned.cell for planned in plan.todo], TrialSettings(**settings), report)
    release()
    return done


def left_out(plan: Plan, config: Config) -> list[str]:
    """List files in the folders of a plan's data sets that are skipped, a line each.

    Data sets that are missing are passed over.
    """
    library, lines = Library.of(config.settings.dataset), []
    for name in dict.fromkeys(planned.cell.dataset for planned in plan.todo if not embedded(planned.cell.dataset)):
        with suppress(BenchError):  # what is missing is said by `make_ready`
            found = library.open(name).left_out
            lines += [f"{shown(name)}: {' '.join(found)}"] if found else []
    return lines


def train(plan: Plan, store: Store, config: Config, request: Request, observer: Observer) -> Progress:
    """Set up, encode images and train the cells of a plan.

    Args:
        plan: with at least one cell to run.
        store: where records go; a file there that is no record is renamed.
        config: the settings that the plan was made with.
        request: the user's.
        observer: receives the events.

    Raises:
        BenchError: as `set_up`, `make_ready` and `execute_plan`.
        KeyboardInterrupt: after workers are gone; what was published stays.
    """
    setup = set_up(plan, config, request, observer.nodes)
    workers = None if request.whole_cluster else setup.workers
    observer.begin(plan, setup.packs, workers, f"{setup.name}, {setup.device}")
    for text in left_out(plan, config):
        observer.note(text)
    began = time.monotonic()
    with observer.encoding() as report:
        images = make_ready(plan, config, setup, request, report)
    observer.encoded(images, time.monotonic() - began)
    for key in [planned.key for planned in plan.todo if planned.key in store.problems]:
        if store.read(key) is not None or key not in store.problems:
            continue  # another run has set it aside meanwhile
        observer.note(f"{key}.json in the store is no record of this version and is kept as {store.set_aside(key)}.")
    progress = execute_plan(plan, store, config, setup, request, observer)
    observer.end(progress)
    return progress


def execute_plan(
    plan: Plan, store: Store, config: Config, setup: Setup, request: Request, observer: Observer
) -> Progress:
    """Run the packs of a plan and publish a record for every cell that ends.

    Cells of a pack that its worker did not bring to a record are run once more, each in a pack of its own, so that one
    cell that crashes or hangs takes no other with it; so is a single cell whose worker died. Cells that ran out of
    memory are run once more in packs of half the size. Cells that another run has claimed in the same store are left to
    it. The observer is told once per ended cell.

    Raises:
        BenchError: the store cannot be written, or not be shared, or workers cannot be started.
        ClusterLost: the cluster cannot be reached any more; what was published stays.
        KeyboardInterrupt: after workers are gone; what was published stays.
    """
    store.prepare()
    with Fleet(store.root, observer.note) as fleet, observer.training(plan) as listen:
        collector = Collector(plan, fleet, config, setup, request, listen)
        work, packs = _work(plan, store, config, setup, request), setup.packs
        while packs:
            try:
                setup.scheduler.run(packs, collector.work(work), collector.workers, collector.take, collector.stop)
            except ClusterLost as error:
                raise collector.abandoned(error) from error
            packs = collector.again()
    return collector.progress


def tidy(store: Store) -> None:
    """Remove what killed runs have left in a store where nothing is to be run.

    A store that cannot be written stays as it is.
    """
    with suppress(BenchError, OSError):
        store.files.sweep()
        if (claims := Claims(store.root, NOBODY)).exclusive and claims.files.exists():
            with Fleet(store.root, lambda _: None):
                pass


def trial_settings(config: Config, grid: str, device: str) -> dict[str, Any]:
    """Return keyword arguments of `bench.engine.resources.TrialSettings` for the cells of a grid."""
    table = config.settings.grid[grid]
    return {
        "timeout": None if table.timeout == float("inf") else table.timeout,
        "library": Library.of(config.settings.dataset),
        "keep_prompts": table.keep_prompts,
        "cache": config.settings.paths.cache or None,
        "device": device,
    }


def _work(plan: Plan, store: Store, config: Config, setup: Setup, request: Request) -> Work:
    settings = trial_settings(config, plan.grid.name, setup.device)
    if setup.device == "cuda":  # the device is shared, and processors feed it
        settings["processors"] = max(1, cpus() // setup.workers)
    root = store.root if "://" in store.root else str(Path(store.root).expanduser().resolve())
    plugins = tuple(str(Path(file).resolve()) for file in request.plugins)
    return Work(root, settings, plugins=plugins, rerun=request.rerun)


def _scheduler(
    name: str,
    request: Request,
    gpus: int,
    fraction: float,
    seconds: Mapping[str, float],
    tell: Callable[[list[str], int], None],
) -> Scheduler:
    if name == "local":
        from bench.schedulers.local import Local

        return Local(gpus)
    from bench.schedulers.ray_tune import RayTune

    return RayTune(request.address, gpus, fraction, tell, seconds)


def unfinished(plan: Plan, progress: Progress) -> Sequence[tuple[str, str]]:
    """List label and reason of every cell that is neither done nor skipped after a run."""
    outcomes = {outcome.key: outcome for outcome in progress.done}
    left = {record.key: f"{record.status}: {record.reason}" for record in plan.unfinished}
    rows = []
    for planned in plan.grid.cells:
        outcome = outcomes.get(planned.key)
        if outcome is not None and outcome.status not in ("done", "skipped"):
            rows.append((planned.cell.label(), f"{outcome.status}: {outcome.reason}"))
        elif planned.key in left:
            rows.append((planned.cell.label(), left[planned.key]))
        elif outcome is None and planned.key in progress.expected:
            rows.append((planned.cell.label(), "not run"))
    return rows
