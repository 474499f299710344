"""The training loop with a toy method: schedule, batches, phases, state, divergence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.method import Batch, FullPass, Inputs, Losses, Method, Needs, Options, Phase, structural
from bench.engine.audit import Audit
from bench.engine.loop import train
from bench.engine.member import Diverged, Member, TrainingData
from bench.engine.optim import learning_rate
from bench.engine.prediction import chunk_of, collect_samples
from bench.engine.stopwatch import Stopwatch, TimedOut
from bench.records.cell import Cell
from bench.seeds import Stream
from tests.cells import make_cell
from tests.golden_data import Item


class Toy(Method):
    """A linear classifier that remembers which samples it saw."""

    def __init__(self, samples: int, phases: tuple[Phase, ...] | None = None, options: Options | None = None) -> None:
        super().__init__(options or Options())
        self.weight = nn.Parameter(torch.zeros(3, 2))
        self.other = nn.Parameter(torch.ones(1))
        self.register_buffer("observed", torch.zeros(samples, dtype=torch.long))
        self.register_buffer("seen", torch.zeros(samples))
        self.phases = phases
        self.batches: list[Batch] = []
        self.factor = 1.0

    @classmethod
    def needs(cls, options: Options) -> Needs:
        return Needs(full_pass=True)

    def begin_epoch(self, epoch: int, full_pass: FullPass) -> tuple[Phase, ...]:
        self.scores = full_pass()
        return self.phases or super().begin_epoch(epoch, full_pass)

    def draw(self, epoch: int, step: int, size: int, stream: Stream) -> dict[str, Tensor]:
        return {"number": torch.from_numpy(stream.uniform(size))}

    def forward(self, batch: Batch) -> Losses:
        self.batches.append(batch)
        each = F.cross_entropy(batch.inputs.pooled @ self.weight.T, batch.observed, reduction="none")
        kept = batch.valid & (batch.group == 0)
        loss = (each * kept).sum() / kept.sum().clamp(min=1) * self.factor
        return Losses({"ce": loss, "idle": 0 * self.other.sum()}, {"seen": torch.ones(len(batch.index))})

    def predict(self, inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        return inputs.pooled @ self.weight.T


def make_member(method: Toy, cell: Cell, visible: list[int] | None = None, **more: Any) -> Member:
    total = 10
    generator = torch.Generator().manual_seed(0)
    features = Inputs(torch.randn(total, 2, generator=generator))
    labels = torch.arange(total) % 3
    shown = torch.arange(total) if visible is None else torch.tensor(visible)
    data = TrainingData(features, labels, shown, (features, labels), features, classes=3)
    return Member(method, cell, data, Audit(labels, labels, labels, labels, shown), **more)


@pytest.mark.parametrize("epochs", [50, 100, 200])
def test_schedule_equals_what_dassl_executes(epochs: int) -> None:
    ours = [learning_rate(epoch, make_cell(epochs=epochs, learning_rate=0.002)) for epoch in range(epochs)]
    assert np.allclose(ours, Item("schedule").arrays[f"lr0.002_E{epochs}"], rtol=0, atol=1e-17)


def test_every_sample_is_trained_once_per_epoch_and_the_last_batch_is_padded() -> None:
    method = Toy(10)
    member = make_member(method, make_cell())
    work = train(member)
    assert work.steps == {"ce": 9, "all": 9}
    for epoch in range(3):
        batches = method.batches[3 * epoch : 3 * epoch + 3]
        assert [len(batch.index) for batch in batches] == [4, 4, 4]
        seen = torch.cat([batch.index[batch.valid] for batch in batches])
        assert sorted(seen.tolist()) == list(range(10))
    assert method.get_buffer("seen").sum() == 10
    assert [row["epoch"] for row in member.audit.rows] == [0, 1, 2, 3]


def test_the_oracle_subset_alone_is_trained_and_scored() -> None:
    method = Toy(4)
    member = make_member(method, make_cell(batch_size=3), visible=[7, 1, 4, 8])
    train(member)
    assert method.scores.shape == (4, 3)
    for batch in method.batches:
        expected = torch.tensor([7, 1, 4, 8])[batch.index]
        assert torch.equal(batch.inputs.pooled, member.data.train.pooled[expected])
        assert torch.equal(batch.observed, expected % 3)


def test_order_and_draws_are_private_and_repeat() -> None:
    torch.manual_seed(0)
    first, second = Toy(10), Toy(10)
    train(make_member(first, make_cell()))
    torch.manual_seed(123)
    np.random.seed(5)
    train(make_member(second, make_cell()))
    for one, two in zip(first.batches, second.batches, strict=True):
        assert torch.equal(one.index, two.index)
        assert torch.equal(one.draws["number"], two.draws["number"])
    assert torch.equal(first.weight, second.weight)
    orders = {tuple(batch.index.tolist()) for batch in first.batches}
    assert len(orders) == len(first.batches)


def test_paired_cycle_lasts_as_long_as_the_larger_group_and_starts_the_smaller_anew() -> None:
    group = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 1, -1])
    method = Toy(10, (Phase(group, torch.ones(10), policy="paired_cycle"),))
    train(make_member(method, make_cell(epochs=1, batch_size=3)))
    assert len(method.batches) == 3
    left = torch.cat([batch.index[:3][batch.valid[:3]] for batch in method.batches])
    assert sorted(left.tolist()) == list(range(7))
    for batch in method.batches:
        assert sorted(batch.index[3:][batch.valid[3:]].tolist()) == [7, 8]


@pytest.mark.parametrize(("size", "steps"), [(3, 3), (5, 2), (10, 1), (16, 1)])
def test_drop_last_leaves_out_what_fills_no_batch_unless_it_is_all(size: int, steps: int) -> None:
    method = Toy(10, (Phase(torch.zeros(10, dtype=torch.long), torch.ones(10)),))
    train(make_member(method, make_cell(epochs=1, batch_size=size, drop_last=True)))
    assert [int(batch.valid.sum()) for batch in method.batches] == [min(size, 10)] * steps


class Faithful(Toy):
    faithful_drop_last = True

    class Options(Options):
        faithful: bool = structural(False, "with the loader of its reference")


@pytest.mark.parametrize(("faithful", "cell", "steps"), [(False, False, 4), (False, True, 3), (True, False, 3)])
def test_faithful_drops_the_last_batch_whatever_the_cell_says(faithful: bool, cell: bool, steps: int) -> None:
    method = Faithful(10, options=Faithful.Options(faithful=faithful))
    train(make_member(method, make_cell(epochs=1, batch_size=3, drop_last=cell)))
    assert len(method.batches) == steps


def test_drop_last_counts_for_each_group_of_a_paired_cycle() -> None:
    group = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 1, -1])
    method = Toy(10, (Phase(group, torch.ones(10), policy="paired_cycle"),))
    train(make_member(method, make_cell(epochs=1, batch_size=3, drop_last=True)))
    assert [(int(b.valid[:3].sum()), int(b.valid[3:].sum())) for b in method.batches] == [(3, 2), (3, 2)]


@pytest.mark.parametrize("group", [[0] * 10, [1] * 10])
def test_paired_cycle_with_an_empty_group(group: list[int]) -> None:
    method = Toy(10, (Phase(torch.tensor(group), torch.ones(10), policy="paired_cycle"),))
    train(make_member(method, make_cell(epochs=1, batch_size=5)))
    assert len(method.batches) == 2
    assert all(batch.valid.sum() == 5 for batch in method.batches)


def test_a_phase_trains_only_what_it_names() -> None:
    method = Toy(10, (Phase(torch.zeros(10, dtype=torch.long), torch.ones(10), train=("weight",)),))
    train(make_member(method, make_cell()))
    assert method.other.item() == 1.0, "not even weight decay"
    assert method.weight.abs().sum() > 0
    assert method.other.requires_grad


def test_the_test_set_can_be_thinned_and_still_ends_with_the_last_epoch() -> None:
    member = make_member(Toy(10), make_cell(epochs=5, eval_every=2))
    train(member)
    assert [row["epoch"] for row in member.audit.rows if row["test_accuracy"] is not None] == [0, 2, 4, 5]
    assert [row["epoch"] for row in member.audit.rows if row["train_clean_accuracy"] is not None] == list(range(6))
    full = make_member(Toy(10), make_cell(epochs=5))
    train(full)
    assert full.audit.rows[-1] == member.audit.rows[-1]


def test_a_loss_that_is_not_finite_is_divergence() -> None:
    method = Toy(10)
    method.factor = float("nan")
    member = make_member(method, make_cell())
    with pytest.raises(Diverged, match="loss is nan after 0 steps"):
        train(member)
    assert len(member.audit.rows) == 1


def test_a_deadline_is_kept() -> None:
    with pytest.raises(TimedOut):
        train(make_member(Toy(10), make_cell(), watch=Stopwatch(0)))


class Slow(Toy):
    """The same; each part of its work takes a second of a clock of its own, and the parts are many."""

    now = 0

    def work(self) -> None:
        self.now += 1

    def begin_epoch(self, epoch: int, full_pass: FullPass) -> tuple[Phase, ...]:
        full_pass()
        self.work()
        return Method.begin_epoch(self, epoch, full_pass)

    def forward(self, batch: Batch) -> Losses:
        self.work()
        return super().forward(batch)

    def finalize(self, validation: tuple[Inputs, Tensor] | None) -> None:
        self.work()

    def predict(self, inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        self.work()
        return super().predict(inputs, prepared)

    def scores(self, inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        return self.predict(inputs, prepared)

    def per_sample(self, inputs: Inputs) -> Mapping[str, Tensor]:
        self.work()
        return {"sum": inputs.pooled.sum(1)}

    def probes(self) -> Mapping[str, Callable[[Inputs, Mapping[str, Tensor]], Tensor]]:
        return dict.fromkeys(("one", "other"), self.predict)


def test_a_deadline_waits_for_one_part_of_the_work_and_no_more() -> None:
    def parts(deadline: float | None) -> int:
        method = Slow(10)
        member = make_member(method, make_cell(epochs=2), watch=Stopwatch(deadline, lambda: method.now))
        member.chunk = 4
        if deadline is None:
            train(member)
        else:
            with pytest.raises(TimedOut, match="used up its time after"):
                train(member)
        return method.now

    whole = parts(None)
    assert whole == 3 * (4 * 3) + 2 * (3 + 1 + 3) + 1 + 2  # evaluations, epochs, finalize, probes
    assert [parts(allowed + 0.5) for allowed in range(whole - 1)] == list(range(1, whole))


def test_a_chunk_of_class_texts_is_short_however_many_classes_there_are() -> None:
    texts = Needs(per_image_text=True)
    assert [chunk_of(texts, classes) for classes in (2, 10, 26, 32, 33, 100, 1000, 5000)] == [
        64, 64, 64, 64, 62, 20, 2, 1
    ]  # fmt: skip
    assert (chunk_of(Needs(pixels=True), 1000), chunk_of(Needs(), 1000)) == (64, 4096)


def test_an_undeclared_full_pass_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toy, "needs", classmethod(lambda cls, options: Needs()))
    with pytest.raises(LookupError, match="needs do not declare"):
        train(make_member(Toy(10), make_cell()))


class Telling(Toy):
    """The same, and a number of each sample; `asked` are the samples of each call."""

    answer: Callable[[Inputs], Mapping[str, Tensor]] = staticmethod(lambda inputs: {"sum": inputs.pooled.sum(1)})

    def per_sample(self, inputs: Inputs) -> Mapping[str, Tensor]:
        assert not torch.is_grad_enabled()
        self.asked = [*getattr(self, "asked", []), len(inputs)]
        return self.answer(inputs)


def test_numbers_of_all_samples_stand_in_every_row_split_by_truth_alone() -> None:
    method = Telling(4)
    member = make_member(method, make_cell(epochs=2, batch_size=3, eval_every=2), visible=[7, 1, 4, 8])
    member.chunk = 4
    true = torch.arange(10) // 4
    member.audit.true = true
    work = train(member)
    assert method.asked == 3 * [4, 4, 2]
    sums = member.data.train.pooled.sum(1).double()
    wrong = true != member.data.observed
    pairs = [(w > c) + 0.5 * (w == c) for w in sums[wrong].tolist() for c in sums[~wrong].tolist()]
    for row in work.diagnostics:
        assert row == {
            "sum_clean": pytest.approx(float(sums[~wrong].mean())),
            "sum_mislabeled": pytest.approx(float(sums[wrong].mean())),
            "sum_auroc": pytest.approx(np.mean(pairs)),
        }


def test_numbers_of_samples_change_no_bit_of_training() -> None:
    silent, telling = Toy(10), Telling(10)
    members = [make_member(method, make_cell()) for method in (silent, telling)]
    for member in members:
        train(member)
    assert torch.equal(silent.weight, telling.weight)
    assert members[0].audit.rows == members[1].audit.rows
    assert members[0].log.forward_passes == members[1].log.forward_passes


def test_a_method_may_have_no_number_under_its_options_and_is_then_asked_once_a_row() -> None:
    method = Telling(10)
    method.answer = lambda inputs: {}
    assert train(make_member(method, make_cell())).diagnostics == 4 * [{}]
    assert method.asked == 4 * [10]
    assert collect_samples(Toy(10), Inputs(torch.zeros(3, 2)), 2) == {}


def test_numbers_that_are_not_one_for_each_sample_are_refused() -> None:
    method = Telling(10)
    method.answer = lambda inputs: {"all": inputs.pooled.mean()}
    with pytest.raises(ValueError, match=r"Telling.per_sample: expected all of shape \[10\]"):
        train(make_member(method, make_cell()))
