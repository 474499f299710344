"""TecoPrompt: memory, groups, rewriting and losses against the original's numbers, and what each repair changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.method import Batch, Inputs, Phase
from bench.contracts.objective import CleanSplit
from bench.methods.parts.drop_last import DropLast
from bench.methods.tecoprompt import CLEAN, MIDDLE, NOISY, Groups, Memory, TecoPrompt
from bench.testing import fixtures
from tests.golden_data import TOLERANCE, Item, backbone, entry_error, error, golden, note
from tests.methods.from_golden import context, images

HISTORIES = sorted({key.rpartition("/")[0] for key in golden("tecoprompt_split")})
SETTINGS = {"threshold": "tau", "smoothing": "beta", "low": "low", "steady": "threshold", "patience": "window"}
TERMS = ("ce", "middle_ce", "rest_mae")
LOSSES = (("clean_ce", CLEAN, 0.5), ("middle_gce_q0.5", MIDDLE, 0.5), ("middle_gce_q0.7", MIDDLE, 0.7))


class History(Item):
    """One history of the item: its arrays by their own names, and what was made of each epoch."""

    def __init__(self, name: str) -> None:
        super().__init__("tecoprompt_split")
        self.name = name
        self.logits, self.observed = self["logits"], self["labels_observed"]
        self.epochs, self.samples, self.classes = self.logits.shape
        self.batch_size = int(self["batch_size"])

    def __getitem__(self, key: str) -> Tensor:
        return super().__getitem__(f"{self.name}/{key}")

    def options(self, **others: Any) -> TecoPrompt.Options:
        given = {option: self[key].item() for option, key in SETTINGS.items()}
        return TecoPrompt.Options.model_validate(given | {"ot_reg": float(self["reg"])} | others)

    def memory(self, **others: Any) -> Memory:
        return Memory(self.observed, self.options(**others), self.batch_size)

    def method(self, **others: Any) -> TecoPrompt:
        built = TecoPrompt(self.options(**others))
        inputs = Inputs(torch.zeros(self.samples, backbone().text_templates(["a"]).shape[-1]))
        names = (*Item("coop").names(), "sea dog", "ceiling horse")[: self.classes]
        given = replace(context(Item("coop"), inputs, self.observed), class_names=names)
        built.setup(replace(given, batch_size=self.batch_size, epochs=self.epochs))
        return built

    def split(self, epoch: int) -> CleanSplit:
        """The plan of an epoch, counted from 0, as the original's solver left it."""
        scored = torch.zeros(self.samples, dtype=torch.bool)
        scored[self["loader_order"][epoch]] = True
        pseudo, confidence, selected = (self[key][epoch] for key in ("plan_label", "confidence", "selected"))
        return CleanSplit(torch.zeros_like(scored), pseudo, {}, confidence, selected, scored)

    def labels_by_part(self, epoch: int) -> Tensor:
        """The label of each sample in each part, -1 where it is not in it, [3, N]."""
        return torch.stack([self[f"label_in_{part}_group"][epoch] for part in ("ce", "middle", "noisy")])


def trained_labels(phases: tuple[Phase, ...]) -> Tensor:
    """The same of our phases."""
    targets = [phase.target for phase in phases if phase.target is not None]
    found = [torch.where(p.group >= 0, t.argmax(1), -1) for p, t in zip(phases, targets, strict=True)]
    return torch.stack(found)


def batch_of(phase: Phase, index: Tensor, inputs: Inputs | None = None) -> Batch:
    """The samples of a phase at these positions."""
    assert phase.target is not None
    valid = torch.ones(len(index), dtype=torch.bool)
    given = Inputs(torch.zeros(len(index), 1)) if inputs is None else inputs.take(index)
    label = phase.target.argmax(1)[index]
    return Batch(index, valid, phase.group[index], phase.weight[index], label, phase.target[index], given, {})


