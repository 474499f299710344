"""Losses against the original authors' numbers and against slow, obvious versions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.methods.label_smoothing import LabelSmoothing
from bench.methods.parts import losses
from bench.methods.sce import SCE
from bench.plugins import LOSSES
from bench.testing import fixtures
from tests.golden_data import Item, entry_error, error

ITEM = Item("losses")


@pytest.mark.parametrize(("name", "q"), [("gce_q0.5", 0.5), ("gce_q0.7", 0.7), ("mae_nlprompt_q1", None)])
def test_original_values_and_gradients(name: str, q: float | None) -> None:
    logits = ITEM["logits"].requires_grad_()
    labels = ITEM["labels"]
    values = (
        losses.mean_absolute_error(logits, labels)
        if q is None
        else losses.generalised_cross_entropy(logits, labels, torch.tensor(q))
    )
    loss = values.mean()
    (gradient,) = torch.autograd.grad(loss, logits)
    assert entry_error(loss, ITEM[f"{name}/loss"]) <= 1e-6
    assert entry_error(gradient, ITEM[f"{name}/grad_logits"]) <= 1e-6


def test_visprompt_gce_is_the_same_loss() -> None:
    value = losses.generalised_cross_entropy(ITEM["logits"], ITEM["labels"], 0.7).mean()
    assert entry_error(value, ITEM["visprompt_gce_q0.7/loss"]) <= 1e-6


def test_joapr_negative_entropy() -> None:
    value = -losses.entropy(ITEM["logits"].clamp(-20, 20)).mean()
    assert entry_error(value, ITEM["joapr_negentropy"]) <= 1e-6


matrices = st.integers(2, 6).flatmap(
    lambda classes: st.lists(
        st.lists(st.floats(-200, 200, width=32), min_size=classes, max_size=classes), min_size=1, max_size=5
    )
)


def slow_softmax(row: list[float]) -> list[float]:
    top = max(row)
    powers = [math.exp(value - top) for value in row]
    return [power / sum(powers) for power in powers]


@settings(max_examples=60, deadline=None)
@given(matrices, st.data())
def test_slow_versions(rows: list[list[float]], data: st.DataObject) -> None:
    classes = len(rows[0])
    labels = [data.draw(st.integers(0, classes - 1)) for _ in rows]
    q = data.draw(st.floats(0.05, 1))
    logits, target = torch.tensor(rows, dtype=torch.float32), torch.tensor(labels)
    for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
        p = slow_softmax(row)
        gce = (1 - (p[label] + 1e-6) ** q) / q
        assert losses.generalised_cross_entropy(logits, target, q)[i].item() == pytest.approx(gce, abs=2e-5 / q)
        assert losses.mean_absolute_error(logits, target)[i].item() == pytest.approx(1 - p[label], abs=5e-6)
        top = max(row)
        logsum = top + math.log(sum(math.exp(value - top) for value in row))
        assert losses.cross_entropy(logits, target)[i].item() == pytest.approx(logsum - row[label], abs=1e-3)
        slow = -sum(value * math.log(value) for value in p if value > 0)
        assert losses.entropy(logits)[i].item() == pytest.approx(slow, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(matrices, st.floats(-8, 0.99), st.data())
def test_smoothed_cross_entropy_against_its_smoothed_label(
    rows: list[list[float]], smoothing: float, data: st.DataObject
) -> None:
    """Cross-entropy to (1 - r) e_y + r/C, which for r >= 0 is torch's own label smoothing."""
    logits, classes = torch.tensor(rows), len(rows[0])
    labels = torch.tensor([data.draw(st.integers(0, classes - 1)) for _ in rows])
    target = (1 - smoothing) * torch.nn.functional.one_hot(labels, classes) + smoothing / classes
    found = losses.smoothed_cross_entropy(logits, labels, torch.tensor(smoothing))
    assert torch.allclose(found, losses.soft_cross_entropy(logits, target), rtol=1e-4, atol=2e-3)
    if smoothing >= 0:
        built_in = torch.nn.functional.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
        assert torch.allclose(found, built_in, rtol=1e-4, atol=2e-3)


