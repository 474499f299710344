"""Hand records to trackers while a grid runs: one listener on the driver's side, whatever the scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bench.errors import described
from bench.execution.observer import Observer
from bench.execution.plan import Plan
from bench.execution.progress import Listener, Progress
from bench.records.store import Store
from bench.schedulers.contract import CellOutcome, Pack
from bench.tracking.contract import Tracker
from bench.tracking.mlflow_store import MLflow
from bench.tracking.tensorboard import TensorBoard
from bench.tracking.wandb_runs import Wandb


def chosen_trackers(tensorboard: str | None, mlflow: str | None, wandb: str | None) -> list[Tracker]:
    """Create the trackers whose folder, place or project is named."""
    found: list[Tracker] = [TensorBoard(tensorboard)] if tensorboard else []
    found += [MLflow(mlflow)] if mlflow else []
    return found + ([Wandb(wandb)] if wandb else [])


class Tracked(Observer):
    """Observer that hands every published record to trackers, beside what another observer does.

    A tracker that fails is noted once and left out; the run goes on.

    Args:
        inner: the other observer.
        store: where the records are.
        trackers: are begun before anything is trained.
    """

    def __init__(self, inner: Observer, store: Store, trackers: Sequence[Tracker]) -> None:
        self.inner, self.store, self.trackers = inner, store, [*trackers]
        self.note, self.encoding, self.encoded, self.end = inner.note, inner.encoding, inner.encoded, inner.end  # type: ignore[method-assign]
        self.nodes = inner.nodes  # type: ignore[method-assign]

    def begin(self, plan: Plan, packs: Sequence[Pack], workers: int | None, where: str) -> None:
        """Open the trackers. Raises BenchError where one cannot be."""
        for tracker in self.trackers:
            tracker.begin()
        self.inner.begin(plan, packs, workers, where)

    @contextmanager
    def training(self, plan: Plan) -> Iterator[Listener]:
        """Return a context that tracks each cell, and closes the trackers however it ends."""
        try:
            with self.inner.training(plan) as listen:

                def both(outcome: CellOutcome, progress: Progress) -> None:
                    listen(outcome, progress)
                    self._track(outcome.key)

                yield both
        finally:
            for tracker in [*self.trackers]:
                self._guarded(tracker, tracker.end)

    def _track(self, key: str) -> None:
        record = self.store.read(key) if self.trackers else None
        if record is not None:
            for tracker in [*self.trackers]:
                self._guarded(tracker, lambda tracker=tracker: tracker.cell(record))  # type: ignore[misc]

    def _guarded(self, tracker: Tracker, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever a tracking package raises, cells are trained
            self.trackers.remove(tracker)
            self.note(
                f"{type(tracker).__name__} is given no more cells ({described(error)}); the records are in the store, "
                "and `bench export` hands them over later."
            )
