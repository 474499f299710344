"""The training loop that every method runs in.

The loop owns the optimizer, the learning rate, the order of the samples and the evaluation; it knows no method by name.
The plain full pass at the start of an epoch serves two readers: the method, which may partition the set by it, and the
audit of the epoch before.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts.method import IMAGES, Batch, CheckTime, Inputs, Method, Needs, Phase, images_at_a_time, no_limit
from bench.dataset_name import stream_name
from bench.engine.audit import Audit, Number
from bench.engine.optim import learning_rate, optimizer_of
from bench.records.cell import Cell
from bench.seeds import Stream

Ask: TypeAlias = Callable[[Inputs, Mapping[str, Tensor]], Tensor]
POOLED_CHUNK = 4096
VIEWS = ("plain", "augmented")


class Diverged(ArithmeticError):
    """Error of a loss that is not finite."""


class TimedOut(TimeoutError):
    """Error of a cell that has used up its time."""


@dataclass(frozen=True)
class TrainingData:
    """Features and observed labels of one run. True labels are with the audit alone.

    Attributes:
        train: features of all N training samples.
        observed: observed labels, [N].
        visible: positions that the method is given, [M]; fewer than N for the oracle row.
        validation: features and observed labels of the validation twin.
        views: features of the same training samples under augmented views; epoch e trains on number e - 1, counted
            round, or on `train` where there are none.
    """

    train: Inputs
    observed: Tensor
    visible: Tensor
    validation: tuple[Inputs, Tensor]
    test: Inputs
    classes: int
    views: Sequence[Inputs] = ()

    def seen(self, epoch: int) -> Inputs:
        """Return the training inputs of an epoch, counted from 1."""
        return self.views[(epoch - 1) % len(self.views)] if self.views else self.train


@dataclass
class TrainingLog:
    """Progress of a run: steps by loss term, forward passes on one batch, and the method's reports."""

    steps: Counter[str] = field(default_factory=Counter)
    forward_passes: int = 0
    diagnostics: list[dict[str, Number]] = field(default_factory=list)


def chunk_of(needs: Needs, classes: int) -> int:
    """Return the number of samples per prediction call. With a text per image and class it is lower where classes are
    many.

    A chunk is the longest that a deadline waits for.
    """
    if needs.per_image_text:
        return images_at_a_time(classes)
    return IMAGES if needs.pixels else POOLED_CHUNK


@torch.no_grad()
def collect(
    ask: Ask, inputs: Inputs, prepared: Mapping[str, Tensor], chunk: int, check_time: CheckTime = no_limit
) -> Tensor:
    """Collect a method's `predict` or `scores` for all inputs, [..., N, C], `chunk` samples at a time.

    Raises:
        TimedOut: `check_time`, asked before every chunk, raised it.
    """
    parts = []
    for start in range(0, len(inputs), chunk):
        check_time()
        parts.append(ask(inputs.take(slice(start, start + chunk)), prepared).float())
    return torch.cat(parts, dim=-2)


@torch.no_grad()
def collect_samples(method: Method, inputs: Inputs, chunk: int) -> dict[str, Tensor]:
    """Collect a method's `per_sample` for all inputs, [N] by name, `chunk` samples at a time. Empty where it has none.

    Raises:
        ValueError: a number is not one for each sample.
        TimedOut: the method's deadline has passed.
    """
    parts: list[Mapping[str, Tensor]] = []
    for start in range(0, len(inputs) if type(method).per_sample is not Method.per_sample else 0, chunk):
        method.check_time()
        part = inputs.take(slice(start, start + chunk))
        parts.append(method.per_sample(part))
        if not parts[0]:
            return {}
        if wrong := [name for name, values in parts[-1].items() if values.shape != (len(part),)]:
            raise ValueError(f"{type(method).__name__}.per_sample: expected {wrong[0]} of shape [{len(part)}]")
    return {name: torch.cat([part[name].float() for part in parts]) for name in (parts[0] if parts else ())}