def test_the_method_smooths_by_its_own_share_and_every_other_learner_by_a_tenth() -> None:
    logits, labels = ITEM["logits"], ITEM["labels"]
    for smoothing in (0.1, 0.5, -1.0):
        built = fixtures.build(LabelSmoothing, LabelSmoothing.Options(smoothing=smoothing))
        assert isinstance(built, LabelSmoothing)
        expected = losses.smoothed_cross_entropy(logits, labels, smoothing)
        assert torch.allclose(built.sample_loss("label-smoothing", logits, labels), expected)
        assert torch.equal(built.sample_loss("ce", logits, labels), losses.cross_entropy(logits, labels))
    tenth = losses.smoothed_cross_entropy(logits, labels, 0.1)
    assert torch.equal(LOSSES.get("label-smoothing")(logits, labels), tenth)
    assert torch.allclose(losses.smoothed_cross_entropy(logits, labels, 0.0), losses.cross_entropy(logits, labels))


@settings(max_examples=40, deadline=None)
@given(matrices)
def test_soft_cross_entropy_of_a_one_hot_is_cross_entropy(rows: list[list[float]]) -> None:
    logits = torch.tensor(rows)
    labels = torch.zeros(len(rows), dtype=torch.long)
    target = torch.nn.functional.one_hot(labels, logits.shape[1]).float()
    assert torch.allclose(losses.soft_cross_entropy(logits, target), losses.cross_entropy(logits, labels), atol=1e-4)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_extreme_logits_stay_finite(size: float) -> None:
    logits = torch.tensor([[size, 0.0, -size], [-size, -size, size]], requires_grad=True)
    labels = torch.tensor([1, 0])
    total = (
        losses.cross_entropy(logits, labels)
        + losses.generalised_cross_entropy(logits, labels, 0.5)
        + losses.mean_absolute_error(logits, labels)
        + losses.entropy(logits)
        + losses.symmetric_cross_entropy(logits, labels, 1.0, 1.0)
        + losses.double_softmax_cross_entropy(logits, labels)
    ).sum()
    (gradient,) = torch.autograd.grad(total, logits)
    assert torch.isfinite(total)
    assert torch.isfinite(gradient).all()


def test_half_precision_is_widened() -> None:
    logits = torch.tensor([[4.0, 1.0]], dtype=torch.float16)
    assert losses.cross_entropy(logits, torch.tensor([0])).dtype == torch.float32


@pytest.mark.parametrize(("a", "b"), [(0.1, 1.0), (6.0, 0.1), (1.0, 1.0)])
def test_original_symmetric_cross_entropy(a: float, b: float) -> None:
    item, name = ITEM, f"sce_a{a}_b{b}"
    logits = item["logits"].requires_grad_()
    values = losses.symmetric_cross_entropy(logits, item["labels"], torch.tensor(a), torch.tensor(b))
    (gradient,) = torch.autograd.grad(values.mean(), logits)
    assert values.mean().item() == pytest.approx(item[f"{name}/loss_ptnl"].item(), rel=1e-6)
    assert error(values, item[f"{name}/loss_deft_per_sample"]) < 1e-6
    assert error(gradient, item[f"{name}/grad_logits"]) < 1e-6


def test_v5_visprompts_constant_is_twice_as_heavy() -> None:
    item = ITEM
    logits = item["logits"].requires_grad_()
    values = losses.symmetric_cross_entropy(logits, item["labels"], 0.5, 1.0, 1e-6 / logits.shape[1])
    (gradient,) = torch.autograd.grad(values.mean(), logits)
    assert values.mean().item() == pytest.approx(item["visprompt_sce_a0.5_b1/loss"].item(), rel=1e-6)
    assert error(gradient, item["visprompt_sce_a0.5_b1/grad_logits"]) < 1e-6
    paper = losses.symmetric_cross_entropy(logits, item["labels"], 0.0, 1.0)
    theirs = losses.symmetric_cross_entropy(logits, item["labels"], 0.0, 1.0, 1e-8)
    assert torch.allclose(theirs, 2 * paper)


