"""UPL and Robust UPL: whose pseudo-labels are taken, that no given label is read, and the ensemble."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.method import Phase
from bench.errors import BenchError
from bench.methods.coop import CoOp
from bench.methods.parts.templates import zero_shot_text
from bench.methods.robust_upl import RobustUPL, random_pseudo_labels
from bench.methods.upl import UPL, pseudo_labels
from bench.seeds import Stream
from bench.testing import fixtures


def built(seed: int = 1, observed: Tensor | None = None, **options: Any) -> UPL:
    return fixtures.build(UPL, UPL.Options.model_validate(options), seed, observed)


def slow_pseudo_labels(logits: Tensor, per_class: int) -> set[tuple[int, int]]:
    """For each class, the samples predicted as it that fewer than `per_class` others of its own surpass."""
    probability = logits.double().softmax(1)
    chosen = set()
    for sample, row in enumerate(probability):
        label = int(row.argmax())
        rivals = [other for other in probability if int(other.argmax()) == label and other[label] > row[label]]
        if len(rivals) < per_class:
            chosen.add((sample, label))
    return chosen


@given(seed=st.integers(0, 99), samples=st.integers(1, 30), classes=st.integers(1, 6), per_class=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_pseudo_labels_against_loops(seed: int, samples: int, classes: int, per_class: int) -> None:
    logits = 3 * torch.randn(samples, classes, generator=torch.Generator().manual_seed(seed))
    if classes == 1:
        logits, per_class = logits.abs(), samples  # one class: all equally sure
    positions, labels = pseudo_labels(logits, per_class)
    found = list(zip(positions.tolist(), labels.tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == slow_pseudo_labels(logits, per_class)


def test_confidence_that_rounds_to_one_still_has_an_order() -> None:
    logits = torch.tensor([[40.0, 0.0], [60.0, 0.0], [50.0, 0.0]])
    assert (logits.softmax(1)[:, 0] == 1).all()
    assert pseudo_labels(logits, 2)[0].tolist() == [1, 2]


def only_phase(method: UPL) -> Phase:
    (phase,) = method.begin_epoch(1, fixtures.full_pass(method))
    return phase


def test_it_trains_on_the_pool_with_predicted_labels() -> None:
    method = built(per_class=3)
    phase = only_phase(method)
    assert phase.own is not None
    inputs, labels = phase.own
    context = fixtures.context(UPL.needs(method.options), 1, fixtures.labels())
    assert context.pool is not None
    text = zero_shot_text(context)
    for feature, label in zip(inputs.pooled, labels, strict=True):
        assert (feature == context.pool.pooled).all(1).any()
        assert (text @ F.normalize(feature, dim=0)).argmax() == label
    assert phase.group.shape == phase.weight.shape == labels.shape
    counts = labels.bincount(minlength=len(fixtures.CLASSES))
    assert counts.max() == 3
    assert method.diagnostics() == {
        "pseudo_labels": len(labels),
        "classes_without_data": (counts == 0).sum(),
        "classes_short_of_data": (counts < 3).sum(),
    }


def test_the_observed_labels_change_nothing() -> None:
    first, second = (built(observed=fixtures.labels(seed)) for seed in (1, 2))
    for method in (first, second):
        fixtures.train(method)
    assert torch.equal(first.context, second.context)


def test_one_member_is_coop_on_the_pseudo_labels() -> None:
    method, coop = built(), fixtures.build(CoOp, CoOp.Options())
    assert torch.equal(method.context[0], coop.context)
    phase = only_phase(method)
    batch = fixtures.as_batch(method, phase, fixtures.labels())
    assert method(batch).terms["ce"].item() == pytest.approx(coop(batch).terms["ce"].item(), rel=1e-6)
    inputs = fixtures.inputs_for(UPL.needs(method.options), 4, 9)
    assert torch.allclose(fixtures.predictions(method, inputs), fixtures.predictions(coop, inputs), atol=1e-5)


@pytest.mark.parametrize("class_specific", [False, True])
def test_members_train_and_vote_each_for_itself(class_specific: bool) -> None:
    method = built(members=3, class_specific=class_specific)
    alone = [fixtures.build(CoOp, CoOp.Options(class_specific=class_specific)) for _ in range(3)]
    for member, context in zip(alone, method.context, strict=True):
        member.context.data = context.detach().clone()
    assert not torch.equal(method.context[0], method.context[1])
    batch = fixtures.as_batch(method, only_phase(method), fixtures.labels())
    (gradient,) = torch.autograd.grad(method(batch).terms["ce"], [method.context])
    for number, member in enumerate(alone):
        (expected,) = torch.autograd.grad(member(batch).terms["ce"], [member.context])
        assert torch.allclose(gradient[number], expected, rtol=1e-4, atol=1e-6)
    inputs = fixtures.inputs_for(UPL.needs(method.options), 4, 9)
    logits = torch.stack([fixtures.predictions(member, inputs) for member in alone])
    assert torch.allclose(fixtures.predictions(method, inputs), logits.mean(0), atol=1e-5)


def test_a_mean_of_probabilities_is_another_vote() -> None:
    one, other = built(members=3), built(members=3, average="probabilities")
    inputs = fixtures.inputs_for(UPL.needs(one.options), 4, 9)
    logits = one.member_logits(inputs, one.prepare()["text"])
    found = fixtures.predictions(other, inputs)
    assert torch.allclose(found.exp(), logits.softmax(-1).mean(0), atol=1e-6)
    assert not torch.allclose(found.softmax(-1), fixtures.predictions(one, inputs).softmax(-1), atol=1e-6)


def test_members_of_one_phrase_are_refused() -> None:
    with pytest.raises(BenchError, match="stay alike"):
        built(members=2, init="a photo of a")


@given(seed=st.integers(0, 99), samples=st.integers(1, 30), classes=st.integers(1, 6), per_class=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_random_pseudo_labels_are_predictions_and_none_twice(
    seed: int, samples: int, classes: int, per_class: int
) -> None:
    logits = torch.randn(samples, classes, generator=torch.Generator().manual_seed(seed))
    positions, labels = random_pseudo_labels(logits, per_class, Stream(seed, "method"))
    assert len(positions.unique()) == len(positions)
    assert torch.equal(labels, logits.argmax(1)[positions])
    predicted = logits.argmax(1).bincount(minlength=classes)
    assert torch.equal(labels.bincount(minlength=classes), predicted.clamp(max=per_class))


def test_every_prediction_is_drawn_as_often_as_another() -> None:
    logits = torch.cat([torch.linspace(1, 9, 8).unsqueeze(1), torch.zeros(8, 1)], 1)  # confidence grows with position
    drawn = torch.cat([random_pseudo_labels(logits, 2, Stream(seed, "method"))[0] for seed in range(400)])
    assert drawn.bincount(minlength=8).tolist() == pytest.approx([100] * 8, abs=35)  # four standard deviations


def test_robust_upl_draws_by_seed_and_is_otherwise_upl_with_gce() -> None:
    def chosen(kind: type[UPL], seed: int, **options: Any) -> UPL:
        method = fixtures.build(kind, kind.Options.model_validate({"per_class": 2} | options), seed)
        assert isinstance(method, kind)
        return method

    one, again, other = (only_phase(chosen(RobustUPL, seed)).own for seed in (1, 1, 2))
    assert one is not None
    assert again is not None
    assert other is not None
    assert torch.equal(one[0].pooled, again[0].pooled)
    assert not torch.equal(one[0].pooled, other[0].pooled)
    assert torch.equal(one[1], other[1])
    same, upl = chosen(RobustUPL, 1, pick="surest"), chosen(UPL, 1, loss="gce", q=0.5)
    assert RobustUPL.Options().q == 0.5
    for method in (same, upl):
        fixtures.train(method)
    assert torch.equal(same.context, upl.context)