def same_groups(groups: Groups, item: History, epoch: int) -> None:
    names = {"clean": groups.clean, "middle": groups.middle, "noisy": groups.noisy, "eligible": groups.steady}
    for key, found in (names | {"to_rewrite": groups.due}).items():
        assert torch.equal(found, item[key][epoch]), (key, epoch)
    assert torch.equal(groups.before, item["labels_before"][epoch])
    assert torch.equal(groups.labels, item["labels_after"][epoch])
    assert groups.merged == bool(item["merged"][epoch])
    assert groups.rewritten * int(groups.due.sum()) == int(item["rewrites_applied"][epoch])


@pytest.mark.parametrize("name", HISTORIES)
def test_the_originals_groups_and_rewritten_labels(name: str) -> None:
    item = History(name)
    memory, method = item.memory(faithful=True), item.method(faithful=True)
    for epoch in range(item.epochs):
        groups = memory.update(item.split(epoch))
        same_groups(groups, item, epoch)
        assert memory.smoothed is not None
        assert memory.smoothed.dtype == torch.float32
        assert entry_error(memory.smoothed, item["smoothed"][epoch]) == 0
        assert torch.equal(trained_labels(method.split_phases(item.split(epoch))), item.labels_by_part(epoch))


@pytest.mark.parametrize("name", HISTORIES)
def test_the_originals_batches_and_their_losses(name: str) -> None:
    """Batches in index order, without the remainder, as the vectors have them."""
    item = History(name)
    method = item.method(faithful=True)
    assert method.loader is not None
    for epoch in range(item.epochs):
        phases = method.split_phases(item.split(epoch))
        kept = [int((phase.group >= 0).sum()) for phase in method.loader.phases(epoch + 1, phases)]
        assert [count / item.batch_size for count in kept] == item["batches"][epoch].tolist()
        for term, key, phase in zip(TERMS, ("ce", "middle", "noisy"), phases, strict=True):
            expected = item[f"{key}_batch_losses"][epoch]
            chunks = (phase.group >= 0).nonzero().squeeze(1).split(item.batch_size)
            found = [method.objective(item.logits[epoch][index], batch_of(phase, index))[term] for index in chunks]
            whole = torch.stack([*found, torch.tensor(0.0)])[: int(item["batches"][epoch][TERMS.index(term)])]
            assert len(whole) == int(expected.isfinite().sum())
            assert not len(whole) or entry_error(whole.double(), expected[: len(whole)]) < 2e-6


