"""NLPrompt and its family: the transport against the original's numbers, and what each defect changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

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
