"""NLPrompt and its family: the transport against the original's numbers, and what each defect changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.method import FullPass, Needs, Phase
from bench.errors import BenchError
from bench.methods.nlprompt import NLPrompt, curriculum_budget
from bench.methods.ot_clean import OTClean
from bench.methods.parts.splits import nlprompt_reference_split, nlprompt_split
from bench.methods.zero_shot_filter import ZeroShotFilter
from bench.testing import fixtures
from tests.golden_data import TOLERANCE, Item, backbone, error, golden, note

PLANS = [key.removesuffix("/coupling") for key in golden("nlprompt_ot") if key.endswith("/coupling")]


@pytest.mark.parametrize("plan", PLANS)
def test_the_originals_coupling_and_masks(plan: str) -> None:
    item = Item("nlprompt_ot")
    probability = item["soft/probabilities" if plan.startswith("soft/") else "probabilities"]
    reg, budget = (float(part) for part in plan.split("/")[-1].removeprefix("reg").split("_budget"))
    split, coupling = nlprompt_reference_split(probability, item["labels_observed"], reg, budget)
    expected = item.arrays[f"{plan}/coupling"]
    deviation = float(np.abs(coupling - expected).max()) * len(probability)  # in units of a row's mass
    note(deviation)
    assert deviation <= 1e-9
    assert torch.equal(split.pseudo, item[f"{plan}/pseudo_labels"])
    count = int(item[f"{plan}/topk_num"])
    assert split.numbers["ot_confident"] == pytest.approx(count / len(probability))
    assert split.selected is not None
    assert int(split.selected.sum()) == count
    if float(item[f"{plan}/topk_boundary_relative_gap"]) > 1e-6:  # else rounding decides who is confident
        assert torch.equal(split.clean, item[f"{plan}/clean_mask"])
        assert torch.equal(split.selected, item[f"{plan}/selected_mask"])


def test_the_originals_full_pass() -> None:
    item = Item("nlprompt_full_pass")
    text = F.normalize(backbone().text(item["ctx"], backbone().class_tokens(item.names())), dim=-1)
    image = F.normalize(backbone().image(item["images"]).pooled, dim=-1)
    probability = (backbone().scale * image @ text.T).softmax(1)
    assert error(probability[item["loader_order"]], item["out_probabilities_loader_order"]) < TOLERANCE
    split, _ = nlprompt_reference_split(probability, item["labels_observed"])
    assert torch.equal(split.pseudo, item["pseudo_labels"])
    assert torch.equal(split.clean, item["clean_mask"])
    assert split.selected is not None
    assert torch.equal(split.selected, item["selected_mask"])


def test_n1_the_reference_transports_at_minus_p_and_the_repair_at_minus_log_p() -> None:
    item = Item("nlprompt_ot")
    probability, observed = item["probabilities"], item["labels_observed"]
    _, reference = nlprompt_reference_split(probability, observed)
    kernel = (probability.double() / 0.01).numpy()
    row, column = np.zeros(len(kernel)), np.zeros(kernel.shape[1])
    for _ in range(2000):  # the same plan without any softmax over the probabilities: row constants do not matter
        column = -np.log(np.exp(kernel + row[:, None] - kernel.max()).sum(0) * kernel.shape[1]) - kernel.max()
        row = -np.log(np.exp(kernel + column).sum(1) * len(kernel))
    assert np.abs(np.exp(kernel + row[:, None] + column) - reference).max() < 1e-6
    repaired = nlprompt_split(probability.log(), observed)
    assert repaired.numbers["ot_residual"] < 1e-4
    assert (repaired.pseudo.numpy() != reference.argmax(1)).any()


def test_n2_at_the_scripts_reg_the_reference_calls_class_0_clean() -> None:
    item = Item("nlprompt_ot")
    probability, observed = item["probabilities"], item["labels_observed"]
    split, coupling = nlprompt_reference_split(probability, observed, 1e-3)
    assert not coupling.any()
    assert not split.pseudo.any()
    assert split.clean.sum() <= (observed == 0).sum()
    assert nlprompt_split(probability.log(), observed, 1e-3).pseudo.unique().numel() == 5


@pytest.mark.parametrize(("samples", "kept"), [(24, 23), (80, 80), (160, 159), (752, 751), (1600, 1600)])
def test_n4_a_sample_is_lost_where_torchs_sum_rounds_below_1(samples: int, kept: int) -> None:
    """numpy's sum keeps all of 24 and 752, and loses one of 80 and 1,600."""
    logits, observed = torch.zeros(samples, 2), torch.zeros(samples, dtype=torch.long)
    reference, repaired = nlprompt_reference_split(logits.softmax(1), observed)[0], nlprompt_split(logits, observed)
    assert reference.selected is not None
    assert repaired.selected is not None
    assert int(reference.selected.sum()) == kept
    assert int(repaired.selected.sum()) == samples


def test_faithful_is_the_reference_and_the_default_is_not() -> None:
    splits = []
    for faithful in (False, True):
        method = fixtures.build(NLPrompt, NLPrompt.Options(faithful=faithful, ot_reg=1e-3))
        splits.append(method.partition(1, fixtures.full_pass(method)))
    assert not splits[1].pseudo.any()
    assert splits[0].pseudo.any()


def as_run(observed: Tensor | None = None, kind: type[NLPrompt] = NLPrompt, **options: float) -> NLPrompt:
    return fixtures.build(kind, kind.Options.model_validate({"faithful": True} | options), observed=observed)


