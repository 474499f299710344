"""DeFT against its loss written out sample by sample, its selection, and its second phase."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.method import Batch, everything
from bench.grid.options import alone
from bench.methods.deft import DeFT, negative_log, yes_probability
from bench.methods.parts import losses
from bench.seeds import Stream
from bench.testing.fixtures import CLASSES, EPOCHS, as_batch, backbone, build, inputs_for, labels, train

LOGITS = st.lists(st.floats(-60, 60), min_size=6, max_size=6)


def built(**options: Any) -> DeFT:
    method = build(DeFT, DeFT.Options.model_validate(options))
    with torch.no_grad():  # contexts far enough apart for a contest
        method.context.add_(0.3 * torch.randn(method.context.shape, generator=torch.Generator().manual_seed(6)))
    return method


def whole(method: DeFT, epoch: int) -> Batch:
    return as_batch(method, everything(len(labels())), labels(), epoch=epoch)


@given(positive=LOGITS, negative=LOGITS, label=st.integers(0, 2))
def test_probabilities_and_their_logarithms(positive: list[float], negative: list[float], label: int) -> None:
    pair = torch.tensor([positive, negative]).view(2, 2, 3)
    both = pair.softmax(0)
    yes, no = yes_probability(*pair)
    assert torch.allclose(yes, both[0], atol=1e-6)
    assert torch.allclose(no, both[1], atol=1e-6)
    expected = F.nll_loss(both[1].clamp(min=1e-5, max=1.0).log(), torch.tensor([label] * 2), reduction="none")
    assert torch.allclose(negative_log(no, torch.tensor([label] * 2)), expected, rtol=1e-4, atol=1e-6)


def slow(method: DeFT, batch: Batch, epoch: int) -> tuple[dict[str, float], list[bool]]:
    """One sample after the other, as the reference does a batch."""
    real = method.options.real
    with torch.no_grad():
        image = F.normalize(method.image_features(batch.inputs, method.visual()), dim=1)
        texts = F.normalize(method.text_features(), dim=-1)
    sums: dict[str, list[float]] = {"warm_up": [], "ce": [], "no": [], "yes": []}
    flags = []
    for row in range(int(batch.valid.sum())):
        label, other = int(batch.observed[row]), int(batch.draws["other"][row])
        positive, negative = (backbone().scale * texts[side] @ image[row] for side in (0, 1))
        both = torch.stack([positive, negative]).softmax(0)
        chosen = bool(both[0, label] > 0.5) and (not real or int(both[0].argmax()) == label)
        flags.append(chosen)
        cross = float(F.cross_entropy(positive, torch.tensor(label)))
        if epoch <= method.warmup:
            given_labels = torch.tensor([label])
            robust = losses.symmetric_cross_entropy(positive[None], given_labels, 1.0, 1.0)
            sums["warm_up"].append(float(robust) if real else cross)
        elif chosen:
            sums["ce"].append(cross)
        trusted = chosen or epoch <= (1 if real else method.warmup)
        target = label if trusted else int(positive.argmax())
        complement = (label + other) % len(CLASSES)
        assert complement != label
        sums["no"].append(-math.log(min(max(float(both[1, complement]), 1e-5), 1)))
        sums["yes"].append(-math.log(min(max(float(both[0, target]), 1e-5), 1)))
    return {name: sum(values) / max(len(values), 1) for name, values in sums.items()}, flags


@pytest.mark.parametrize("options", [{}, {"real": True}, {"real": True, "warmup": 5}], ids=str)
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_every_term_written_out(options: dict[str, Any], epoch: int) -> None:
    method = built(**options)
    batch = whole(method, epoch)
    found = method(batch)
    expected, flags = slow(method, batch, epoch)
    assert 0 < sum(flags) < len(flags)
    assert found.terms.keys() == expected.keys()
    for name, value in expected.items():
        assert float(found.terms[name].detach()) == pytest.approx(value, rel=1e-4, abs=1e-6), name
    assert found.state["selected"][batch.valid].tolist() == flags


def test_the_contest_trains_the_negative_context_alone() -> None:
    method = built()
    terms = method(whole(method, 2)).terms
    contest = terms["no"] + terms["yes"]
    prompts = [method.context, method.visual_prompts]
    context, visual = torch.autograd.grad(contest, prompts, allow_unused=True, retain_graph=True)
    assert not context[0].any()
    assert context[1].any()
    assert visual is None
    context, visual = torch.autograd.grad(terms["ce"], prompts)
    assert context[0].any()
    assert not context[1].any()
    assert visual.any()


def test_a_batch_that_selects_nothing_is_no_nan() -> None:
    method = built(real=True)
    batch = whole(method, 3)
    unselected = replace(batch, valid=batch.valid & ~method(batch).state["selected"])
    terms = method(unselected).terms
    assert terms["ce"] == 0
    assert all(bool(value.isfinite()) for value in terms.values())
    (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), method.context)
    assert bool(gradient.isfinite().all())


def test_complementary_labels_are_uniform_over_the_others() -> None:
    method = built()
    other = method.draw(1, 1, 4000, Stream(1, "method", "test"))["other"]
    counts = torch.bincount(other, minlength=len(CLASSES))
    assert counts[0] == 0
    assert counts[1:].min() > 900


def test_visual_prompts_start_within_the_bound_of_their_patch_size() -> None:
    found = built().visual_prompts.detach()
    bound = math.sqrt(6 / (3 * 16**2 + 32))
    assert found.shape == (2, 20, 32)
    assert 0.95 * bound < float(found.abs().max()) <= bound
    assert math.sqrt(6 / (3 * 16**2 + 768)) == pytest.approx(0.0625)


@pytest.mark.parametrize(("options", "expected"), [({}, 1), ({"warmup": 5}, 2), ({"warmup": 0}, 0)])
def test_warm_up_is_a_share_of_the_epochs(options: dict[str, int], expected: int) -> None:
    assert built(**options).warmup == expected
    assert EPOCHS == 3


def test_flags_are_kept_and_shown_to_the_audit() -> None:
    method = build(DeFT, DeFT.Options())
    (phase,) = method.begin_epoch(1, lambda view="plain": torch.zeros(0))
    assert phase.clean is method.selected
    train(method)
    assert method.diagnostics() == {"clean_share": pytest.approx(float(method.selected.double().mean()))}


def test_the_second_phase_trains_a_private_copy_under_a_head() -> None:
    options = DeFT.Options(fine_tune=1)
    needs = DeFT.needs(options)
    assert needs.trains_backbone
    assert alone("deft", options.model_dump())
    assert not alone("deft", DeFT.Options().model_dump())
    assert not DeFT.needs(DeFT.Options()).trains_backbone
    method, digest = build(DeFT, options), backbone().digest
    phases = [method.begin_epoch(epoch, lambda view="plain": torch.zeros(0))[0] for epoch in (1, 2, 3)]
    assert set(phases[1].train or ()) == {"context", "visual_prompts"}
    assert {"context", "visual_prompts"} | set(phases[2].train or ()) == {name for name, _ in method.named_parameters()}
    assert (phases[1].rate, phases[2].rate) == (1, pytest.approx(5e-4 / 0.03))
    inputs = inputs_for(needs, 4, 9)
    start = [parameter.detach().clone() for parameter in method.layers.parameters()]
    train(method)
    assert any(not torch.equal(a, b) for a, b in zip(start, method.layers.parameters(), strict=True))
    assert vars(backbone()).get("digest") == digest
    hidden: Tensor = backbone().hidden(inputs.images(), method.layers)
    with torch.no_grad():
        found = method.predict(inputs, method.prepare())
        assert torch.allclose(found, hidden @ method.head.T + method.head_bias, atol=1e-6)


def test_the_second_phase_sees_the_selected_samples_alone() -> None:
    method = built(fine_tune=2)
    with torch.no_grad():
        method.selected[:7] = True
    (phase,) = method.begin_epoch(3, lambda view="plain": torch.zeros(0))
    batch = as_batch(method, phase, labels(), epoch=3)
    loss = method(batch).terms["tuning"]
    with torch.no_grad():
        expected = F.cross_entropy(method.tuned_logits(batch.inputs)[:7], batch.observed[:7])
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)
    nothing = method(replace(batch, weight=torch.zeros_like(batch.weight))).terms["tuning"]
    assert nothing == 0
