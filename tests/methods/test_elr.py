"""ELR against the authors' and DeFT's numbers, and what half precision changes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.methods.elr import ELR
from bench.methods.parts.losses import cross_entropy, early_learning_regularisation, early_learning_target
from bench.testing import fixtures
from tests.golden_data import Item, entry_error

STEPS = ("step0", "step1", "step2")


def updated(memory: Tensor, item: Item, step: str, beta: float) -> tuple[Tensor, Tensor]:
    index = item[f"{step}/index"]
    memory = memory.clone()
    memory[index] = early_learning_target(memory[index], item[f"{step}/logits"], torch.tensor(beta))
    return memory, memory[index]


@pytest.mark.parametrize(("beta", "weight"), [(0.7, 3.0), (0.9, 7.0)])
def test_the_authors_memory_loss_and_gradient(beta: float, weight: float) -> None:
    item, memory = Item("losses"), torch.zeros(11, 5)
    for step in (f"elr_beta{beta}_lambda{weight}/{step}" for step in STEPS):
        memory, rows = updated(memory, item, step, beta)
        assert entry_error(memory, item[f"{step}/memory_after"]) <= 1e-6
        logits = item[f"{step}/logits"].requires_grad_()
        pull = early_learning_regularisation(logits, rows)
        loss = (cross_entropy(logits, item[f"{step}/labels"]) + weight * pull).mean()
        assert entry_error(loss, item[f"{step}/loss"]) <= 1e-6
        (gradient,) = torch.autograd.grad(loss, logits)
        assert entry_error(gradient, item[f"{step}/grad_logits"]) <= 1e-6


def test_defts_memory_and_loss_per_sample() -> None:
    item, memory = Item("losses"), torch.zeros(11, 5)
    for step in (f"elr_deft_beta0.3_lambda5/{step}" for step in STEPS):
        memory, rows = updated(memory, item, step, 0.3)
        assert entry_error(memory, item[f"{step}/memory_after"]) <= 1e-6
        logits = item[f"{step}/logits"]
        loss = cross_entropy(logits, item[f"{step}/labels"]) + 5 * early_learning_regularisation(logits, rows)
        assert entry_error(loss, item[f"{step}/loss_per_sample"]) <= 1e-6


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=5), st.floats(0, 0.95), st.integers(1, 4))
def test_slow_version(row: list[float], beta: float, visits: int) -> None:
    powers = [math.exp(value - max(row)) for value in row]
    p = [min(max(value / sum(powers), 1e-4), 1 - 1e-4) for value in powers]
    t = [0.0] * len(row)
    logits, memory = torch.tensor(row, dtype=torch.float64), torch.zeros(len(row), dtype=torch.float64)
    for _ in range(visits):
        t = [beta * old + (1 - beta) * value / sum(p) for old, value in zip(t, p, strict=True)]
        memory = early_learning_target(memory, logits, beta)
    assert memory.tolist() == pytest.approx(t, rel=1e-9)
    slow = math.log(1 - sum(a * b for a, b in zip(t, p, strict=True)))
    assert early_learning_regularisation(logits, memory).item() == pytest.approx(slow, rel=1e-7)


def test_half_precision_loses_the_upper_clamp() -> None:
    logits, memory = torch.tensor([[50.0, 0.0]]), torch.zeros(1, 2)
    rows = [early_learning_target(memory, logits, 0.0, half) for half in (False, True)]
    pulls = [early_learning_regularisation(logits, row, half) for row, half in zip(rows, (False, True), strict=True)]
    assert pulls[0].item() == pytest.approx(math.log(2e-4), rel=1e-2)
    assert pulls[1].item() == -math.inf


def built(**options: float) -> ELR:
    return fixtures.build(ELR, ELR.Options.model_validate(options))


def test_half_precision_changes_the_memory() -> None:
    first, second = built(), built(faithful=True)
    for method in (first, second):
        fixtures.train(method)
    assert not torch.equal(first.memory, second.memory)
    assert (first.memory - second.memory).abs().max() < 0.05


def test_the_engine_writes_the_rows_of_every_sample_once_per_epoch() -> None:
    method = built(beta=0.5)
    assert not method.memory.any()
    fixtures.train(method)
    expected = torch.full((fixtures.SAMPLES,), 1 - 0.5**fixtures.EPOCHS)
    assert method.memory.dtype == torch.float32
    assert torch.allclose(method.memory.sum(1), expected)


def test_without_a_weight_it_is_coop() -> None:
    method, twin = built(lambda_elr=0.0), built(lambda_elr=2.0)
    (phase,) = method.begin_epoch(1, fixtures.full_pass(method))
    batch = fixtures.as_batch(method, phase, fixtures.labels())
    assert method(batch).terms["early_learning"] == 0
    terms = twin(batch).terms
    assert terms["ce"] == method(batch).terms["ce"]
    assert terms["early_learning"] < 0
