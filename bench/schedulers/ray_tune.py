"""Run packs on Ray Tune.

Ray schedules and forgets; the store remembers, so nothing is restored from Ray's own state.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bench.errors import BenchError
from bench.records.cell import Cell
from bench.records.record import Status
from bench.schedulers.contract import CellOutcome, Pack, Report
from bench.schedulers.driver import Driver
from bench.schedulers.nodes import Losses, Placement, lost_on, node_in, this_node, usable_nodes
from bench.schedulers.work import Work
from bench.schedulers.worker import POLL_SECONDS, Worker

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

TRIALS_PER_RUN = 1000  # Tune's memory grows with them, and a new run starts new workers
PACKS_PER_TRIAL = 16  # at most; a trial costs Tune 30 ms, another pack of it 3 ms
SHARE = 4  # of what is left a worker's next trial is one in so many
OBJECT_STORE_BYTES = 100 * 1024**2
# Read when ray is imported. Tune's own handler would swallow Ctrl-C and end as if all were done; the pattern hides the
# raylet's messages on dead workers, which come back as reasons instead.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_THRESHOLD_S": "3600",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


Bundle: TypeAlias = tuple[Pack, ...]  # of one trial


@dataclass(frozen=True)
class RayTune:
    """Local Ray on the loopback address, or a running cluster.

    Attributes:
        address: of a running cluster ("auto", "HOST:PORT"); None starts one here and ends it afterwards.
        gpus: GPUs of this machine that may be used.
        fraction: of one GPU that a trial asks for, 0 for none.
    """

    address: str | None = None
    gpus: int = 0
    fraction: float = 0.0

    def run(self, packs: Sequence[Pack], work: Work, workers: int, report: Report, stop: Callable[[], bool]) -> None:
        """Run every pack once; see the contract in `bench.schedulers.work`."""
        with self._started(workers), _scratch(work.store if self.address else None) as folder:
            self._check()
            waiting = _by_node(packs, work.losses, workers)
            while waiting and not stop():
                now, waiting = waiting[:TRIALS_PER_RUN], waiting[TRIALS_PER_RUN:]
                waiting = self._fit(now, work, workers, report, stop, f"{folder}") + waiting

    @contextmanager
    def _started(self, workers: int) -> Iterator[None]:
        os.environ.update(QUIET)
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self.address is None:
            os.environ[LOOPBACK] = "0"
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            options |= {"num_cpus": workers, "num_gpus": self.gpus, "include_dashboard": False}
            options |= {"object_store_memory": OBJECT_STORE_BYTES}
        else:
            options |= {"address": self.address}
        import ray

        try:
            with _own_signals():
                ray.init(**options)
        except Exception as error:
            text = " ".join(str(error).split())
            raise BenchError(f"Ray did not start: {text[:300]}; check --address, or use --scheduler local.") from error
        for name in ("ray", "ray.tune"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            ray.shutdown()

    def _check(self) -> None:
        """Reject a request that could never be met and would wait for ever.

        Raises:
            BenchError: no node can hold one trial.
        """
        import ray

        have = ray.cluster_resources()  # type: ignore[no-untyped-call] # Ray leaves it so
        if have.get("CPU", 0) < 1 or have.get("GPU", 0) < self.fraction:
            raise BenchError(
                f"a trial asks for 1 CPU and {self.fraction:g} GPU, and Ray has {have.get('CPU', 0):g} and "
                f"{have.get('GPU', 0):g}; lower the request, or use --scheduler local."
            )

    def _fit(
        self, bundles: Sequence[Bundle], work: Work, workers: int, report: Report, stop: Callable[[], bool], folder: str
    ) -> list[Bundle]:
        """Run a trial per bundle, and return packs that were never begun: their trial had died, or found no node."""
        from ray import tune

        bundle, ended = {"CPU": 1.0} | ({"GPU": self.fraction} if self.fraction else {}), set[str]()
        placement = Placement([packs[0] for packs in bundles], work.losses, lambda: usable_nodes(self.fraction))

        def take(outcome: CellOutcome) -> None:
            ended.add(outcome.key)
            report(outcome)

        trial = tune.with_parameters(_trial(), work=work, driver=Driver.here())

        def resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
            pack = unpacked(config["packs"])[0] if placement.avoided else ()
            return tune.PlacementGroupFactory([bundle], **placement.selector(pack))

        trainable = tune.with_resources(trial, resources)
        unbegun: list[Bundle] = []
        tune.Tuner(
            trainable,
            param_space={"packs": tune.grid_search([packed(bundle) for bundle in bundles])},
            tune_config=tune.TuneConfig(
                reuse_actors=True,
                max_concurrent_trials=workers,
                trial_name_creator=lambda trial: str(trial.trial_id),
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                callbacks=[_reporter(_Own(take), unbegun)],
                stop=_stopper(_Own(lambda: stop() or placement.stranded())),
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
        if placement.gave_up and not stop():
            return [(pack,) for bundle in bundles for pack in bundle if pack[0][0] not in ended]
        return unbegun


class _Own:
    """Function of the driver that is left out where Tune writes its state, from which nothing is ever restored."""

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        assert self.function is not None  # noqa: S101 - this is the driver
        return self.function(*arguments)

    def __deepcopy__(self, _: Any) -> _Own:
        return self

    def __reduce__(self) -> tuple[type[_Own], tuple[()]]:
        return _Own, ()


def _trial() -> Any:
    """Run pack after pack in a process of Ray's, which hands them to a worker of its own. A step is one pack."""
    from ray import tune

    class Trial(tune.Trainable):
        """Never raises; a step returns the outcomes of its pack as text."""

        def setup(self, config: dict[str, Any], work: Work, driver: Driver) -> None:  # type: ignore[override]
            driver.watch()
            self.work, self.worker, self.node = work, Worker(work), this_node()
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.waiting = deque(unpacked(new_config["packs"]))
            return True

        def step(self) -> dict[str, Any]:
            if not self.worker.usable:
                self.worker.end()
                self.worker = Worker(self.work)
            self.worker.give(self.waiting.popleft())
            while (outcomes := self.worker.collected()) is None:
                wait([self.worker.pipe], timeout=POLL_SECONDS)
            told = [asdict(replace(one, node=self.node) if one.died else one) for one in outcomes]
            return {"outcomes": json.dumps(told), "node": self.node, "done": not self.waiting}

        def cleanup(self) -> None:
            self.worker.end()

    return Trial


