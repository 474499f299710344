"""KgCoOp against the original's numbers, and where its pull acts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from bench.errors import BenchError
from bench.methods.kgcoop import KgCoOp
from bench.testing import checks
from bench.testing.fixtures import labels, phases
from tests.golden_data import TOLERANCE, Item, backbone, error
from tests.methods.from_golden import images, load, set_up


@pytest.mark.parametrize("w", [8.0, 1.0])
def test_the_originals_numbers(w: float) -> None:
    golden, inputs = Item("kgcoop"), images()
    method, batch = set_up(KgCoOp, golden, inputs, w=w)
    load(method, golden, {"context": "ctx"})
    assert error(method.anchor, golden["anchor_text_features_normalised"]) < TOLERANCE
    assert error(method.prepare()["text"], golden["text_features_normalised"]) < TOLERANCE
    assert error(method.distance(method.text_features()), golden["score_1_minus_mean_cos"]) < TOLERANCE
    terms = method(batch).terms
    assert error(terms["ce"], golden["loss_ce"]) < TOLERANCE
    loss = terms["ce"] + terms["anchor"]
    assert error(loss, golden[f"w{w}/loss"]) < TOLERANCE
    (gradient,) = torch.autograd.grad(loss, [method.context])
    assert error(gradient, golden[f"w{w}/grad_ctx"]) < TOLERANCE
    (gradient,) = torch.autograd.grad(method(batch).terms["ce"], [method.context])
    assert error(gradient, golden["grad_ctx_ce_only"]) < TOLERANCE
    with torch.no_grad():
        assert error(method.predict(inputs, method.prepare()), golden["logits"]) < TOLERANCE


def test_the_originals_start() -> None:
    golden, inputs = Item("kgcoop"), images()
    method, batch = set_up(KgCoOp, golden, inputs)
    assert error(method.context, golden["init_a_photo_of_a/ctx"]) < TOLERANCE
    assert method(batch).terms["anchor"].abs() < 1e-5  # the phrase is the template
    with torch.no_grad():
        assert error(method.predict(inputs, method.prepare()), golden["init_a_photo_of_a/logits"]) < TOLERANCE


def built(**options: object) -> KgCoOp:
    return checks.build(KgCoOp, KgCoOp.Options.model_validate(options))


def test_the_anchor_is_the_mean_of_the_sets_templates_or_the_one_given() -> None:
    names = ("dog", "golden retriever", "sea horse", "ceiling fan", "aeroplane")

    def features(template: str) -> torch.Tensor:
        tower = built().backbone
        return F.normalize(tower.text_templates([template.replace("{}", name) for name in names]), dim=-1)

    one, other = features("a photo of a {}."), features("a drawing of a {}.")
    assert torch.allclose(built().anchor, F.normalize(one + other, dim=-1), atol=1e-5)
    assert torch.allclose(built(template="a drawing of a {}.").anchor, other, atol=1e-5)
    with pytest.raises(BenchError, match="has no"):
        built(template="a photo")


def test_the_pull_acts_in_every_step_with_a_sample() -> None:
    method = built(split="zero-shot", init="")
    for _, _, phase in phases(method):
        batch = checks.as_batch(method, phase, labels())
        expected = 8 * method.distance(method.text_features()) if batch.valid.any() else torch.zeros(())
        assert torch.allclose(method(batch).terms["anchor"], expected)
    nobody = replace(batch, valid=torch.zeros_like(batch.valid))
    assert method(nobody).terms["anchor"] == 0


def test_without_weight_it_is_coops_loss() -> None:
    method, batch = set_up(KgCoOp, Item("kgcoop"), images(), w=0)
    assert method(batch).terms["anchor"] == 0
    assert backbone().token_embedding.grad is None
