"""One cell in training: its method, optimizer, order of samples, losses and evaluation.

`bench.engine.loop` drives it, alone or beside the other members of a pack. The plain full pass at the start of an epoch
serves two readers: the method, which may partition the set by it, and the audit of the epoch before.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from bench.contracts.method import Batch, Inputs, Losses, Method, Phase
from bench.dataset_name import stream_name
from bench.engine.audit import Audit, Number
from bench.engine.memory import let_go
from bench.engine.optim import learning_rate, optimizer_of
from bench.engine.order import positions_of
from bench.engine.prediction import Ask, chunk_of, collect, collect_samples
from bench.engine.stopwatch import Stopwatch
from bench.records.cell import Cell
from bench.seeds import Stream

VIEWS = ("plain", "augmented")


class Diverged(ArithmeticError):
    """Error of a loss that is not finite."""


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


@dataclass(frozen=True)
class OpenPhase:
    """A phase in training: what each of its S steps takes, [S, B] on the device.

    But for `positions`, and `on_host`, which is `source` for images that are decoded or scaled.
    """

    number: int
    phase: Phase
    positions: np.typing.NDArray[np.int64]
    index: Tensor
    valid: Tensor
    source: Tensor
    group: Tensor
    weight: Tensor
    observed: Tensor
    inputs: Inputs
    on_host: Tensor | None


@dataclass(frozen=True)
class Step:
    """Outcome of one step before the optimizer moves.

    It has the terms' names, their values and sum [T + 1], and rows of state.
    """

    names: tuple[str, ...]
    values: Tensor
    state: Mapping[str, Tensor]


class Member:
    """State of one cell in training.

    Attributes:
        error: why it left; None while it is trained, and at its end.
        phases: of the epoch in training.
        batch: of the step in hand.
        predictions: of the last evaluation: training set [N, C], and test and validation set where they were asked for.
        taken: optimizer steps so far.

    Args:
        audit: receives the predictions of every evaluated epoch.
        watch: counts the time, and ends the cell when it is up.
    """

    def __init__(
        self, method: Method, cell: Cell, data: TrainingData, audit: Audit, watch: Stopwatch | None = None
    ) -> None:
        self.method, self.cell, self.data, self.audit = method, cell, data, audit
        self.watch = watch or Stopwatch()
        self.log = TrainingLog()
        self.parameters = [p for p in method.parameters() if p.requires_grad]
        self.optimizer = optimizer_of(cell, self.parameters) if self.parameters else None
        self.needs = method.needs(method.options)
        self.chunk = chunk_of(self.needs, data.classes)
        self.error: Exception | None = None
        self.epoch = self.taken = 0
        self.phases: tuple[Phase, ...] = ()
        self.batch: Batch
        self.predictions: tuple[Tensor, ...] = ()
        method.check_time = self.check_time
        self._draws = type(method).draw is not Method.draw
        self._evaluated: tuple[Tensor, dict[str, Tensor]] | None = None  # until the parameters move again
        self._opened: OpenPhase | None = None
        self._unread: list[Step] = []

    def check_time(self) -> None:
        """Raise TimedOut where the time is used up."""
        self.watch.check(f"after {self.taken} steps")

    def leave(self, error: Exception) -> None:
        """End the training with an error; a loss that was not finite before it is the reason then."""
        self.error = let_go(error)
        try:
            self.read_losses()
        except Diverged as earlier:
            self.error = earlier

    @torch.no_grad()
    def prepare(self) -> dict[str, Tensor]:
        """Compute what all predictions of an evaluation share."""
        return self.method.prepare()

    def begin_epoch(self, epoch: int) -> None:
        """Ask the method for the phases of an epoch.

        Raises:
            ValueError: a phase is not of all samples.
        """
        self.epoch = epoch
        self.phases = self.method.begin_epoch(epoch, self._full_pass)
        for phase in self.phases:
            self._check(phase)
        self.check_time()
        self._evaluated = None

    def _check(self, phase: Phase) -> None:
        count = len(self.data.visible) if phase.own is None else len(phase.own[1])
        for name in ("group", "weight", "target"):
            values = getattr(phase, name)
            if values is not None and len(values) != count:
                raise ValueError(
                    f"{type(self.method).__name__}.begin_epoch: expected a {name} for each of {count} samples, "
                    f"found {len(values)}"
                )

    def end_epoch(self) -> None:
        """Read the losses of the epoch, and let the method end it.

        Raises:
            Diverged: one is not finite.
        """
        self.read_losses()
        self.method.end_epoch(self.epoch)

    def finalize(self) -> None:
        """End the training."""
        self.check_time()
        self.method.finalize(self.data.validation if self.needs.validation else None)

    def predict(self, epoch: int, prepared: dict[str, Tensor] | None, tested: bool) -> None:
        """Predict the training set, and where `tested` those held out; `prepared` is None where nobody has prepared it.

        Raises:
            Diverged: a prediction is not finite; the rows up to the last finished evaluation stand.
            ValueError: it is not of all classes.
        """
        self.check_time()
        data, prepared = self.data, self.prepare() if prepared is None else prepared
        sets = (data.train, data.test, data.validation[0]) if tested else (data.train,)
        full, *held_out = [self._collect(self.method.predict, inputs, prepared) for inputs in sets]
        for inputs, values in zip(sets, (full, *held_out), strict=True):
            if values.shape != (len(inputs), data.classes):
                raise ValueError(
                    f"{type(self.method).__name__}.predict: expected logits of shape [{len(inputs)}, {data.classes}], "
                    f"found {list(values.shape)}"
                )
        if not bool(torch.stack([values.isfinite().all() for values in (full, *held_out)]).all()):
            raise Diverged(f"predictions after epoch {epoch} are not finite")
        self.predictions = (full, *held_out)
        self._evaluated = full, prepared

    def report(self) -> None:
        """Append the method's own numbers of the last evaluation."""
        told = self.audit.by_truth(collect_samples(self.method, self.data.train, self.chunk))
        self.log.diagnostics.append({**self.method.diagnostics(), **told})

    @torch.no_grad()
    def probe(self) -> None:
        """Ask the method's further ways to predict, after the last evaluation."""
        assert self._evaluated is not None  # noqa: S101 - by the order of the loop
        for name, predict in self.method.probes().items():
            self.check_time()
            guess = predict(self.data.test, self._evaluated[1]).argmax(1)
            self.log.diagnostics[-1][f"{name}_test_accuracy"] = float((guess == self.audit.test).double().mean())

    def _full_pass(self, view: str = "plain") -> Tensor:
        if not self.needs.full_pass:
            raise LookupError(f"{type(self.method).__name__} asks for a full pass that its needs do not declare")
        if view not in VIEWS:
            raise ValueError(f"unknown view {view!r}: expected one of {', '.join(VIEWS)}")
        self.log.forward_passes += math.ceil(len(self.data.visible) / self.cell.batch_size)
        visible, plain = self.data.visible, view == "plain" or not self.data.views
        full, prepared = self._evaluated or (None, self.prepare())
        if plain and full is not None and type(self.method).scores is Method.scores:
            return full[visible]
        inputs = self.data.train if plain else self.data.seen(self.epoch)
        scores = self._collect(self.method.scores, inputs.only(visible), prepared)
        self.check_time()
        return scores

    def _collect(self, ask: Ask, inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        return collect(ask, inputs, prepared, self.chunk, self.check_time)

    @property
    def _open(self) -> OpenPhase:
        assert self._opened is not None  # noqa: S101 - by the order of the loop
        return self._opened

    @property
    def steps(self) -> int:
        """Number of steps of the open phase."""
        return 0 if self._opened is None else len(self._opened.positions)

    def open_phase(self, number: int) -> None:
        """Lay out the steps of a phase, and free the parameters that it trains."""
        phase = self.phases[number]
        if phase.train is not None:
            for name, parameter in self.method.named_parameters():
                parameter.requires_grad_(name in phase.train)
        order = Stream(self.cell.seed, "order", stream_name(self.cell.dataset), self.cell.shots, self.epoch, number)
        drop_last = self.cell.drop_last or self.method.drops_last(self.method.options)
        positions = positions_of(phase, self.cell.batch_size, order, drop_last)
        padded = torch.from_numpy(positions).to(self.data.observed.device, non_blocking=True)
        index = padded.clamp(min=0)
        inputs, observed = phase.own or (self.data.seen(self.epoch), self.data.observed)
        source = self.data.visible[index] if phase.own is None else index
        self._opened = OpenPhase(
            number, phase, positions, index, padded >= 0, source, phase.group[index], phase.weight[index],
            observed[source], inputs, None if inputs.pixels is None else source.cpu(),
        )  # fmt: skip

    def close_phase(self) -> None:
        """Free all parameters again."""
        if self._opened is not None and self._opened.phase.train is not None:
            for parameter in self.parameters:
                parameter.requires_grad_(True)
        self._opened = None

    def take(self, step: int) -> None:
        """Take the step that was gathered, alone."""
        self.finish(step, self.train_alone())

    def gather(self, step: int) -> None:
        """Gather the batch of one step of the open phase, and set its learning rate."""
        self.check_time()
        opened = self._open
        assert self.optimizer is not None  # noqa: S101
        for group in self.optimizer.param_groups:
            group["lr"] = opened.phase.rate * learning_rate(self.epoch - 1, self.cell, step / len(opened.positions))
        index, target = opened.index[step], opened.phase.target
        self.batch = Batch(
            index=index,
            valid=opened.valid[step],
            group=opened.group[step],
            weight=opened.weight[step],
            observed=opened.observed[step],
            target=None if target is None else target[index],
            inputs=opened.inputs.take(opened.source[step], None if opened.on_host is None else opened.on_host[step]),
            draws=self._drawn(opened, step),
            phase=opened.number,
        )

    def _drawn(self, opened: OpenPhase, step: int) -> dict[str, Tensor]:
        if not self._draws:
            return {}
        stream = Stream(self.cell.seed, "method", self.cell.method, "step", self.epoch, opened.number, step)
        draws = self.method.draw(self.epoch, step, opened.positions.shape[1], stream)
        return {name: value.to(opened.index.device, non_blocking=True) for name, value in draws.items()}

    def train_alone(self) -> Step:
        """Compute the losses of the batch, and the gradients of the parameters."""
        losses: Losses = self.method(self.batch)
        values = torch.stack(list(losses.terms.values()))
        total = values.sum()
        for parameter in self.parameters:
            parameter.grad = None
        if self.needs.separate_gradients:
            self._combine(losses.terms)
        else:
            total.backward()  # type: ignore[no-untyped-call] # torch is untyped here
        return Step(tuple(losses.terms), torch.cat([values.detach(), total.detach()[None]]), losses.state)

    def _combine(self, terms: Mapping[str, Tensor]) -> None:
        """Pass the gradient of each term to the method, and its answer to the optimizer."""
        trained = {name: p for name, p in self.method.named_parameters() if p.requires_grad}
        gradients = {term: separate(value, trained) for term, value in terms.items()}
        for name, gradient in self.method.combine(gradients).items():
            trained[name].grad = gradient.detach()

    def finish(self, step: int, done: Step) -> None:
        """Move the parameters along their gradients, and write the rows of the method's state."""
        assert self.optimizer is not None  # noqa: S101 - it trains
        self.optimizer.step()
        for name, rows in done.state.items():
            self.write(self.method.get_buffer(name), step, rows)
        self.taken += 1
        self._unread.append(done)

    def write(self, buffer: Tensor, step: int, rows: Tensor) -> None:
        """Write the rows [B, ...] of a step at its samples in a buffer [N, ...], but for padding."""
        opened = self._open
        index, kept = opened.index[step], np.flatnonzero(opened.positions[step] >= 0)  # known without the device
        if len(kept) < len(index):
            chosen = torch.from_numpy(kept).to(index.device, non_blocking=True)
            index, rows = index[chosen], rows[chosen]
        buffer[index] = rows.detach()

    def read_losses(self) -> None:
        """Count the steps that were taken since the last reading; the only time that losses leave the device.

        Raises:
            Diverged: a loss is not finite.
        """
        unread, self._unread = self._unread, []
        for names, steps in groupby(unread, key=lambda step: step.names):
            for *values, total in torch.stack([step.values for step in steps]).tolist():
                if not math.isfinite(total):
                    raise Diverged(f"loss is {total} after {self.log.steps['all']} steps")
                self.log.forward_passes += 1
                self.log.steps.update(name for name, value in zip(names, values, strict=True) if value != 0)
                self.log.steps["all"] += 1


def separate(value: Tensor, trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Compute the gradient of one term by parameter, zeros where it has none."""
    found = torch.autograd.grad(value, list(trained.values()), retain_graph=True, materialize_grads=True)
    return dict(zip(trained, found, strict=True))
