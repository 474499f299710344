"""Run a plan: packs, scheduler, outcomes, and cells that were lost on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.data.library import Library
from bench.dataset_name import embedded, shown
from bench.errors import BenchError
from bench.execution import preflight
from bench.execution.observer import Observer
from bench.execution.packs import MOST
from bench.execution.plan import Plan
from bench.execution.progress import Listener, Progress
from bench.grid.keys import origin_of
from bench.machine import cpus, this_machine
from bench.records.parts import Provenance
from bench.records.record import Record
from bench.records.store import Store
from bench.schedulers.contract import CellOutcome, ClusterLost, Pack, Scheduler
from bench.schedulers.work import Work, lost_record, outcome_of
from bench.settings.schema import Config

SchedulerName = Literal["auto", "ray", "local"]


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
    """

    scheduler: SchedulerName = "auto"
    workers: int | None = None
    address: str | None = None
    fail_fast: bool = False
    plugins: tuple[str, ...] = ()
    rerun: bool = False


@dataclass(frozen=True)
class Setup:
    """Scheduler, device, workers and packs that a request resolves to on this machine."""

    scheduler: Scheduler
    name: Literal["ray", "local"]
    workers: int
    device: Literal["cpu", "cuda"]
    packs: tuple[Pack, ...] = ()


def set_up(plan: Plan, config: Config, request: Request) -> Setup:
    """Choose scheduler, device, number of workers and packs.

    Raises:
        BenchError: the request contradicts itself or the machine.
    """
    if request.address is not None and request.scheduler == "local":
        raise BenchError("--address names a Ray cluster and --scheduler is local; leave out one of the two.")
    table = config.settings.grid[plan.grid.name]
    machine = this_machine(table.device)
    cells, unknown = len(plan.todo), request.address is not None and request.workers is None
    if unknown:
        fitting = math.ceil(cells / MOST)  # of a cluster: so many that a worker has a few packs of some cells
    elif request.address is not None:
        fitting = min(request.workers or 1, cells)
    else:
        fitting = machine.workers(request.workers, cells, plan.estimate.gpu_memory)
    packs = plan.packs(fitting)
    workers = len(packs) if unknown else min(fitting, len(packs))
    name: Literal["ray", "local"] = "ray" if workers > 1 or request.address is not None else "local"
    if request.scheduler != "auto":
        name = request.scheduler
    return Setup(_scheduler(name, request, machine.gpus, machine.fraction(workers)), name, workers,
                 "cuda" if machine.gpus else "cpu", packs)  # fmt: skip


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
    setup = set_up(plan, config, request)
    observer.begin(plan, setup.packs, setup.workers, f"{setup.name}, {setup.device}")
    for text in left_out(plan, config):
        observer.note(text)
    began = time.monotonic()
    with observer.encoding() as report:
        images = make_ready(plan, config, setup, request, report)
    observer.encoded(images, time.monotonic() - began)
    for key in [planned.key for planned in plan.todo if planned.key in store.problems]:
        observer.note(f"{key}.json in the store is no record of this version and is kept as {store.set_aside(key)}.")
    with observer.training(plan) as listen:
        progress = execute_plan(plan, store, config, setup, request, listen)
    observer.end(progress)
    return progress


def execute_plan(
    plan: Plan, store: Store, config: Config, setup: Setup, request: Request, listen: Listener
) -> Progress:
    """Run the packs of a plan and publish a record for every cell that ends.

    Cells of a pack that its worker did not bring to a record are run once more, each in a pack of its own, so that one
    cell that crashes or hangs takes no other with it. `listen` is called once per ended cell.

    Raises:
        BenchError: the store cannot be written, or workers cannot be started.
        ClusterLost: the cluster cannot be reached any more; what was published stays.
        KeyboardInterrupt: after workers are gone; what was published stays.
    """
    store.prepare()
    driver = _Collector(plan, store, config, setup, request, listen)
    work, packs = _work(plan, store, config, setup, request), setup.packs
    while packs:
        try:
            setup.scheduler.run(packs, work, setup.workers, driver.take, driver.stop)
        except ClusterLost as error:
            raise driver.abandoned(error) from error
        packs = driver.again()
    return driver.progress


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


