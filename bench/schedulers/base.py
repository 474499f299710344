"""The contract of a scheduler, and the work it hands to its workers.

A scheduler runs packs in any order on some number of workers. The work publishes its records by itself; what comes back
to the driver is a short outcome per cell. Nothing that a scheduler does may change a record.
"""

from __future__ import annotations

import importlib
import math
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from bench import streams
from bench.cell import Cell, Record, Status
from bench.provenance import Clock, provenance
from bench.registry import load_plugin_file
from bench.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pack: TypeAlias = tuple[tuple[str, Cell], ...]
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
GRACE_SECONDS = 30.0
POLL_SECONDS = 1.0
EXPIRED = 75


@dataclass(frozen=True)
class Outcome:
    """How one cell ended; `lost` where its worker could not publish a record, so that the driver has to."""

    key: str
    status: Status
    reason: str | None = None
    seconds: float = 0.0
    lost: bool = False


Report: TypeAlias = Callable[[Outcome], None]


class Scheduler(Protocol):
    """Runs packs on workers."""

    def run(self, packs: Sequence[Pack], work: Work, workers: int, report: Report, stop: Callable[[], bool]) -> None:
        """Run every pack once.

        Args:
            packs: keys and cells.
            work: called with each pack in a worker.
            workers: how many packs run at a time, at least 1.
            report: called in the driver, once per cell, as outcomes arrive.
            stop: asked between packs; where it says yes, what runs is abandoned and nothing is started any more.

        Raises:
            BenchError: the workers cannot be started.
            KeyboardInterrupt: after the workers are gone.
        """


@dataclass(frozen=True)
class Driver:
    """The process that started the workers, by host, process id and start time."""

    host: str
    pid: int
    created: float

    @staticmethod
    def here() -> Driver:
        """This process."""
        import psutil

        return Driver(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    def alive(self) -> bool:
        """Whether it still runs; always true as seen from another host, where it cannot be asked."""
        import psutil

        if socket.gethostname() != self.host:
            return True
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True)
class Work:
    """What a worker does with a pack; plain values only, so that it travels between processes.

    Attributes:
        store: root of the store.
        settings: keyword arguments of `settings_type`.
        run_pack: "module:object", called as run_pack(pack, publish, settings).
        settings_type: "module:object".
        plugins: plugin files to import first.
        driver: stop when this process is gone; None where the work runs in the driver itself.
        grace: seconds beyond a cell's time limit, which its own loop keeps, after which a hanging worker is ended.
        rerun: whether done records of other code or data give way.
    """

    store: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    run_pack: str = "bench.trial:run_pack"
    settings_type: str = "bench.trial:Settings"
    plugins: tuple[str, ...] = ()
    driver: Driver | None = None
    grace: float = GRACE_SECONDS
    rerun: bool = False

    def __call__(self, pack: Pack) -> list[Outcome]:
        """Run a pack and publish its records; never raises for what happens in a cell."""
        store = Store(self.store)
        outcomes: dict[str, Outcome] = {}

        def publish(record: Record, sidecar: Mapping[str, NDArray[Any]]) -> None:
            store.publish(record, sidecar, rerun=self.rerun)
            outcomes[record.key] = outcome_of(record)

        watchdog = self._watchdog(pack, store, outcomes)
        try:
            settings = loaded(self.settings_type)(**self.settings)
            loaded(self.run_pack)(pack, publish, settings)
        except Exception as error:  # noqa: BLE001 - the grid goes on; the reason is recorded by the driver
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        else:
            reason = "the trial ended without a record"
        finally:
            if watchdog is not None:
                watchdog.cancel()
        return [outcomes.get(key) or Outcome(key, "failed", reason, lost=True) for key, _ in pack]

    def begin(self) -> None:
        """Prepare a worker process: one thread, no warnings on its output, plugins, and an eye on the driver."""
        streams.prepare(ends=False)
        os.environ.update(THREADS)
        if self.settings.get("device") == "cpu":
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        warnings.simplefilter("ignore")
        for plugin in self.plugins:
            load_plugin_file(plugin)
        if self.driver is not None:
            threading.Thread(target=_watch, args=(self.driver,), daemon=True).start()

    @property
    def limit(self) -> float | None:
        """Seconds that a cell may take, or None."""
        limit = self.settings.get("timeout")
        return None if limit is None or math.isinf(limit) else float(limit)

    def _watchdog(self, pack: Pack, store: Store, outcomes: Mapping[str, Outcome]) -> threading.Timer | None:
        """The loop asks for its deadline at every step; this ends a worker that hangs inside one."""
        if self.limit is None or self.driver is None:
            return None

        def expire() -> None:
            left = [(key, cell) for key, cell in pack if key not in outcomes]
            for key, cell in left:
                store.publish(lost_record(key, cell, "timeout", f"no step ended within {self.limit:g} s"), {})
            os._exit(EXPIRED)

        timer = threading.Timer(self.limit * len(pack) + self.grace, expire)
        timer.daemon = True
        timer.start()
        return timer


def outcome_of(record: Record) -> Outcome:
    """The short form of a record."""
    return Outcome(record.key, record.status, record.reason, float(record.cost.get("seconds") or 0.0))


def lost_record(key: str, cell: Cell, status: Status, reason: str) -> Record:
    """The record of a cell whose worker could not publish one."""
    return Record(schema=1, key=key, status=status, reason=reason, cell=cell, provenance=provenance(Clock()))


def loaded(target: str) -> Any:
    """The object at "module:object"."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _watch(driver: Driver) -> None:
    while driver.alive():
        time.sleep(POLL_SECONDS)
    os._exit(EXPIRED)
