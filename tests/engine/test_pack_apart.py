"""Members that leave a pack, packs that cannot be run as one, and memory that is short."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.contracts import method
from bench.engine.loop import Loop, train
from bench.engine.member import Member
from bench.engine.pack import Pack
from bench.engine.stopwatch import Stopwatch, TimedOut
from bench.methods.coop import CoOp
from bench.testing import fixtures

WHICH = 1  # the member that fails


class Plain(CoOp):
    """CoOp; `spoilt` is true in one member."""

    class Options(CoOp.Options):
        factor: float = method.scalar(1.0, "factor of the loss", ge=0)

    spoilt = False
    factor: Tensor

    def forward(self, batch: method.Batch) -> method.Losses:
        found = super().forward(batch)
        return method.Losses({name: self.factor * value for name, value in found.terms.items()}, found.state)


class Diverges(Plain):
    def setup(self, context: method.Context) -> None:
        super().setup(context)
        self.register_buffer("nan", torch.zeros(()))

    def end_epoch(self, epoch: int) -> None:
        if self.spoilt:
            self.get_buffer("nan").fill_(float("nan"))

    def forward(self, batch: method.Batch) -> method.Losses:
        found = super().forward(batch)
        return method.Losses({name: value + self.get_buffer("nan") for name, value in found.terms.items()})


class RaisesInForward(Plain):
    def forward(self, batch: method.Batch) -> method.Losses:
        if self.spoilt:
            raise ValueError("no forward")
        return super().forward(batch)


class RaisesInEpoch(Plain):
    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        if self.spoilt and epoch == 2:
            raise ValueError("no second epoch")
        return super().begin_epoch(epoch, full_pass)


class RaisesInDraw(Plain):
    def draw(self, epoch: int, step: int, size: int, stream: Any) -> dict[str, Tensor]:
        if self.spoilt and (epoch, step) == (2, 1):
            raise ValueError("no draw")
        return {}


class RaisesInDiagnostics(Plain):
    def diagnostics(self) -> dict[str, float]:
        if self.spoilt and self.context.grad is not None:
            raise ValueError("no diagnostics")
        return super().diagnostics()


class RaisesPerSample(Plain):
    def per_sample(self, inputs: method.Inputs) -> Mapping[str, Tensor]:
        return {"wrong": inputs.pooled} if self.spoilt else {"size": inputs.pooled.square().sum(1)}


class RaisesInPrepare(Plain):
    def prepare(self) -> dict[str, Tensor]:
        if self.spoilt and self.context.grad is not None:
            raise ValueError("no text")
        return super().prepare()


class RaisesInFinalize(Plain):
    def finalize(self, validation: Any) -> None:
        if self.spoilt:
            raise ValueError("no end")


class WrongState(Plain):
    def forward(self, batch: method.Batch) -> method.Losses:
        found = super().forward(batch)
        return method.Losses(found.terms, {"seen": torch.ones_like(batch.weight)})

    def setup(self, context: method.Context) -> None:
        super().setup(context)
        self.register_buffer("seen", torch.zeros(len(context.observed)))

    def end_epoch(self, epoch: int) -> None:
        if self.spoilt:
            self.seen = torch.zeros(2)


def make(kind: type[Plain], count: int = 4, **changes: Any) -> list[Member]:
    found = []
    for number in range(count):
        built = fixtures.build(
            kind, kind.Options(factor=1 - number / 10, **changes), number + 1, fixtures.labels(number)
        )
        built.spoilt = number == WHICH
        found.append(fixtures.member(built, number + 1))
    return found


def ended(member: Member) -> tuple[Any, ...]:
    return type(member.error), str(member.error), member.audit.rows, member.log.diagnostics, dict(member.log.steps)


def assert_alike(one: list[Member], other: list[Member], but: int | None = None) -> None:
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        assert ended(a) == ended(b)
        if number != but:
            states = a.method.state_dict(), b.method.state_dict()
            assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize(
    ("kind", "message", "apart"),
    [
        (Diverges, "loss is nan after 3 steps", ""),
        (RaisesInForward, "no forward", 'its code reads "spoilt", which is no buffer, and another in each member'),
        (RaisesInEpoch, "no second epoch", ""),
        (RaisesInDraw, "no draw", ""),
        (RaisesInDiagnostics, "no diagnostics", ""),
        (RaisesPerSample, "expected wrong of shape [20]", ""),
        (RaisesInPrepare, "no text", ""),
        (RaisesInFinalize, "no end", ""),
        (WrongState, "index", ""),
    ],
)
def test_one_leaves_with_its_reason_and_the_others_have_the_bits_that_they_have_alone(
    kind: type[Plain], message: str, apart: str
) -> None:
    one, other = make(kind), make(kind)
    for member in one:
        Loop([member]).run()
    loop = Loop(other)
    loop.run()
    assert [member.error is not None for member in other] == [number == WHICH for number in range(4)]
    assert message in str(other[WHICH].error)
    assert_alike(one, other, but=WHICH)
    assert loop.alone == apart


def test_each_has_its_own_share_of_the_time() -> None:
    """Its clock stands at a second for each part of work; the others' at none."""
    one, other = make(Plain), make(Plain)
    now = [0]
    other[WHICH].watch = Stopwatch(5, lambda: now.__setitem__(0, now[0] + 1) or now[0])
    for member in one:
        train(member)
    Loop(other).run()
    assert isinstance(other[WHICH].error, TimedOut)
    assert str(other[WHICH].error).startswith("used up its time after ")
    others = [member for number, member in enumerate(other) if number != WHICH]
    assert_alike([member for number, member in enumerate(one) if number != WHICH], others)