@pytest.mark.parametrize("name", HISTORIES)
def test_the_originals_epochs_with_our_own_transport(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    item = History(name)
    method = item.method(faithful=True)
    monkeypatch.setattr(DropLast, "scored", lambda _, epoch: item["loader_order"][epoch - 1])
    for epoch in range(item.epochs):

        def full_pass(view: str = "plain", epoch: int = epoch) -> Tensor:
            assert view == "augmented"  # T6
            return item.logits[epoch]

        split = method.partition(epoch + 1, full_pass)
        assert split.confidence is not None
        assert split.selected is not None
        confidence = split.confidence.clamp(max=1)
        note(float((confidence - item["confidence"][epoch]).abs().max()))
        assert torch.allclose(confidence, item["confidence"][epoch], rtol=0, atol=1e-5)
        assert torch.equal(split.pseudo, item["plan_label"][epoch])
        assert torch.equal(split.selected, item["selected"][epoch])
        assert torch.equal(trained_labels(method.split_phases(split)), item.labels_by_part(epoch))
        assert torch.equal(method.memory.labels, item["labels_after"][epoch])


@pytest.mark.parametrize(("key", "part", "q"), [*LOSSES, ("noisy_mae", NOISY, 0.5), ("middle_as_called", MIDDLE, 0.0)])
def test_the_originals_losses(key: str, part: int, q: float) -> None:
    item = Item("tecoprompt_losses")
    options = {"q": q} if q else {"faithful": True}
    method = TecoPrompt(TecoPrompt.Options.model_validate(options))
    method.register_buffer("observed", item["labels"])
    logits = item["logits"].requires_grad_()
    count, classes = logits.shape
    target = F.one_hot(item["labels"], classes).float()
    phase = Phase(torch.full((count,), part), torch.ones(count), target)
    loss = torch.stack(list(method.objective(logits, batch_of(phase, torch.arange(count))).values())).sum()
    assert entry_error(loss.detach(), item[f"{key}/loss"]) < 1e-6
    (gradient,) = torch.autograd.grad(loss, logits)
    assert error(gradient, item[f"{key}/grad_logits"]) < 1e-6


def test_the_originals_three_steps() -> None:
    item, inputs = Item("tecoprompt_losses"), images()
    contexts, observed = item["steps/ctx"], item["steps/labels"]
    method = TecoPrompt(TecoPrompt.Options(faithful=True, context=contexts.shape[1]))
    method.setup(context(Item("coop"), inputs, observed))
    with torch.no_grad():
        method.context.copy_(contexts[0])
    rate = float(item["steps/lr"])
    optimizer = torch.optim.SGD([method.context], lr=rate, momentum=0.9, weight_decay=5e-4)
    target = F.one_hot(observed, int(observed.max()) + 1).float()
    for part, index in enumerate(item["steps/group_indices"]):
        phase = Phase(torch.full((len(observed),), part), torch.ones(len(observed)), target)
        loss = torch.stack(list(method(batch_of(phase, index, inputs)).terms.values())).sum()
        assert entry_error(loss.detach().double(), item["steps/losses"][part]) < 2e-6
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch is untyped here
        assert method.context.grad is not None
        assert error(method.context.grad, item["steps/gradients"][part]) < TOLERANCE
        optimizer.step()
        assert error(method.context, contexts[part + 1]) < TOLERANCE


@pytest.mark.parametrize("name", ["n160/history2", "n91/other_settings"])
def test_t2_the_repair_differs_in_the_labels_of_merged_epochs_alone(name: str) -> None:
    item = History(name)
    method, memory, differing = item.method(minimum=2), item.memory(minimum=2), 0
    for epoch in range(item.epochs):
        same_groups(memory.update(item.split(epoch)), item, epoch)
        found, reference = trained_labels(method.split_phases(item.split(epoch))), item.labels_by_part(epoch)
        applied = bool(item["rewrites_applied"][epoch]) and bool(item["merged"][epoch])
        expected = item["to_rewrite"][epoch] & (item["labels_before"][epoch] != item["labels_after"][epoch]) & applied
        assert torch.equal(found != reference, torch.stack([expected, *torch.zeros_like(reference[1:]).bool()]))
        assert torch.equal(found[CLEAN][expected], item["labels_after"][epoch][expected])
        differing += int(expected.sum())
    assert differing > 0


def test_t3_a_label_that_alone_is_due_is_rewritten_at_once() -> None:
    item = History("n160/history1")
    lone = int((item["to_rewrite"].sum(1) == 1).nonzero()[0])
    repaired, waiting = item.memory(), item.memory(minimum=2)
    for epoch in range(lone):
        for memory in (repaired, waiting):
            same_groups(memory.update(item.split(epoch)), item, epoch)
    groups = repaired.update(item.split(lone))
    assert not waiting.update(item.split(lone)).rewritten
    assert int(item["rewrites_applied"][lone]) == 0
    assert groups.rewritten
    assert torch.equal(groups.labels != groups.before, groups.due)
    assert torch.equal(groups.due, item["to_rewrite"][lone])


def test_t4_a_sample_that_is_not_scored_loses_confidence_and_its_run() -> None:
    item = History("n91/history1")
    left_out = ~torch.stack([torch.isin(torch.arange(item.samples), order) for order in item["loader_order"]])
    memory, runs = item.memory(faithful=True), torch.zeros(item.samples, dtype=torch.long)
    for epoch, missing in enumerate(left_out):
        before = memory.smoothed
        groups = memory.update(item.split(epoch))
        assert not memory.run[missing].any()
        runs += groups.middle & missing
        if before is not None and memory.smoothed is not None:
            assert torch.equal(memory.smoothed[missing], (0.8 * before)[missing])
    assert runs.any()  # some of them are in the middle because they were left out


def test_every_sample_is_scored_and_trained_unless_faithful() -> None:
    for faithful, reached in ((False, 20), (True, 16)):
        method = fixtures.build(TecoPrompt, TecoPrompt.Options(faithful=faithful))
        assert isinstance(method, TecoPrompt)
        phases = method.begin_epoch(1, fixtures.full_pass(method))
        assert method.memory.smoothed is not None
        assert int((method.memory.smoothed > 0).sum()) == reached
        sizes = [int((phase.group >= 0).sum()) for phase in phases]
        assert sum(sizes) == 20 if not faithful else not any(size % fixtures.BATCH for size in sizes)


def test_a_memory_smooths_waits_and_rewrites() -> None:
    observed = torch.zeros(4, dtype=torch.long)
    memory = Memory(observed, TecoPrompt.Options(smoothing=0.5, patience=3, steady=0.6), batch_size=1)

    def update(pseudo: list[int], confidence: list[float]) -> Groups:
        return memory.update(CleanSplit(observed > 0, torch.tensor(pseudo), {}, torch.tensor(confidence).double()))

    update([1, 1, 1, 0], [1.0, 1.0, 0.2, 1.0])
    update([1, 2, 1, 0], [1.0, 1.0, 1.0, 0.2])
    assert torch.equal(memory.labels, observed)
    groups = update([1, 1, 1, 0], [0.6, 1.0, 1.0, 0.0])
    assert memory.labels.tolist() == [1, 0, 0, 0]  # the second has wavered, the third was not sure at first
    assert groups.number().tolist() == [MIDDLE, NOISY, NOISY, MIDDLE]
    assert memory.smoothed is not None
    assert memory.smoothed.tolist() == pytest.approx([0.8, 1.0, 0.8, 0.3])
    assert update([1, 1, 1, 0], [1.0] * 4).number().tolist() == [CLEAN, NOISY, MIDDLE, MIDDLE]
    assert memory.labels.tolist() == [1, 0, 1, 0]


def test_without_rewriting_nothing_is_steady() -> None:
    item = History("n160/history1")
    memory = item.memory(rewrite=False)
    for epoch in range(item.epochs):
        assert not memory.update(item.split(epoch)).steady.any()
    assert torch.equal(memory.labels, item.observed)


def test_a_small_middle_part_joins_the_clean_one() -> None:
    split = CleanSplit(torch.ones(3).bool(), torch.zeros(3).long(), {}, torch.tensor([1.0, 0.5, 0.1]))
    for batch_size, expected in ((1, [CLEAN, MIDDLE, NOISY]), (2, [CLEAN, CLEAN, NOISY])):
        memory = Memory(torch.zeros(3).long(), TecoPrompt.Options(), batch_size)
        assert memory.update(split).number().tolist() == expected


def test_phases_have_a_term_each() -> None:
    for options, terms in (
        (TecoPrompt.Options(patience=1), ("ce", "middle_gce", "rest_mae")),
        (TecoPrompt.Options(patience=1, middle="mae", rest="ce"), ("ce", "middle_mae", "rest_ce")),
    ):
        method = fixtures.build(TecoPrompt, options)
        phases = method.begin_epoch(1, fixtures.full_pass(method))
        assert torch.stack([phase.group >= 0 for phase in phases]).sum(0).eq(1).all()
        assert method.diagnostics()["rewritten_share"] > 0
        for number, term in enumerate(terms):
            losses = method(fixtures.as_batch(method, phases[number], fixtures.labels())).terms
            assert set(losses) == set(terms)
            if (phases[number].group >= 0).any():
                assert {name for name, value in losses.items() if value != 0} == {term}
