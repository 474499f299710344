"""Run packs on Ray Tune.

Ray schedules and forgets; the store remembers, so nothing is restored from Ray's own state.
"""

from __future__ import annotations

import json
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, TypeAlias

from bench.errors import BenchError
from bench.records.cell import Cell
from bench.records.record import Status
from bench.schedulers.contract import CellOutcome, Pack, Report
from bench.schedulers.driver import Driver
from bench.schedulers.homes import Homes, features_of, home_nodes
from bench.schedulers.nodes import Losses, Placement, lost_on, node_in, this_node, usable_nodes
from bench.schedulers.ray_session import session
from bench.schedulers.survey import nodes, surveyed
from bench.schedulers.work import Work
from bench.schedulers.worker import POLL_SECONDS, Worker

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

TRIALS_PER_RUN = 1000  # Tune's memory grows with them, and a new run starts new workers
PACKS_PER_TRIAL = 16  # at most; a trial costs Tune 30 ms, another pack of it 3 ms
SHARE = 4  # of what is left a worker's next trial is one in so many


Bundle: TypeAlias = tuple[Pack, ...]  # of one trial


@dataclass(frozen=True)
class RayTune:
    """Local Ray on the loopback address, or a running cluster.

    Attributes:
        address: of a running cluster ("auto", "HOST:PORT"); None starts one here and ends it afterwards.
        gpus: GPUs of this machine that may be used.
        fraction: of one GPU that a trial asks for, 0 for none.
        tell: called with a line for each node of a running cluster, and how many trials they have room for together,
            before the cells begin.
        seconds: what packs are estimated to take, by the key of their first cell; one that is missing counts as long.
    """

    address: str | None = None
    gpus: int = 0
    fraction: float = 0.0
    tell: Callable[[list[str], int], None] = field(default=lambda *_: None, compare=False, repr=False)
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)

    def run(self, packs: Sequence[Pack], work: Work, workers: int, report: Report, stop: Callable[[], bool]) -> None:
        """Run every pack once; see the contract in `bench.schedulers.work`."""
        with _scratch() as folder, session(self.address, workers, self.gpus, folder) as cluster:

            def over() -> bool:
                return cluster.over or stop()

            def heard(outcome: CellOutcome) -> None:
                if not cluster.over:
                    report(outcome)

            def run() -> None:
                self._check()
                chosen = packs if self.address is None else self._welcomed(packs, work, workers, heard)
                waiting = _by_node(chosen, work.losses, workers, self.seconds)
                while waiting and not over():
                    now, waiting = waiting[:TRIALS_PER_RUN], waiting[TRIALS_PER_RUN:]
                    waiting = self._fit(now, work, workers, heard, over, folder) + waiting

            cluster.call(run)

    def _welcomed(self, packs: Sequence[Pack], work: Work, workers: int, report: Report) -> Sequence[Pack]:
        """Report the nodes, and hold all cells here where a node cannot; returns the packs to run."""
        found = nodes()
        if work.driver:
            found = surveyed(found, work.store, work.driver)
        room = [one.slots(self.fraction) for one in found]
        self.tell([one.line(slots, workers) for one, slots in zip(found, room, strict=True)], max(1, sum(room)))
        if all(one.sees for one in found):
            return packs
        chosen = []
        for pack in packs:
            taken = work.taken(pack)
            for outcome in taken.values():
                report(outcome)
            chosen.append(tuple(member for member in pack if member[0] not in taken))
        return [pack for pack in chosen if pack]

    def _homes(self, bundles: Sequence[Bundle], workers: int) -> Homes:
        """Choose nodes by features, where cells of several run on several nodes and may take all of them."""
        if self.address is None or len({features_of(bundle[0]) for bundle in bundles}) < 2:
            return {}
        slots = {node.id: node.slots(self.fraction) for node in nodes()}
        return home_nodes(bundles, slots) if workers >= sum(slots.values()) else {}

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
        at_home = self._homes(bundles, workers)
        bundles = sorted(bundles, key=lambda packs: bool(at_home) and packs[0][0][0] not in at_home)  # the others last
        placement = Placement(
            [packs[0] for packs in bundles], work.losses, lambda: usable_nodes(self.fraction), at_home
        )

        refused: list[Exception] = []  # of the driver's own, which Tune would hand on as one of Tune's

        def take(outcome: CellOutcome) -> None:
            ended.add(outcome.key)
            try:
                if not refused:
                    report(outcome)
            except Exception as error:  # noqa: BLE001 - raised again below
                refused.append(error)

        trial = tune.with_parameters(_trial(), work=work, driver=Driver.here())

        def resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
            pack = unpacked(config["packs"])[0] if placement.avoided or at_home else ()
            return tune.PlacementGroupFactory([bundle], **placement.selector(pack))

        trainable = tune.with_resources(trial, resources)
        unbegun: list[Bundle] = []
        tune.Tuner(
            trainable,
            param_space={"packs": tune.grid_search([packed(bundle) for bundle in bundles])},
            tune_config=tune.TuneConfig(
                reuse_actors=True,
                max_concurrent_trials=len(bundles) if at_home else workers,  # the cluster has no more room than that
                trial_name_creator=lambda trial: str(trial.trial_id),
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                callbacks=[_reporter(_Own(take), unbegun)],
                stop=_stopper(_Own(lambda: bool(refused) or stop() or placement.stranded(ended))),
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
        if refused:
            raise refused[0]
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
            self.host = f"{socket.gethostname()} ({self.node[:6]})" if work.driver else ""
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
            told = [asdict(replace(one, host=self.host, handed=(), node=self.node * one.died)) for one in outcomes]
            handed = {one.key: one.handed for one in outcomes if one.handed}
            return {"outcomes": json.dumps(told), "handed": [handed], "node": self.node, "done": not self.waiting}

        def cleanup(self) -> None:
            self.worker.end()

    return Trial


def bundled(packs: Sequence[Pack], workers: int, seconds: Mapping[str, float]) -> list[Bundle]:
    """Divide packs among trials, each a small share of the seconds left, so that no worker ends late."""
    longest = max(seconds.values(), default=1.0)
    spent = [seconds.get(pack[0][0], longest) for pack in packs]
    found: list[Bundle] = []
    begun, left = 0, sum(spent)
    while begun < len(packs):
        size = 1
        while size < min(PACKS_PER_TRIAL, len(packs) - begun) and (
            sum(spent[begun : begun + size + 1]) <= left / (SHARE * workers)
        ):
            size += 1
        found.append(tuple(packs[begun : begun + size]))
        left -= sum(spent[begun : begun + size])
        begun += size
    return found


def _by_node(packs: Sequence[Pack], losses: Losses, workers: int, seconds: Mapping[str, float]) -> list[Bundle]:
    """Divide packs among trials, those together that were lost on one node and read the same features.

    They are in the order of their longest packs, whatever the features: a long one that began last would end alone.
    """
    groups: dict[tuple[str, str], list[Pack]] = {}
    for pack in packs:
        groups.setdefault((lost_on(pack, losses), features_of(pack)), []).append(pack)
    place = {pack[0][0]: number for number, pack in enumerate(packs)}
    bundles = [bundle for group in groups.values() for bundle in bundled(group, workers, seconds)]
    return sorted(bundles, key=lambda bundle: place[bundle[0][0][0]])


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
            held = info["result"].get("handed", [{}])
            handed = held.pop() if held else {}  # Tune would keep the bytes as long as the trial
            for outcome in json.loads(info["result"].get("outcomes", "[]")):
                report(CellOutcome(**outcome | {"handed": handed.get(outcome["key"], ())}))

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
def _scratch() -> Iterator[str]:
    """Create a folder for Tune's state, deleted afterwards.

    The driver alone reads and writes it, on a cluster too: trials report no checkpoints and leave no files.
    """
    with tempfile.TemporaryDirectory(prefix="noisy-prompt-bench-", ignore_cleanup_errors=True) as folder:
        yield folder