class Branches(Plain):
    def forward(self, batch: method.Batch) -> method.Losses:
        return super().forward(batch) if bool(batch.valid.any()) else method.Losses({"ce": self.context.sum() * 0})


class ReadsANumber(Plain):
    def forward(self, batch: method.Batch) -> method.Losses:
        return method.Losses({name: self.factor.item() * v for name, v in super().forward(batch).terms.items()})


class ReadsAnOption(Plain):
    def forward(self, batch: method.Batch) -> method.Losses:
        return method.Losses({name: self.options.factor * v for name, v in super().forward(batch).terms.items()})  # type: ignore[attr-defined]


class ReadsAnAttribute(Plain):
    def setup(self, context: method.Context) -> None:
        super().setup(context)
        self.share = context.observed.bincount(minlength=len(context.class_names)) / len(context.observed)

    def forward(self, batch: method.Batch) -> method.Losses:
        found = super().forward(batch).terms
        return method.Losses({name: value * self.share.square().sum() for name, value in found.items()})


class DrawsGlobally(Plain):
    def forward(self, batch: method.Batch) -> method.Losses:
        return method.Losses({n: v * (1 + 0 * torch.rand(())) for n, v in super().forward(batch).terms.items()})


class WritesInPlace(Plain):
    def setup(self, context: method.Context) -> None:
        super().setup(context)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, batch: method.Batch) -> method.Losses:
        self.get_buffer("count").add_(batch.weight.sum())
        return super().forward(batch)

    def diagnostics(self) -> dict[str, float]:
        return {"count": float(self.get_buffer("count"))}


class SetsABuffer(WritesInPlace):
    def forward(self, batch: method.Batch) -> method.Losses:
        self.count = self.get_buffer("count") + batch.weight.sum()
        return Plain.forward(self, batch)


class SetsAnAttribute(Plain):
    last: Any = None

    def forward(self, batch: method.Batch) -> method.Losses:
        found = super().forward(batch)
        self.last = found.terms["ce"].detach()
        return found

    def diagnostics(self) -> dict[str, float]:
        return {} if self.last is None else {"last": float(self.last)}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Branches, "its code branches on the value of a tensor"),
        (ReadsANumber, "its code reads the value of a tensor as a number"),
        (ReadsAnOption, 'its code reads "factor", which is a scalar option: its value is the buffer of its name'),
        (ReadsAnAttribute, 'its code reads "share", which is no buffer, and another in each member'),
        (DrawsGlobally, "its code draws from torch's global generator"),
        (WritesInPlace, 'its code writes to "count"'),
        (SetsABuffer, 'its code sets the buffer "count"'),
        (SetsAnAttribute, 'its code sets "last"'),
    ],
)
def test_what_cannot_be_run_together_is_trained_one_by_one_and_says_why(kind: type[Plain], reason: str) -> None:
    one, other = make(kind), make(kind)
    for member in one:
        train(member)
    loop = Loop(other)
    loop.run()
    assert loop.alone == reason
    assert_alike(one, other)
    assert not any(member.error for member in other)


CPU_IS_SHORT = (
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "800000000000 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("when", "error"),
    [
        (0, torch.OutOfMemoryError("no memory")), (1, torch.OutOfMemoryError("no memory")),
        (4, torch.OutOfMemoryError("no memory")), (1, RuntimeError(CPU_IS_SHORT)), (1, MemoryError()),
    ],
    ids=str,
)  # fmt: skip
def test_where_memory_is_short_half_as_many_are_taken_with_the_same_bits(
    when: int, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = make(Plain), make(Plain)
    for member in one:
        train(member)
    widths: list[int] = []
    whole: Callable[[Pack], Any] = Pack.train

    def short_once(pack: Pack) -> Any:
        widths.append(len(pack.members))
        if len(widths) == when + 1:
            raise error
        return whole(pack)

    monkeypatch.setattr(Pack, "train", short_once)
    loop = Loop(other, width=4)
    loop.run()
    assert (loop.width, loop.alone) == (2, "")
    assert widths == [4] * (when + 1) + [2] * 2 * (9 - when)
    assert_alike(one, other)


def test_what_a_step_had_in_hand_is_let_go_before_fewer_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[[Pack], Any] = Pack.train
    held: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []

    def short_once(pack: Pack) -> Any:
        if not held:
            large = torch.zeros(1000)
            held.append(weakref.ref(large))
            raise torch.OutOfMemoryError("no memory")
        alive.append(held[0]() is not None)
        return whole(pack)

    monkeypatch.setattr(Pack, "train", short_once)
    Loop(make(Plain), width=4).run()
    assert set(alive) == {False}


class RunsOutOfMemory(Plain):
    def forward(self, batch: method.Batch) -> method.Losses:
        if self.spoilt:
            large = torch.zeros(1000)
            HELD.append(weakref.ref(large))
            raise RuntimeError(CPU_IS_SHORT)
        return super().forward(batch)


HELD: list[weakref.ref[Tensor]] = []


def test_the_member_that_runs_out_of_memory_leaves_and_holds_none() -> None:
    HELD.clear()
    members = make(RunsOutOfMemory)
    Loop(members, width=4).run()
    assert [str(member.error) if member.error else "" for member in members] == ["", CPU_IS_SHORT, "", ""]
    assert [held() for held in HELD] == [None] * len(HELD) != []
