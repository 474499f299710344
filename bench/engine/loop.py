"""The training loop that every method runs in, for one cell or for the members of a pack in lockstep.

The loop knows no method by name. Members share nothing but computations: each has its own parameters, optimizer,
phases, orders, draws and records, and leaves by itself where it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import monotonic

import torch
from torch import Tensor

from bench.contracts.method import Method
from bench.engine.audit import measure
from bench.engine.member import Member, Step, TrainingLog
from bench.engine.pack import Pack, Unlike
from bench.engine.width import fitting
from bench.errors import described, short_of_memory
from bench.global_state import put_back
from bench.grid.options import alone


def train(member: Member) -> TrainingLog:
    """Train one member alone. Raises what ended it, if anything has."""
    Loop([member]).run()
    if member.error is not None:
        raise member.error
    return member.log


class Loop:
    """Run of members that share data set, shots, backbone, method and all that is structural.

    Args:
        members: one, or more that are trained in lockstep.
        width: how many at a time; None for as many as memory allows, measured at the first step.

        guarded: whether global state that one member changes is put back before the next one's turn.

    Attributes:
        alone: why they are trained one by one after all, or empty.
    """

    def __init__(self, members: Sequence[Member], width: int | None = None, guarded: bool = False) -> None:
        self.members, self.width = members, width or len(members)
        self._measured, self._guarded = width is not None or len(members) == 1, guarded and len(members) > 1
        self.alone = ""
        self._prepares, self._by_shape = True, False
        if len(members) > 1 and (reason := alone(members[0].cell.method, members[0].cell.options)):
            self.width, self.alone = 1, reason

    def run(self) -> None:
        """Train and evaluate, and append the last row after `finalize`. What fails is kept as a member's `error`."""
        cell, trained = self.members[0].cell, bool(self.members[0].parameters)
        for epoch in range(1, cell.epochs + 1 if trained else 0):
            self._evaluate(epoch - 1, tested=(epoch - 1) % cell.eval_every == 0)
            self._ask(partial(Member.begin_epoch, epoch=epoch))
            for number in range(max((len(member.phases) for member in self._alive()), default=0)):
                self._train_phase(number)
            self._ask(Member.end_epoch)
        self._ask(Member.finalize)
        self._evaluate(cell.epochs if trained else 0)
        self._ask(Member.probe)

    def _alive(self) -> list[Member]:
        return [member for member in self.members if member.error is None]

    def _each(self, action: Callable[[Member], object], members: Sequence[Member] | None = None) -> None:
        """Run what concerns one member only; where it fails, that member leaves."""
        for member in self.members if members is None else members:
            if member.error is not None:
                continue
            try:
                with member.watch.running():
                    action(member)
            except Exception as error:  # noqa: BLE001 - it is the member's result; the others go on
                member.leave(error)

    def _ask(self, action: Callable[[Member], object]) -> None:
        """Run what asks each member's method."""
        for member in self._alive():
            self._each(action, [member])
            if self._guarded:
                put_back()

    def _groups(self, members: Sequence[Member]) -> Iterator[Sequence[Member]]:
        alike: dict[object, list[Member]] = {}
        for member in members:
            alike.setdefault(self._by_shape and _shapes(member), []).append(member)
        for part in alike.values():
            for start in range(0, len(part), self.width):
                yield part[start : start + self.width]

    def _evaluate(self, epoch: int, tested: bool = True) -> None:
        prepared: dict[int, dict[str, Tensor]] = {}
        for group in self._groups(self._alive()):
            prepared |= self._prepared(group)
        self._ask(lambda member: member.predict(epoch, prepared.get(id(member)), tested))
        shapes: dict[tuple[torch.Size, ...], list[Member]] = {}
        for member in self._alive():
            shapes.setdefault(tuple(values.shape for values in member.predictions), []).append(member)
        for group in shapes.values():
            self._audit(epoch, group)
        self._ask(Member.report)

    def _audit(self, epoch: int, group: Sequence[Member]) -> None:
        """Compare the predictions of members with the truth, all at once unless one of them is beyond that."""
        audits, phases = [member.audit for member in group], [member.phases for member in group]
        began, rows = monotonic(), len(audits[0].rows)
        full, *held_out = (torch.stack(values) for values in zip(*(m.predictions for m in group), strict=True))
        test, validation = held_out or (None, None)
        apart: Sequence[Member] = ()
        try:
            measure(audits, epoch, full, test, validation, phases)
        except Exception as error:  # noqa: BLE001 - whose it is shows when each is measured by itself
            if len(group) == 1:
                group[0].leave(error)
            else:
                apart = group
        _share(group, monotonic() - began)
        for member in apart:
            del member.audit.rows[rows:], member.audit.losses[rows:], member.audit.predictions[rows:]
            self._audit(epoch, [member])

    def _prepared(self, group: Sequence[Member]) -> dict[int, dict[str, Tensor]]:
        """Prepare the predictions of members together, by identity; nothing where each has to do so by itself."""
        if len(group) == 1 or not self._prepares or type(group[0].method).prepare is Method.prepare:
            return {}
        began = monotonic()
        try:
            return {id(member): found for member, found in zip(group, Pack(group).prepare(), strict=True)}
        except Exception as error:  # noqa: BLE001 - whose it is shows when each does it
            if short_of_memory(error):
                self._separate(error, group)
            else:
                self._prepares = False
            return {}
        finally:
            _share(group, monotonic() - began)

    def _train_phase(self, number: int) -> None:
        opened = [member for member in self._alive() if number < len(member.phases)]
        self._each(partial(Member.open_phase, number=number), opened)
        if not self._measured:
            self._each(self._measure, [member for member in opened if member.steps][:1])
        for group in self._groups(opened):
            self._train_group(group)
        self._each(Member.close_phase, opened)

    def _train_group(self, group: Sequence[Member], first: int = 0) -> None:
        """Take the steps of an open phase from `first` on. A member that has no further step waits for the others."""
        pack: Pack | None = None
        for step in range(first, max(member.steps for member in group)):
            self._each(partial(Member.gather, step=step), [member for member in group if step < member.steps])
            active = [member for member in group if member.error is None and step < member.steps]
            if len(active) < 2 or self.width == 1:
                self._each(partial(Member.take, step=step), active)
                continue
            began = monotonic()
            found = self._together(pack, active)
            if found is None:  # the error is gone by now, and with it what the step had allocated
                pack = None
                for part in self._groups(active):
                    self._train_group(part, step)
                return
            pack, done = found
            _share(active, monotonic() - began)
            for member, outcome in zip(active, done, strict=True):
                self._each(partial(pack.finish, step=step, done=outcome), [member])

    def _together(self, pack: Pack | None, active: Sequence[Member]) -> tuple[Pack, list[Step]] | None:
        """Compute a step of members at once; None where they have to be divided first."""
        try:
            pack = pack if pack is not None and pack.members == active else Pack(active)
            return pack, pack.train()
        except Exception as error:  # noqa: BLE001 - whose it is shows when each steps by itself
            self._separate(error, active)
            return None

    def _measure(self, member: Member) -> None:
        """Take as many members at a time as fit into memory beside each other."""
        self._measured = True
        member.gather(0)
        self.width = fitting(member, self.width)

    def _separate(self, error: Exception, group: Sequence[Member]) -> None:
        """Take fewer members at a time.

        Half of them where memory was short, those with buffers of equal shapes where these differ, else one, and then
        keep the reason.
        """
        if short_of_memory(error) and self.width > 1:
            self.width //= 2
            torch.cuda.empty_cache()
            return
        if not self._by_shape and len({_shapes(member) for member in group}) > 1:
            self._by_shape = True
            return
        self.width, self.alone = 1, str(error) if isinstance(error, Unlike) else described(error)


def _shapes(member: Member) -> tuple[torch.Size, ...]:
    return tuple(buffer.shape for buffer in member.method.buffers())


def _share(members: Sequence[Member], seconds: float) -> None:
    for member in members:
        member.watch.spent += seconds / len(members)