def says(*rows: tuple[int, int]) -> FullPass:
    """Logits that are sure of these classes, each for so many samples."""
    classes = torch.tensor([number for number, count in rows for _ in range(count)])
    return lambda view="plain": 10 * F.one_hot(classes, 5).float()


def sizes(phases: tuple[Phase, ...]) -> list[int]:
    return [int((phase.group >= 0).sum()) for phase in phases]


def test_n3_what_the_loader_does_not_reach_is_unscored_and_rest() -> None:
    """All 20 are right, in balance: 16 are scored, in batches of 8."""
    observed = torch.arange(5).repeat_interleave(4)
    everyone = says(*((label, 4) for label in range(5)))
    repaired, faithful = fixtures.build(NLPrompt, NLPrompt.Options(), observed=observed), as_run(observed)
    assert repaired.partition(1, everyone).clean.all()
    splits = [faithful.partition(epoch, everyone) for epoch in (1, 2)]
    for split in splits:
        assert split.scored is not None
        assert int(split.scored.sum()) == 16
        assert not split.clean[~split.scored].any()
    first, second = (split.scored for split in splits)
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)


def test_the_view_that_is_scored_is_the_trained_one() -> None:
    asked: list[str] = []

    def scores(view: str = "plain") -> Tensor:
        asked.append(view)
        return torch.randn(20, 5, generator=torch.Generator().manual_seed(0))

    for method in (fixtures.build(NLPrompt, NLPrompt.Options()), as_run()):
        method.partition(1, scores)
    assert asked == ["plain", "augmented"]


def test_n5_whole_batches_of_either_part() -> None:
    wrong = torch.where(torch.arange(20) < 9, (fixtures.labels() + 1) % 5, fixtures.labels())
    method = as_run(wrong)
    sure = lambda view="plain": 10 * F.one_hot(fixtures.labels(), 5).float()  # noqa: E731
    for epoch in (1, 2, 3):
        split, phases = method.partition(epoch, sure), method.begin_epoch(epoch, sure)
        clean = int(split.clean.sum())
        assert sizes(phases) == [clean // 8 * 8, (20 - clean) // 8 * 8]
        assert split.clean[phases[0].group >= 0].all()
        assert not split.clean[phases[1].group >= 0].any()


def test_n2_and_n5_at_the_scripts_reg_the_clean_part_is_not_trained_on() -> None:
    """Class 0 alone is "clean", fewer samples than a batch: all that is left is the loss of the rest."""
    method = as_run(torch.arange(5).repeat_interleave(4), ot_reg=1e-3)
    (clean, rest) = method.begin_epoch(1, fixtures.full_pass(method))
    assert 0 < int(method.partition(1, fixtures.full_pass(method)).clean.sum()) <= 4
    assert sizes((clean, rest)) == [0, 16]


@pytest.mark.parametrize(("kind", "parts"), [(NLPrompt, 2), (OTClean, 1)])
def test_n6_without_a_clean_sample_everything_is_trained_with_either_loss(kind: type[NLPrompt], parts: int) -> None:
    observed = torch.arange(5).repeat_interleave(4)
    wrong = says(*((label, 4) for label in (1, 2, 3, 4, 0)))
    method = as_run(observed, kind)
    with pytest.raises(BenchError, match="no sample of the first epoch is clean"):
        method.begin_epoch(1, wrong)
    phases = method.begin_epoch(2, wrong)
    assert sizes(phases) == [16] * parts
    assert [int(phase.group.max()) for phase in phases] == list(range(parts))
    repaired = fixtures.build(kind, kind.Options(), observed=observed).begin_epoch(1, wrong)
    assert sizes(repaired) == [0, 20][:parts]


def test_a_set_below_one_batch_loses_nothing() -> None:
    given = fixtures.context(Needs(full_pass=True), 1, fixtures.labels(count=7))
    method = NLPrompt(NLPrompt.Options(faithful=True))
    method.setup(given)
    phases = method.begin_epoch(1, lambda view="plain": 10 * F.one_hot(fixtures.labels(count=7), 5).float())
    assert sum(sizes(phases)) == 7


def test_curriculum() -> None:
    item = golden("nlprompt_ot")
    for shape in ("linear", "exp"):
        expected = item[f"curriculum_{shape}_T10_begin0.3_epochs0to11"]
        assert [curriculum_budget(e, 10, 0.3, shape) for e in range(12)] == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type]
    method = fixtures.build(NLPrompt, NLPrompt.Options(curriculum=10))
    shares = []
    for epoch in (1, 2, 11, 40):
        method.begin_epoch(epoch, fixtures.full_pass(method))
        shares.append(method.diagnostics()["ot_confident"])
    assert shares == pytest.approx([0.3, 0.35, 1, 1])


def test_all_of_the_clean_part_comes_before_the_rest() -> None:
    method = fixtures.build(NLPrompt, NLPrompt.Options())
    clean, rest = method.begin_epoch(1, fixtures.full_pass(method))
    assert torch.equal((clean.group >= 0) ^ (rest.group >= 0), torch.ones(20, dtype=torch.bool))
    assert len(fixtures.build(OTClean, OTClean.Options()).begin_epoch(1, fixtures.full_pass(method))) == 1


def test_zero_shot_filter_never_changes_its_mind() -> None:
    method = fixtures.build(ZeroShotFilter, ZeroShotFilter.Options())
    (first,) = method.begin_epoch(1, fixtures.full_pass(method))
    fixtures.train(method)
    (later,) = method.begin_epoch(4, fixtures.full_pass(method))
    assert first.clean is not None
    assert method.zero_shot is not None
    assert torch.equal(first.group, later.group)
    assert torch.equal(first.clean, method.zero_shot.argmax(1) == method.observed)
