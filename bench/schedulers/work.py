"""Work that a scheduler hands to its workers, and the rules for schedulers.

A scheduler runs packs in any order on some number of workers. The work publishes its records by itself; what comes back
to the driver is a short outcome per cell. Nothing that a scheduler does may change a record.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from bench import streams
from bench.errors import described, escape
from bench.global_state import Guard
from bench.plugins import METHODS, REGISTRIES
from bench.records.cell import Cell
from bench.records.provenance import Clock, provenance_of
from bench.records.record import Record, Status
from bench.records.store import Store
from bench.registry import BUILT_IN, load_plugin_file
from bench.schedulers.contract import CellOutcome, Pack

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Work:
    """Work of a worker on a pack. It has plain values only, so that it travels between processes.

    Attributes:
        settings: keyword arguments of `settings_type`.
        run_pack: "module:object", called as run_pack(pack, publish, settings).
        settings_type: "module:object".
        plugins: plugin files to import first.
        grace: seconds beyond a cell's time limit, which its own loop keeps, after which a hanging worker is ended.
        rerun: whether done records of other code or data give way.
    """

    store: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    run_pack: str = "bench.engine.trial:run_pack"
    settings_type: str = "bench.engine.trial:TrialSettings"
    plugins: tuple[str, ...] = ()
    grace: float = GRACE_SECONDS
    rerun: bool = False

    def begin(self) -> None:
        """Prepare a worker process: one thread, no warnings on its output, libraries and plugins."""
        streams.prepare(ends=False)
        os.environ.update(ONE_THREAD)
        if self.settings.get("device") == "cpu":
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        warnings.simplefilter("ignore")
        resolve_name(self.run_pack)
        for plugin in self.plugins:
            load_plugin_file(plugin)
        foreign = any(row.origin != BUILT_IN for registry in REGISTRIES for row in registry.rows())
        if self.plugins or foreign:  # what a plugin's cell would import first could not be put back
            for row in METHODS.rows():
                if row.origin == BUILT_IN:
                    METHODS.get(row.name)

    def __call__(self, pack: Pack) -> tuple[list[CellOutcome], bool]:
        """Run a pack and publish its records. Never raises for what happens in a cell.

        Global state that a cell changes is put back before its record is published, and named in it.

        Returns:
            The outcomes, and whether the worker is spent: a cell has left it in another state than it found it in.
        """
        store, run, settings_type = Store(self.store), resolve_name(self.run_pack), resolve_name(self.settings_type)
        ended: dict[str, CellOutcome] = {}
        own, reason = os.getpid(), "the trial ended without a record"
        with Guard() as guard:

            def publish(record: Record, outcomes: Mapping[str, NDArray[Any]]) -> None:
                end_copy(own)
                guard.put_back()
                if guard.changed:
                    record.provenance.changed_state = list(guard.changed)
                store.publish(record, outcomes, rerun=self.rerun)
                if "://" in self.store:
                    guard.renew()  # a file system may have started threads
                ended[record.key] = outcome_of(record)

            try:
                run(pack, publish, settings_type(**self.settings))
            except Exception as error:  # noqa: BLE001 - the grid goes on; the reason is recorded by the driver
                reason = described(error)
            except BaseException as error:  # noqa: BLE001 - sys.exit() and its like: no user asks for it in a worker
                reason = escape(error)
            end_copy(own)
        found = [ended.get(key) or CellOutcome(key, "failed", reason, lost=True) for key, _ in pack]
        return found, guard.spent

    @property
    def limit(self) -> float | None:
        """Seconds that a cell may take, or None."""
        limit = self.settings.get("timeout")
        return None if limit is None or math.isinf(limit) else float(limit)


def end_copy(own: int) -> None:
    """End this process where foreign code has forked it off `own`. A copy may not report anything."""
    if os.getpid() != own:
        os._exit(0)


def outcome_of(record: Record) -> CellOutcome:
    """Return the short form of a record."""
    return CellOutcome(record.key, record.status, record.reason, float(record.cost.seconds or 0.0))


def lost_record(key: str, cell: Cell, status: Status, reason: str) -> Record:
    """Build the record of a cell whose worker could not publish one."""
    return Record(schema=1, key=key, status=status, reason=reason, cell=cell, provenance=provenance_of(Clock()))
