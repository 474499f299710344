"""Work that a scheduler hands to its workers, and the rules for schedulers.

A scheduler runs packs in any order on some number of workers. The work publishes its records by itself; what comes back
to the driver is a short outcome per cell. Nothing that a scheduler does may change a record.
"""

from __future__ import annotations

import errno
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal

from bench import streams
from bench.errors import described, escape, short_of_memory
from bench.global_state import Guard
from bench.plugins import METHODS, REGISTRIES
from bench.records.cell import Cell
from bench.records.file_names import RECORD_FILE
from bench.records.provenance import Clock, provenance_of
from bench.records.record import Record, Status
from bench.records.store import Store, companions
from bench.registry import BUILT_IN, load_plugin_file
from bench.schedulers.claims import Claims, visible
from bench.schedulers.contract import CellOutcome, Pack
from bench.schedulers.driver import Driver

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
GRACE_SECONDS = 30.0
HELD = "another run has it"
LASTING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}  # errors of a store that stay


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
        owner: driver for which cells are claimed; None where no other can be at work in the store.
        tries: number of earlier attempts of cells that had a record when the run was planned.
        losses: attempts of this run that left no record, by key.
        driver: id of the driver, by whose heartbeat a worker elsewhere knows that it sees the same store; "" where it
            needs not look.
    """

    store: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    run_pack: str = "bench.engine.trial:run_pack"
    settings_type: str = "bench.engine.trial:TrialSettings"
    plugins: tuple[str, ...] = ()
    grace: float = GRACE_SECONDS
    rerun: bool = False
    owner: Driver | None = None
    tries: Mapping[str, int] = field(default_factory=dict)
    losses: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)
    driver: str = ""

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
            import_module("torch.backends.opt_einsum")  # torch 2.8 does at the first use
            for row in METHODS.rows():
                if row.origin == BUILT_IN:
                    METHODS.get(row.name)

    def __call__(self, pack: Pack) -> tuple[list[CellOutcome], bool]:
        """Run a pack and publish its records, less the cells that another driver has. Never raises for a cell.

        Global state that a cell changes is put back before its record is published, and named in it. Where the store is
        not the driver's, records come back with the outcomes.

        Returns:
            The outcomes, and whether the worker is spent: a cell has left it in another state than it found it in.
        """
        store = Store(self.store) if not self.driver or visible(self.store, self.driver) else None
        ended = {} if store is None else self.taken(pack)
        mine = tuple(member for member in pack if member[0] not in ended)
        spent = self._run(mine, store, ended) if mine else False
        return [ended[key] for key, _ in pack], spent

    def taken(self, pack: Pack) -> dict[str, CellOutcome]:
        """Hold the cells of a pack, and return the outcomes of those that are not to be run here."""
        found: dict[str, CellOutcome] = {}
        if self.owner is None:
            return found
        store, claims = Store(self.store), Claims(self.store, self.owner)
        for key, _ in pack:
            try:
                if not claims.take(key):
                    found[key] = CellOutcome(key, "failed", HELD, elsewhere="held")
                elif (record := store.read(key)) is not None and len(record.attempts) > self.tries.get(key, -1):
                    claims.release(key)
                    found[key] = outcome_of(record, "ended")
            except Exception as error:  # noqa: BLE001 - the store cannot be written; the driver finds that out too
                found[key] = CellOutcome(key, "failed", described(error), lost=True, unwritten=_unwritten(error))
        return found

    def _run(self, pack: Pack, store: Store | None, ended: dict[str, CellOutcome]) -> bool:
        """Run cells that are this driver's, add their outcomes, and return whether the worker is spent.

        A cell that runs out of memory for the first time leaves no record: the driver gives it another try.
        """
        run, settings_type = resolve_name(self.run_pack), resolve_name(self.settings_type)
        own, reason, unwritten = os.getpid(), "the trial ended without a record", ""
        status: Status = "failed"
        with Guard() as guard:

            def publish(record: Record, outcomes: Mapping[str, NDArray[Any]]) -> None:
                end_copy(own)
                guard.put_back()
                if guard.changed:
                    record.provenance.changed_state = list(guard.changed)
                if record.status == "out_of_memory" and not spent_memory(self.losses.get(record.key, ())):
                    ended[record.key] = replace(outcome_of(record), lost=True)
                    return
                record.attempts = [*self.losses.get(record.key, ()), *record.attempts]
                if store is None:
                    files = {RECORD_FILE: record.to_json().encode(), **companions(outcomes)}
                    ended[record.key] = replace(outcome_of(record), handed=tuple(files.items()))
                    return
                try:
                    store.publish(record, outcomes, rerun=self.rerun)
                except OSError as error:
                    nonlocal unwritten
                    unwritten = _unwritten(error)
                    raise
                if self.owner is not None:
                    Claims(self.store, self.owner).release(record.key)
                if "://" in self.store:
                    guard.renew()  # a file system may have started threads
                ended[record.key] = outcome_of(record)

            try:
                run(pack, publish, settings_type(**self.settings))
            except Exception as error:  # noqa: BLE001 - the grid goes on; the reason is recorded by the driver
                reason, status = described(error), "out_of_memory" if short_of_memory(error) else "failed"
            except BaseException as error:  # noqa: BLE001 - sys.exit() and its like: no user asks for it in a worker
                reason = escape(error)
            end_copy(own)
        for key, _ in pack:
            ended.setdefault(key, CellOutcome(key, status, reason, lost=True, unwritten=unwritten))
        return guard.spent

    @property
    def limit(self) -> float | None:
        """Seconds that a cell may take, or None."""
        limit = self.settings.get("timeout")
        return None if limit is None or math.isinf(limit) else float(limit)


def _unwritten(error: Exception) -> str:
    """Return the reason where an error says that the store stays unwritable; others may pass."""
    return error.strerror if isinstance(error, OSError) and error.errno in LASTING and error.strerror else ""


def end_copy(own: int) -> None:
    """End this process where foreign code has forked it off `own`. A copy may not report anything."""
    if os.getpid() != own:
        os._exit(0)


def spent_memory(losses: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a cell with these losses has run out of memory before, and has had its second try."""
    return any(tried.get("status") == "out_of_memory" for tried in losses)


def outcome_of(record: Record, elsewhere: Literal["", "ended"] = "") -> CellOutcome:
    """Return the short form of a record, which may be another run's."""
    seconds = float(record.cost.seconds or 0.0)
    return CellOutcome(record.key, record.status, record.reason, seconds, elsewhere=elsewhere)


def lost_record(key: str, cell: Cell, status: Status, reason: str) -> Record:
    """Build the record of a cell whose worker could not publish one."""
    return Record(schema=1, key=key, status=status, reason=reason, cell=cell, provenance=provenance_of(Clock()))
