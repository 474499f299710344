"""Nothing waits for the device within a training step: what would copy from it is counted, for every method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from bench.contracts.method import Batch, Losses
from bench.engine.member import Member
from bench.engine.pack import Pack
from bench.engine.trial import Run, one_thread
from bench.methods.coop import CoOp
from bench.plugins import METHODS
from bench.testing import fixtures
from tests.engine.packs import members
from tests.few_digits import SETTINGS
from tests.testing.test_method_contract import VARIANTS

UNTRAINED = {"zero-shot", "linear-probe", "tip-adapter"}
PAIRS = [(name, given) for name in METHODS if name not in UNTRAINED for given in ({}, *VARIANTS.get(name, ()))]
OPERATIONS = {"_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "equal", "_unique2", "bincount"}
FUNCTIONS = {"item", "tolist", "cpu", "numpy", "__array__", "__bool__", "__float__", "__int__", "__index__",
             "__contains__", "allclose", "unique"}  # fmt: skip


class Copies(TorchDispatchMode):
    """Notes operations whose outcome the host must know, but for `counters`: what is on the host by design."""

    def __init__(self, found: list[str], counters: set[int]) -> None:
        super().__init__()
        self.found, self.counters = found, counters

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masks = name in ("index", "index_put", "index_put_") and any(
            isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if (name in OPERATIONS or masks) and _place(args[0]) not in self.counters:
            self.found.append(f"{name} with a mask" if masks else name)
        return func(*args, **(kwargs or {}))


class Calls(TorchFunctionMode):
    """Notes calls that read values: on a CPU some of them copy nothing, and are no operation."""

    def __init__(self, found: list[str], counters: set[int]) -> None:
        super().__init__()
        self.found, self.counters = found, counters

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        counts = bool(args) and isinstance(args[0], Tensor) and _place(args[0]) in self.counters
        if getattr(func, "__name__", "") in FUNCTIONS and not counts:
            self.found.append(func.__name__)
        return func(*args, **(kwargs or {}))


def _place(tensor: Tensor) -> int | None:
    return None if torch._C._functorch.is_batchedtensor(tensor) else tensor.untyped_storage().data_ptr()


@contextmanager
def counted(trained: Sequence[Member]) -> Iterator[list[str]]:
    found: list[str] = []
    counters = {
        state["step"].untyped_storage().data_ptr()
        for member in trained
        if member.optimizer is not None
        for state in member.optimizer.state.values()
        if isinstance(state.get("step"), Tensor)
    }
    counters |= {tensor.untyped_storage().data_ptr() for member in trained if (tensor := _on_host(member)) is not None}
    with one_thread(), Calls(found, counters), Copies(found, counters):
        yield found


def _on_host(member: Member) -> Tensor | None:
    """Return what of an open phase is on the host by design, as a tensor of its own."""
    opened = member._opened
    assert opened is not None
    if opened.on_host is not None:
        object.__setattr__(opened, "on_host", opened.on_host.clone())
    return opened.on_host


def prepared(method: str, given: dict[str, Any], optimizer: str) -> list[Member]:
    found = []
    for cell in members(method, 2, given, optimizer=optimizer, learning_rate=0.002):
        run = Run(cell, SETTINGS)
        with one_thread():
            found.append(run.prepare())
    return found


def opened(trained: Sequence[Member]) -> Iterator[int]:
    """Open one phase after the other of two epochs, and take its first step, which makes an optimizer's state."""
    for epoch in (1, 2):
        for member in trained:
            with one_thread():
                member.begin_epoch(epoch)
        for number in range(min(len(member.phases) for member in trained)):
            for member in trained:
                member.open_phase(number)
            steps = min(member.steps for member in trained)
            for member in trained if steps else ():
                with one_thread():
                    member.gather(0)
                    member.take(0)
            if steps:
                yield steps - 1  # the step where there is padding
            for member in trained:
                member.close_phase()


def in_a_pack(trained: Sequence[Member], step: int) -> Callable[[], None]:
    with one_thread():
        for member in trained:
            member.gather(step)
        pack = Pack(trained)

    def run() -> None:
        for member, done in zip(trained, pack.train(), strict=True):
            pack.finish(member, step, done)

    return run


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("method", [name for name in METHODS if name not in UNTRAINED])
def test_a_step_copies_nothing_from_the_device(method: str, optimizer: str) -> None:
    assert_no_copy(method, {}, optimizer)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "given"), [pair for pair in PAIRS if pair[1]], ids=str)
def test_a_step_of_a_variant_copies_nothing_from_the_device(method: str, given: dict[str, Any]) -> None:
    assert_no_copy(method, given, "sgd")


def assert_no_copy(method: str, given: dict[str, Any], optimizer: str) -> None:
    trained, seen = prepared(method, given, optimizer), False
    for last in opened(trained):
        seen = True
        with counted(trained) as found:
            trained[0].gather(last)
            trained[0].take(last)
        assert found == []
        if given.get("control") == "shuffled" or given.get("fine_tune"):
            continue  # trained one by one
        run = in_a_pack(trained, last)
        with counted(trained) as found:
            run()
        assert found == []
    assert seen


class Reads(CoOp):
    how: Callable[[Batch], Any]

    def forward(self, batch: Batch) -> Losses:
        Reads.how(batch)
        return super().forward(batch)


@pytest.mark.parametrize(
    ("how", "name"),
    [
        (lambda batch: float(batch.weight.sum()), "__float__"),
        (lambda batch: bool(batch.valid.any()), "__bool__"),
        (lambda batch: batch.weight[batch.valid], "index with a mask"),
        (lambda batch: batch.weight.sum().item(), "item"),
        (lambda batch: batch.weight.cpu(), "cpu"),
        (lambda batch: batch.observed.tolist(), "tolist"),
        (lambda batch: batch.valid.nonzero(), "nonzero"),
        (lambda batch: batch.weight.numpy(), "numpy"),
        (lambda batch: torch.equal(batch.weight, batch.weight), "equal"),
    ],
)
def test_what_copies_is_counted(how: Callable[[Batch], Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reads, "how", staticmethod(how), raising=False)
    member = fixtures.member(fixtures.build(Reads, Reads.Options()))
    member.begin_epoch(1)
    member.open_phase(0)
    with counted([member]) as found:
        member.gather(0)
        member.take(0)
    assert name in found