class Loop:
    """Run of one cell.

    Args:
        audit: receives the predictions of every evaluated epoch.
        deadline: time of the clock at which the run is given up, or None.
        clock: in seconds.

    Raises (from `run`):
        Diverged: a loss is not finite; the rows up to the last finished evaluation stand.
        TimedOut: the deadline has passed.
    """

    def __init__(
        self,
        method: Method,
        cell: Cell,
        data: TrainingData,
        audit: Audit,
        deadline: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.method, self.cell, self.data, self.audit = method, cell, data, audit
        self.deadline, self.clock = deadline, clock
        self.log = TrainingLog()
        self.parameters = [p for p in method.parameters() if p.requires_grad]
        self.needs = method.needs(method.options)
        self.chunk = chunk_of(self.needs, data.classes)
        self.epoch = 0
        method.check_time = self._check_time
        self._evaluated: tuple[Tensor, dict[str, Tensor]] | None = None  # until the parameters move again

    def run(self) -> TrainingLog:
        """Train, evaluate, and append the last row after `finalize`."""
        phases: tuple[Phase, ...] = ()
        if self.parameters:
            optimizer = optimizer_of(self.cell, self.parameters)
            for epoch in range(1, self.cell.epochs + 1):
                self._evaluate(epoch - 1, phases, tested=(epoch - 1) % self.cell.eval_every == 0)
                self.epoch = epoch
                phases = self.method.begin_epoch(epoch, self._full_pass)
                self._check_time()
                self._evaluated = None
                for number, phase in enumerate(phases):
                    self._train_phase(optimizer, epoch, number, phase)
                self.method.end_epoch(epoch)
        self._check_time()
        self.method.finalize(self.data.validation if self.needs.validation else None)
        prepared = self._evaluate(self.cell.epochs if self.parameters else 0, phases)
        self._probe(prepared)
        return self.log

    def _full_pass(self, view: str = "plain") -> Tensor:
        if not self.needs.full_pass:
            raise LookupError(f"{type(self.method).__name__} asks for a full pass that its needs do not declare")
        if view not in VIEWS:
            raise ValueError(f"unknown view {view!r}: expected one of {', '.join(VIEWS)}")
        self.log.forward_passes += math.ceil(len(self.data.visible) / self.cell.batch_size)
        visible, plain = self.data.visible, view == "plain" or not self.data.views
        full, prepared = self._evaluated or (None, self._prepare())
        if plain and full is not None and type(self.method).scores is Method.scores:
            return full[visible]
        inputs = self.data.train if plain else self.data.seen(self.epoch)
        scores = self._collect(self.method.scores, inputs.only(visible), prepared)
        self._check_time()
        return scores

    def _collect(self, ask: Ask, inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        return collect(ask, inputs, prepared, self.chunk, self._check_time)

    @torch.no_grad()
    def _prepare(self) -> dict[str, Tensor]:
        return self.method.prepare()

    def _evaluate(self, epoch: int, phases: tuple[Phase, ...], tested: bool = True) -> dict[str, Tensor]:
        self._check_time()
        prepared, data = self._prepare(), self.data
        full = self._collect(self.method.predict, data.train, prepared)
        self._evaluated = full, prepared
        held_out = (data.test, data.validation[0]) if tested else ()
        predicted = [self._collect(self.method.predict, part, prepared) for part in held_out]
        test, validation = predicted or (None, None)
        if not all(bool(values.isfinite().all()) for values in (full, validation, test) if values is not None):
            raise Diverged(f"predictions after epoch {epoch} are not finite")
        self.audit.measure(epoch, full, test, validation, phases)
        told = self.audit.by_truth(collect_samples(self.method, data.train, self.chunk))
        self.log.diagnostics.append({**self.method.diagnostics(), **told})
        return prepared

    @torch.no_grad()
    def _probe(self, prepared: dict[str, Tensor]) -> None:
        for name, predict in self.method.probes().items():
            self._check_time()
            guess = predict(self.data.test, prepared).argmax(1)
            self.log.diagnostics[-1][f"{name}_test_accuracy"] = float((guess == self.audit.test).double().mean())

    def _train_phase(self, optimizer: torch.optim.Optimizer, epoch: int, number: int, phase: Phase) -> None:
        if phase.train is not None:
            for name, parameter in self.method.named_parameters():
                parameter.requires_grad_(name in phase.train)
        order = Stream(self.cell.seed, "order", stream_name(self.cell.dataset), self.cell.shots, epoch, number)
        drop_last = self.cell.drop_last or self.method.drops_last(self.method.options)
        batches = list(_batches(phase, self.cell.batch_size, order, drop_last))
        for step, positions in enumerate(batches):
            stream = Stream(self.cell.seed, "method", self.cell.method, "step", epoch, number, step)
            draws = self.method.draw(epoch, step, len(positions), stream)
            for group in optimizer.param_groups:
                group["lr"] = phase.rate * learning_rate(epoch - 1, self.cell, step / len(batches))
            self._step(optimizer, self._batch(phase, number, positions, draws))
        for parameter in self.parameters if phase.train is not None else ():
            parameter.requires_grad_(True)

    def _batch(self, phase: Phase, number: int, positions: NDArray[np.int64], draws: dict[str, Tensor]) -> Batch:
        device = self.data.observed.device
        padded = torch.from_numpy(positions).to(device)
        index = padded.clamp(min=0)
        inputs, observed = phase.own or (self.data.seen(self.epoch), self.data.observed)
        source = self.data.visible[index] if phase.own is None else index
        return Batch(
            index=index,
            valid=padded >= 0,
            group=phase.group[index],
            weight=phase.weight[index],
            observed=observed[source],
            target=None if phase.target is None else phase.target[index],
            inputs=inputs.take(source),
            draws={name: value.to(device) for name, value in draws.items()},
            phase=number,
        )

    def _step(self, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
        self._check_time()
        losses = self.method(batch)
        total = torch.stack(list(losses.terms.values())).sum()
        if not bool(torch.isfinite(total)):
            raise Diverged(f"loss is {float(total.detach())} after {self.log.steps.total()} steps")
        optimizer.zero_grad(set_to_none=True)
        if self.needs.separate_gradients:
            self._combine(losses.terms)
        else:
            total.backward()  # type: ignore[no-untyped-call] # torch is untyped here
        optimizer.step()
        for name, rows in losses.state.items():
            self.method.get_buffer(name)[batch.index[batch.valid]] = rows[batch.valid].detach()
        self.log.forward_passes += 1
        self.log.steps.update(name for name, value in losses.terms.items() if float(value.detach()) != 0)
        self.log.steps["all"] += 1

    def _combine(self, terms: Mapping[str, Tensor]) -> None:
        """Pass the gradient of each term to the method, and its answer to the optimizer."""
        trained = {name: p for name, p in self.method.named_parameters() if p.requires_grad}
        gradients = {
            term: dict(
                zip(
                    trained,
                    torch.autograd.grad(value, list(trained.values()), retain_graph=True, materialize_grads=True),
                    strict=True,
                )
            )
            for term, value in terms.items()
        }
        for name, gradient in self.method.combine(gradients).items():
            trained[name].grad = gradient.detach()

    def _check_time(self) -> None:
        check_time(self.deadline, f"after {self.log.steps['all']} steps", self.clock)


def check_time(deadline: float | None, when: str, clock: Callable[[], float] = time.monotonic) -> None:
    """Raise TimedOut past a deadline of the clock; `when` says how far the run is."""
    if deadline is not None and clock() > deadline:
        raise TimedOut(f"used up its time {when}")


def _batches(phase: Phase, size: int, order: Stream, drop_last: bool) -> Iterator[NDArray[np.int64]]:
    """Yield positions of each step, -1 on padding.

    Shape [size], or [2·size] for a paired cycle (group 0 first, then group 1). With `drop_last` the last batch of a
    pass is left out where it is not full, unless it is the only one: as the loader of Dassl does, which CoOp builds on.
    """
    group = phase.group.cpu().numpy()
    if phase.policy == "single":
        permutation = order.permutation(len(group))
        yield from _chunks(permutation[group[permutation] >= 0], size, drop_last)
        return
    halves = _cycles([np.flatnonzero(group == number) for number in (0, 1)], size, order, drop_last)
    for first, second in zip(*halves, strict=True):
        yield np.concatenate([first, second])


def _trained(count: int, size: int, drop_last: bool) -> int:
    return count - count % size if drop_last and count >= size else count


def _chunks(positions: NDArray[np.int64], size: int, drop_last: bool) -> Iterator[NDArray[np.int64]]:
    for start in range(0, _trained(len(positions), size, drop_last), size):
        chunk = positions[start : start + size]
        yield np.pad(chunk, (0, size - len(chunk)), constant_values=-1)


def _cycles(
    groups: Sequence[NDArray[np.int64]], size: int, order: Stream, drop_last: bool
) -> list[list[NDArray[np.int64]]]:
    """Return as many padded chunks of each group as the largest has, reshuffled at every pass.

    Padding alone where a group has no member.
    """
    steps = max(math.ceil(_trained(len(members), size, drop_last) / size) for members in groups)
    found = []
    for members in groups:
        chunks: list[NDArray[np.int64]] = []
        while len(chunks) < steps and len(members):
            chunks.extend(_chunks(members[order.permutation(len(members))], size, drop_last))
        found.append((chunks + [np.full(size, -1, dtype=np.int64)] * steps)[:steps])
    return found
