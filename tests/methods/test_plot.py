"""PLOT against the original's numbers, and its plan against the definition of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.contracts.method import Batch, Inputs
from bench.methods.plot import PLOT, reference_plan, transport_plan
from bench.testing import checks
from bench.testing.fixtures import inputs_for
from tests.golden_data import TOLERANCE, Item, deviation, error
from tests.methods.from_golden import load, set_up


def golden_method(**options: Any) -> tuple[PLOT, Batch, Item]:
    golden = Item("plot")
    tokens = golden["tokens_global_first_LBD"].transpose(0, 1)
    inputs = Inputs(tokens[:, 0], tokens[:, 1:])
    method, batch = set_up(PLOT, golden, inputs, "labels", context=6, **options)
    load(method, golden, {"context": "ctx"})
    return method, batch, golden


@pytest.mark.parametrize(("mode", "pooled"), [("", False), ("imagenet_mode/", True)])
def test_the_originals_numbers(mode: str, pooled: bool) -> None:
    method, batch, golden = golden_method(faithful=True, pooled=pooled)
    assert error(method.batch_logits(batch), golden[f"{mode}logits"]) < TOLERANCE
    loss = method(batch).terms["ce"]
    assert error(loss, golden[f"{mode}loss_ce"]) < TOLERANCE
    loss.backward()
    assert method.context.grad is not None
    assert error(method.context.grad, golden[f"{mode}grad_ctx"]) < TOLERANCE
    with torch.no_grad():
        assert error(method.predict(batch.inputs, method.prepare()), golden[f"{mode}logits"]) < TOLERANCE


def test_the_originals_plan() -> None:
    method, batch, golden = golden_method(faithful=True)
    text = method.prepare()["text"]
    assert error(text, golden["text_features_normalised"]) < TOLERANCE
    similarity = method.similarity(batch.inputs.tokens, text)
    assert error(similarity.mT, golden["sim"]) < TOLERANCE
    plan, used = reference_plan(similarity, method.epsilon, method.options.iterations, batch.valid)
    assert used == int(golden["sinkhorn_iterations_used"])
    assert error(plan.mT, golden["plan_T"]) < TOLERANCE


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 9), st.floats(0.1, 1))
def test_the_plan_is_pots(seed: int, prompts: int, tokens: int, epsilon: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.rand(prompts, tokens, generator=generator, dtype=torch.float64) * 2 - 1
    found = transport_plan(similarity, epsilon, 500)
    marginals = np.full(prompts, 1 / prompts), np.full(tokens, 1 / tokens)
    expected = ot.bregman.sinkhorn_log(*marginals, 1 - similarity.numpy(), epsilon, 500, 1e-12, warn=False)
    assert np.allclose(found.numpy(), expected, atol=1e-5)
    assert torch.allclose(found.sum(1), torch.full((prompts,), 1 / prompts, dtype=torch.float64))


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_the_smallest_epsilon_stays_within_float32(value: float) -> None:
    similarity = torch.full((1, 2, 3, 5), value)
    similarity[0, 0, 0, 0] = -value
    for plan in (
        transport_plan(similarity, 0.025, 100),
        reference_plan(similarity, 0.025, 100, torch.ones(1, dtype=torch.bool))[0],
    ):
        assert plan.isfinite().all()
        assert torch.allclose(plan.sum((-2, -1)), torch.ones(1, 2))


def test_faithful_lets_batch_mates_decide_when_to_stop() -> None:
    def differs(faithful: bool) -> float:
        method, batch, _ = golden_method(faithful=faithful)
        images = [batch.inputs.take(slice(image, image + 1)) for image in range(6)]
        alone = torch.cat([checks.predictions(method, image) for image in images])
        return deviation(alone, checks.predictions(method, batch.inputs))

    assert differs(faithful=True) > 1e-5
    assert differs(faithful=False) < 1e-6


def test_the_repair_hardly_moves_the_originals_logits() -> None:
    method, batch, golden = golden_method()
    assert 1e-6 < deviation(method.batch_logits(batch), golden["logits"]) < 1e-5


def test_padding_has_no_say_in_the_originals_stopping_rule() -> None:
    method, batch, _ = golden_method(faithful=True)
    assert batch.inputs.tokens is not None
    tokens = torch.cat([batch.inputs.tokens, batch.inputs.tokens[:1].expand(5, -1, -1)])
    inputs = Inputs(torch.cat([batch.inputs.pooled, batch.inputs.pooled[:1].expand(5, -1)]), tokens)
    valid = torch.arange(11) < 6
    found = method.matched(inputs, method.prepare(), valid)[valid]
    assert torch.allclose(found, method.batch_logits(batch), atol=1e-5)
    assert method.matched(inputs, method.prepare(), valid & ~valid).isfinite().all()


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_faithful_keeps_the_rest_of_the_contract(check: checks.Check) -> None:
    if check.__name__ != "predicts_one_by_one":  # which is the defect
        check(PLOT, PLOT.Options(faithful=True))


def test_a_prediction_in_pieces_is_the_whole() -> None:
    class Small(PLOT):
        entries = 1

    method, small = (checks.build(each, PLOT.Options(pooled=True)) for each in (PLOT, Small))
    inputs = inputs_for(PLOT.needs(method.options), 7, 9)
    assert torch.allclose(checks.predictions(small, inputs), checks.predictions(method, inputs), atol=1e-5)


def test_one_prompt_is_the_mean_cosine_of_the_tokens() -> None:
    method = checks.build(PLOT, PLOT.Options(prompts=1))
    inputs = inputs_for(PLOT.needs(method.options), 3, 9)
    expected = method.backbone.scale * method.similarity(inputs.tokens, method.prepare()["text"]).mean((-2, -1))
    assert torch.allclose(checks.predictions(method, inputs), expected, atol=1e-4)


def test_the_plan_has_no_gradient() -> None:
    similarity = torch.rand(1, 1, 2, 3, requires_grad=True)
    plan = transport_plan(similarity, 0.1, 5)
    assert not plan.requires_grad
    assert not reference_plan(similarity, 0.1, 5, torch.ones(1, dtype=torch.bool))[0].requires_grad


def test_a_phrase_and_features_without_tokens_are_refused() -> None:
    with pytest.raises(ValidationError):
        PLOT.Options.model_validate({"init": "a photo of a"})
    method = checks.build(PLOT, PLOT.Options())
    with pytest.raises(TypeError, match="patch tokens"):
        method.predict(Inputs(torch.ones(2, 32)), method.prepare())