def test_faithful_sce_has_visprompts_constant() -> None:
    totals = []
    for faithful in (False, True):
        method = fixtures.build(SCE, SCE.Options(faithful=faithful, a=0.0))
        (phase,) = method.begin_epoch(1, fixtures.full_pass(method))
        totals.append(fixtures.total(method, fixtures.as_batch(method, phase, fixtures.labels())).item())
    assert totals[1] / totals[0] == pytest.approx(math.log(1e-6 / 5) / math.log(1e-4), rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(matrices, st.data())
def test_slow_symmetric_and_double_softmax(rows: list[list[float]], data: st.DataObject) -> None:
    classes = len(rows[0])
    labels = [data.draw(st.integers(0, classes - 1)) for _ in rows]
    a, b = data.draw(st.floats(0, 6)), data.draw(st.floats(0, 6))
    logits, target = torch.tensor(rows), torch.tensor(labels)
    for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
        p = slow_softmax(row)
        top = max(row)
        ce = top + math.log(sum(math.exp(value - top) for value in row)) - row[label]
        rce = -sum(min(max(value, 1e-7), 1) * math.log(1e-4) for k, value in enumerate(p) if k != label)
        found = losses.symmetric_cross_entropy(logits, target, a, b)[i].item()
        assert found == pytest.approx(a * ce + b * rce, rel=1e-5, abs=1e-3)
        double = losses.double_softmax_cross_entropy(logits, target)[i].item()
        assert double == pytest.approx(-math.log(slow_softmax(p)[label]), abs=1e-5)
        assert math.log(1 + (classes - 1) / math.e) - 1e-5 <= double <= math.log(classes - 1 + math.e) + 1e-5


def test_double_softmax_leaves_a_confident_rejection_alone() -> None:
    logits = torch.tensor([[30.0, 0.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(losses.double_softmax_cross_entropy(logits, torch.tensor([1])).sum(), logits)
    (plain,) = torch.autograd.grad(losses.cross_entropy(logits, torch.tensor([1])).sum(), logits)
    assert gradient.abs().max() < 1e-9
    assert plain.abs().max() > 0.99


def test_small_q_is_cross_entropy() -> None:
    logits, labels = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 4
    near = losses.generalised_cross_entropy(logits.double(), labels, 1e-4)
    assert torch.allclose(near, losses.cross_entropy(logits.double(), labels), atol=1e-3)


weights = st.lists(st.floats(0.01, 5), min_size=2, max_size=6)


@settings(max_examples=40, deadline=None)
@given(weights, st.data())
def test_slow_soft_cross_entropy_and_divergence(masses: list[float], data: st.DataObject) -> None:
    target = [mass / sum(masses) for mass in masses]
    row = [data.draw(st.floats(-20, 20, width=32)) for _ in masses]
    slow = -sum(t * math.log(max(p, 1e-300)) for t, p in zip(target, slow_softmax(row), strict=True))
    found = losses.soft_cross_entropy(torch.tensor([row]), torch.tensor([target]))
    assert found.item() == pytest.approx(slow, rel=1e-5, abs=1e-5)
    divergence = sum(1 / len(target) * math.log(1 / len(target) / value) for value in target)
    assert losses.divergence_from_uniform(torch.tensor(target)).item() == pytest.approx(divergence, abs=1e-5)


def test_divergence_from_uniform_of_the_uniform_and_of_one_class() -> None:
    assert losses.divergence_from_uniform(torch.full((4,), 0.25)).item() == pytest.approx(0, abs=1e-7)
    assert math.isfinite(losses.divergence_from_uniform(torch.tensor([1.0, 0.0])).item())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-9, 9), st.booleans(), st.just(0.0) | st.floats(0.01, 3)), min_size=1, max_size=8))
def test_slow_masked_mean(rows: list[tuple[float, bool, float]]) -> None:
    values, mask, weight = (torch.tensor(column) for column in zip(*rows, strict=True))
    chosen = [(value, w) for value, inside, w in rows if inside]
    total = sum(w for _, w in chosen)
    weighted = sum(value * w for value, w in chosen) / total if total else 0.0
    assert losses.masked_mean(values, mask, weight).item() == pytest.approx(weighted, rel=1e-4, abs=1e-4)
    plain = sum(value for value, _ in chosen) / max(len(chosen), 1)
    assert losses.masked_mean(values, mask).item() == pytest.approx(plain, rel=1e-4, abs=1e-4)


def test_masked_mean_of_nothing_is_zero_with_zero_gradient() -> None:
    values = torch.tensor([1.0, math.nan, math.inf], requires_grad=True)
    mean = losses.masked_mean(values, torch.zeros(3, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(mean, values)
    assert mean.item() == 0
    assert gradient.tolist() == [0, 0, 0]


def test_masked_mean_ignores_what_is_outside_and_weighs_what_is_inside() -> None:
    values = torch.tensor([1.0, 3.0, math.nan])
    mask = torch.tensor([True, True, False])
    assert losses.masked_mean(values, mask).item() == 2
    assert losses.masked_mean(values, mask, torch.tensor([3.0, 1.0, 5.0])).item() == 1.5
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [math.nan, 0.0]])
    assert losses.masked_mean(rows, mask).tolist() == [2, 3]