def _scheduler(name: str, request: Request, gpus: int, fraction: float) -> Scheduler:
    if name == "local":
        from bench.schedulers.local import Local

        return Local()
    from bench.schedulers.ray_tune import RayTune

    return RayTune(request.address, gpus, fraction)


class _Collector:
    """Receiver of outcomes that has lost cells run again, and publishes the records a dead worker could not.

    Attributes:
        progress: of the run.
        single: cells that are, or were, in a pack of their own.
        lost: cells to run again, in packs of their own.
    """

    def __init__(
        self, plan: Plan, store: Store, config: Config, setup: Setup, request: Request, listen: Listener
    ) -> None:
        self.store, self.request, self.listen, self.packs = store, request, listen, setup.packs
        self.library = Library.of(config.settings.dataset)
        self.cells = {planned.key: planned.cell for planned in plan.todo}
        self.tries = {key: self._count(key) for key in self.cells}
        self.single = {pack[0][0] for pack in setup.packs if len(pack) == 1}
        self.lost: list[str] = []
        keys = [[key for key, _ in pack] for pack in setup.packs]
        self.progress = Progress(len(plan.todo), plan.expected(setup.packs), setup.workers, keys)

    def take(self, outcome: CellOutcome) -> None:
        if outcome.lost:
            record = self._published(outcome.key)
            if record is None and outcome.key not in self.single:
                self.lost.append(outcome.key)
                return
            outcome = outcome_of(record or self._bury(outcome))
        self._add(outcome)

    def stop(self) -> bool:
        """Return whether to end at a failure, or at a loss that may be one, as the user wants."""
        return self.request.fail_fast and bool(self.lost or self._failed())

    def again(self) -> tuple[Pack, ...]:
        """Return the packs to run next: what was lost, cell by cell, and what a loss has kept from ending."""
        stopped = self.stop()
        if stopped:
            self._take_abandoned()
        if not self.lost or (stopped and self._failed()):
            return ()
        packs: list[Pack] = [((key, self.cells[key]),) for key in self.lost]
        if stopped:
            ended = {outcome.key for outcome in self.progress.done}.union(self.lost)
            left = [tuple(member for member in pack if member[0] not in ended) for pack in self.packs]
            packs += [pack for pack in left if pack]
        self.single.update(pack[0][0] for pack in packs if len(pack) == 1)
        self.lost.clear()
        return tuple(packs)

    def abandoned(self, error: ClusterLost) -> ClusterLost:
        """Count what the lost workers have published; returns the error with what is kept and what is left."""
        self._take_abandoned()
        kept = sum(outcome.status in ("done", "skipped") for outcome in self.progress.done)
        return ClusterLost(
            f"{error}: {kept} of {len(self.cells)} cells are done and kept, {len(self.cells) - kept} are left; start "
            "the cluster again, and the same command continues from there."
        )

    def _take_abandoned(self) -> None:
        """Count the cells whose records were published before their pack was abandoned."""
        known = {outcome.key for outcome in self.progress.done}.union(self.lost)
        for key in self.cells:
            if key not in known and (record := self._published(key)):
                self._add(outcome_of(record))

    def _add(self, outcome: CellOutcome) -> None:
        self.progress.add(outcome)
        self.listen(outcome, self.progress)

    def _failed(self) -> bool:
        return any(outcome.status not in ("done", "skipped") for outcome in self.progress.done)

    def _published(self, key: str) -> Record | None:
        """Read the record that was published in this run, if any."""
        record = self.store.read(key)
        return record if record is not None and len(record.attempts) > self.tries[key] else None

    def _bury(self, outcome: CellOutcome) -> Record:
        """Publish the record of a cell whose worker could not."""
        cell = self.cells[outcome.key]
        record = lost_record(outcome.key, cell, outcome.status, outcome.reason or "")
        record.provenance = Provenance(**record.provenance.model_dump(), **origin_of(cell, self.library))
        try:
            self.store.publish(record, {}, rerun=self.request.rerun)
        except OSError as error:
            raise BenchError(f'store "{self.store.root}" cannot be written any more: {error.strerror}.') from error
        return record

    def _count(self, key: str) -> int:
        record = self.store.read(key)
        return -1 if record is None else len(record.attempts)


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
