"""Losses against the original authors' numbers and against slow, obvious versions."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from methods import losses

GOLDEN = np.load(Path(__file__).parent / "golden" / "losses.npz", allow_pickle=False)


def golden(name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[name])


@pytest.mark.parametrize(("name", "q"), [("gce_q0.5", 0.5), ("gce_q0.7", 0.7), ("mae_nlprompt_q1", None)])
def test_original_values_and_gradients(name: str, q: float | None) -> None:
    logits = golden("logits").requires_grad_()
    labels = golden("labels")
    values = (
        losses.mean_absolute_error(logits, labels)
        if q is None
        else losses.generalised_cross_entropy(logits, labels, torch.tensor(q))
    )
    loss = values.mean()
    (gradient,) = torch.autograd.grad(loss, logits)
    assert abs(loss.item() - golden(f"{name}/loss").item()) <= 1e-6
    assert (gradient - golden(f"{name}/grad_logits")).abs().max() <= 1e-6


def test_visprompt_gce_is_the_same_loss() -> None:
    value = losses.generalised_cross_entropy(golden("logits"), golden("labels"), 0.7).mean()
    assert abs(value.item() - golden("visprompt_gce_q0.7/loss").item()) <= 1e-6


def test_joapr_negative_entropy() -> None:
    value = -losses.entropy(golden("logits").clamp(-20, 20)).mean()
    assert abs(value.item() - golden("joapr_negentropy").item()) <= 1e-6


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
    ).sum()
    (gradient,) = torch.autograd.grad(total, logits)
    assert torch.isfinite(total)
    assert torch.isfinite(gradient).all()


def test_half_precision_is_widened() -> None:
    logits = torch.tensor([[4.0, 1.0]], dtype=torch.float16)
    assert losses.cross_entropy(logits, torch.tensor([0])).dtype == torch.float32


def test_small_q_is_cross_entropy() -> None:
    logits, labels = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 4
    near = losses.generalised_cross_entropy(logits.double(), labels, 1e-4)
    assert torch.allclose(near, losses.cross_entropy(logits.double(), labels), atol=1e-3)


def test_divergence_from_uniform() -> None:
    assert losses.divergence_from_uniform(torch.full((4,), 0.25)).item() == pytest.approx(0, abs=1e-7)
    p = torch.tensor([0.5, 0.25, 0.25])
    slow = sum(1 / 3 * math.log(1 / 3 / value) for value in p.tolist())
    assert losses.divergence_from_uniform(p).item() == pytest.approx(slow, rel=1e-6)


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
