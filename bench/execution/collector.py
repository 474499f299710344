"""Receiver of outcomes: what is run again, what waits for another run, and records that a worker could not leave."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from bench.data.library import Library
from bench.execution.plan import Plan
from bench.execution.progress import Listener, Progress
from bench.grid.keys import origin_of
from bench.records.file_names import RECORD_FILE
from bench.records.parts import Provenance
from bench.records.record import Record
from bench.records.store import Store
from bench.schedulers.claims import Fleet, who
from bench.schedulers.contract import CellOutcome, ClusterLost, Pack, StoreLost
from bench.schedulers.work import Work, lost_record, outcome_of, spent_memory
from bench.settings.schema import Config

if TYPE_CHECKING:
    from bench.execution.execute import Request, Setup

TRIES: Final = 2  # of a cell whose worker dies; the second is alone
WAIT_SECONDS: Final = 1.0  # between two looks at what another run has claimed


class Collector:
    """Receiver of outcomes that decides what is run next, and publishes the records that a worker could not.

    A lost cell is run once more, alone, where it was lost with others or where its worker died. One that ran out of
    memory is run once more in a pack of half the size, on half the workers, and has that status if it does so again.
    Cells that another run has are waited for at the end, and run here where that run gives them up.

    Attributes:
        progress: of the run.
        workers: for the packs that are next.
        single: cells that are, or were, in a pack of their own.
        lost: cells to run again, in packs of their own.
        short: those of them that ran out of memory, in packs of half the size.
        losses: attempts of this run that left no record, by key.
        held: cells that another run has claimed.
    """

    def __init__(
        self, plan: Plan, fleet: Fleet, config: Config, setup: Setup, request: Request, listen: Listener
    ) -> None:
        self.fleet, self.request, self.listen, self.packs = fleet, request, listen, setup.packs
        self.most, self.room = setup.workers, setup.room
        self.cluster = request.address is not None
        self.store, self.library = Store(fleet.store), Library.of(config.settings.dataset)
        self.cells = {planned.key: planned.cell for planned in plan.todo}
        self.tries = plan.tries
        self.single = {pack[0][0] for pack in setup.packs if len(pack) == 1}
        self.lost: list[str] = []
        self.short: set[str] = set()
        self.workers = setup.workers
        self._given: Sequence[Pack] = setup.packs
        self.losses: dict[str, list[dict[str, Any]]] = {}
        self.held: list[str] = []
        self._told: frozenset[str] = frozenset()
        keys = [[key for key, _ in pack] for pack in setup.packs]
        self.progress = Progress(len(plan.todo), plan.expected(setup.packs), setup.workers, keys)

    def work(self, work: Work) -> Work:
        """Return the work for the packs that are next."""
        driver = self.fleet.claims.owner.id if self.cluster else ""
        return replace(work, driver=driver, owner=self.fleet.owner, tries=self.tries, losses=self.losses)

    def take(self, outcome: CellOutcome) -> None:
        """Count an outcome, unless the cell is still to be run again or waited for."""
        if outcome.elsewhere == "held":
            self.held.append(outcome.key)
            return
        if outcome.handed:
            files = dict(outcome.handed)
            self._put(Record.model_validate_json(files.pop(RECORD_FILE)), files)
            outcome = replace(outcome, handed=())
        if outcome.lost:
            record = self._published(outcome.key)
            if record is None and outcome.unwritten:
                raise self._unwritable(outcome.unwritten)
            if record is None and self._again(outcome):
                self.lost.append(outcome.key)
                if _short(outcome):
                    self.short.add(outcome.key)
                tried = {"status": outcome.status, "reason": outcome.reason or ""}
                tried |= {"node": outcome.node} if outcome.node else {}
                self.losses[outcome.key] = [*self.losses.get(outcome.key, ()), tried]
                return
            outcome = outcome_of(record or self._bury(outcome))
        self._add(outcome)

    def stop(self) -> bool:
        """Return whether to end at a failure, or at a loss that may be one, as the user wants."""
        return self.request.fail_fast and bool(self.lost or self._failed())

    def again(self) -> tuple[Pack, ...]:
        """Return the packs to run next, see `_next`, and set the workers that they are for."""
        self.workers = max(1, self._at_a_time() // 2) if self.short else self.most
        self._given = packs = self._next()
        self.single.update(pack[0][0] for pack in packs if len(pack) == 1)
        self.lost.clear()
        self.short.clear()
        return packs

    def _next(self) -> tuple[Pack, ...]:
        """Return what was lost, cell by cell or by halves, and what a loss has kept from ending.

        Where only cells are left that another run has, waits until it gives some up.
        """
        stopped = self.stop()
        if stopped:
            self._take_abandoned()
        if stopped and self._failed():
            return ()
        if not self.lost:
            return self._given_up()
        packs: list[Pack] = [((key, self.cells[key]),) for key in self.lost if key not in self.short]
        packs += self._halves()
        if stopped:
            packs += self._without({outcome.key for outcome in self.progress.done}.union(self.lost, self.held))
        return tuple(packs)

    def _halves(self) -> list[Pack]:
        """Return the cells that ran out of memory in packs of half the size."""
        found: list[Pack] = []
        for pack in self._given:
            size, left = max(1, len(pack) // 2), tuple(member for member in pack if member[0] in self.short)
            found += [left[start : start + size] for start in range(0, len(left), size)]
        return found

    def _again(self, outcome: CellOutcome) -> bool:
        """Return whether a lost cell is run once more. The worker leaves the record of a second lack of memory."""
        losses = self.losses.get(outcome.key, ())
        if _short(outcome):
            return not spent_memory(losses)
        tried = len(losses)
        return tried + 1 < TRIES and (outcome.died or outcome.key not in self.single)

    def _without(self, keys: set[str]) -> list[Pack]:
        left = [tuple(member for member in pack if member[0] not in keys) for pack in self.packs]
        return [pack for pack in left if pack]

    def _given_up(self) -> tuple[Pack, ...]:
        """Wait for cells that another run has, and return packs of those that it has not brought to an end."""
        while self.held and not self.stop():
            holders = {key: self.fleet.claims.holder(key) for key in self.held}  # a record is there before it is free
            for key in list(self.held):
                if record := self._published(key):
                    self.held.remove(key)
                    self._add(outcome_of(record, "ended"))
            free = {key for key in self.held if holders[key] in (None, self.fleet.claims.owner)}
            if free:
                self.held = [key for key in self.held if key not in free]
                return tuple(self._without(self.cells.keys() - free))
            if self.held and not self.stop():
                self._tell({who(driver) for key, driver in holders.items() if driver and key in self.held})
                owners = {driver for driver in holders.values() if driver is not None}
                self.fleet.ask(owners)
                if any(not driver.alive() for driver in owners):
                    self.fleet.look(timed=False)
                time.sleep(WAIT_SECONDS)
        return ()

    def _tell(self, others: set[str]) -> None:
        """Report once for whom this run waits."""
        if others != self._told:
            cells = "1 cell" if len(self.held) == 1 else f"{len(self.held)} cells"
            self.fleet.note(
                f"waiting for {cells} that another run has ({'; '.join(sorted(others))}); what it does not finish is "
                "run here, Ctrl-C ends this run alone."
            )
            self._told = frozenset(others)

    def abandoned(self, error: ClusterLost) -> ClusterLost:
        """Count what the lost workers have published; returns the error with what is kept and what is left."""
        self._take_abandoned()
        kept = sum(outcome.status in ("done", "skipped") for outcome in self.progress.done)
        return ClusterLost(
            f"{error}: {kept} of {len(self.cells)} cells are done and kept, {len(self.cells) - kept} are left; "
            f"{error.advice}the same command continues from there."
        )

    def _take_abandoned(self) -> None:
        """Count the cells whose records were published before their pack was abandoned."""
        known = {outcome.key for outcome in self.progress.done}.union(self.lost)
        for key in self.cells:
            if key not in known and (record := self._published(key)):
                self._add(outcome_of(record, "ended" if key in self.held else ""))
        self.held = [key for key in self.held if key not in {outcome.key for outcome in self.progress.done}]

    def _add(self, outcome: CellOutcome) -> None:
        self.progress.workers = self._at_a_time()
        self.progress.add(outcome)
        self.listen(outcome, self.progress)

    def _at_a_time(self) -> int:
        """Count the workers that a cluster had room for when it was last asked; all where it was not."""
        return min([self.most, *self.room])

    def _failed(self) -> bool:
        return any(outcome.status not in ("done", "skipped") for outcome in self.progress.done)

    def _published(self, key: str) -> Record | None:
        """Read the record that was published since the run was planned, if any."""
        record = self.store.read(key)
        return record if record is not None and len(record.attempts) > self.tries.get(key, -1) else None

    def _bury(self, outcome: CellOutcome) -> Record:
        """Publish the record of a cell whose worker could not."""
        cell = self.cells[outcome.key]
        record = lost_record(outcome.key, cell, outcome.status, outcome.reason or "")
        record.attempts = [*self.losses.get(outcome.key, ())]
        record.provenance = Provenance(**record.provenance.model_dump(), **origin_of(cell, self.library))
        self._put(record, {})
        return record

    def _put(self, record: Record, files: Mapping[str, bytes]) -> None:
        """Publish a record here, and give its cell free."""
        try:
            self.store.put(record, files, rerun=self.request.rerun)
            self.fleet.claims.release(record.key)
        except OSError as error:
            raise self._unwritable(error.strerror or str(error)) from error

    def _unwritable(self, why: str) -> StoreLost:
        kept = sum(outcome.status in ("done", "skipped") for outcome in self.progress.done)
        return StoreLost(
            f'store "{self.store.root}" cannot be written any more: {why}; {kept} of {len(self.cells)} cells are done '
            "and kept. Make room or give permission, and the same command continues from there."
        )


def _short(outcome: CellOutcome) -> bool:
    """Return whether a cell ran out of memory, and is known to, since its worker lived on."""
    return outcome.status == "out_of_memory" and not outcome.died