def bundled(packs: Sequence[Pack], workers: int) -> list[Bundle]:
    """Divide packs among trials: many at first, and one at the end, so that no worker is left with many."""
    found: list[Bundle] = []
    begun = 0
    while begun < len(packs):
        size = min(PACKS_PER_TRIAL, max(1, (len(packs) - begun) // (SHARE * workers)))
        found.append(tuple(packs[begun : begun + size]))
        begun += size
    return found


def _by_node(packs: Sequence[Pack], losses: Losses, workers: int) -> list[Bundle]:
    """Divide packs among trials, those together that were lost on one node."""
    groups: dict[str, list[Pack]] = {}
    for pack in packs:
        groups.setdefault(lost_on(pack, losses), []).append(pack)
    return [bundle for group in groups.values() for bundle in bundled(group, workers)]


def packed(bundle: Bundle) -> str:
    """Encode packs as text. Tune would search a nested dictionary for axes of its own."""
    return json.dumps([[[key, cell.model_dump()] for key, cell in pack] for pack in bundle])


def unpacked(text: str) -> Bundle:
    """Decode the packs of a text."""
    return tuple(tuple((key, Cell.model_validate(cell)) for key, cell in pack) for pack in json.loads(text))


def _reporter(report: Report, unbegun: list[Bundle]) -> Any:
    from ray import tune

    class Reporter(tune.Callback):
        """Hands outcomes to the driver as packs end; Tune calls with keywords alone."""

        def on_trial_result(self, **info: Any) -> None:  # type: ignore[override] # Tune uses keywords
            for outcome in json.loads(info["result"].get("outcomes", "[]")):
                report(CellOutcome(**outcome))

        def on_trial_error(self, **info: Any) -> None:  # type: ignore[override] # Tune uses keywords
            outcomes, others = lost(info["trial"])
            unbegun.extend(others)
            for outcome in outcomes:
                report(outcome)

    return Reporter()


def lost(trial: Trial) -> tuple[list[CellOutcome], list[Bundle]]:
    """Return the outcomes of the pack during which a trial died, and the packs after it, a bundle each."""
    error = " ".join(str(trial.get_error()).split())
    memory = "OutOfMemory" in error
    status: Status = "out_of_memory" if memory else "failed"
    how = "was ended because the machine ran out of memory" if memory else "died"
    ended = int((trial.last_result or {}).get("training_iteration", 0))
    during, *after = unpacked(trial.config["packs"])[ended:]
    reason = f"the worker {how} before it left a record"
    node = node_in(error) or str((trial.last_result or {}).get("node", ""))
    outcomes = [CellOutcome(key, status, reason, lost=True, died=True, node=node) for key, _ in during]
    return outcomes, [(pack,) for pack in after]


def _stopper(stop: Callable[[], bool]) -> Any:
    from ray import tune

    class Stopper(tune.Stopper):
        """Ends the chunk where the driver has had enough."""

        def __call__(self, *_: Any) -> bool:
            return False

        def stop_all(self) -> bool:
            return stop()

    return Stopper()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep our handler of SIGTERM, where there is one. Ray's calls sys.exit(1)."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if callable(before) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _scratch(shared: str | None) -> Iterator[str]:
    """Create a folder for Tune's state, deleted afterwards.

    It is beside the records where several machines must see it.
    """
    if shared is None:
        folder = tempfile.mkdtemp(prefix="noisy-prompt-bench-")
    else:
        folder = f"{shared.rstrip('/')}/.{uuid.uuid4().hex}.tmp"
    try:
        yield folder
    finally:
        if "://" not in folder:
            shutil.rmtree(Path(folder), ignore_errors=True)
