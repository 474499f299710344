"""The methods that learn a context with one loss, and the one that learns nothing."""

import math

import pytest
import torch
from pydantic import ValidationError

from bench.errors import BenchError
from bench.methods.coop import CoOp
from bench.methods.coop_split import CERTAIN, CoOpSplit
from bench.methods.gce_coop import GCECoOp
from bench.methods.promptmae import PromptMAE
from bench.methods.zero_shot import ZeroShot
from bench.testing import fixtures


def test_zero_shot_is_the_mean_over_templates_of_normalised_features() -> None:
    method = fixtures.build(ZeroShot, ZeroShot.Options())
    for number, name in enumerate(fixtures.CLASSES):
        rows = fixtures.backbone().text_templates([f"a photo of a {name}.", f"a drawing of a {name}."])
        mean = sum(row / row.norm() for row in rows) / 2
        assert torch.allclose(method.text[number], mean / mean.norm(), atol=1e-6)
    inputs = fixtures.features(3, 1)
    slow = fixtures.backbone().scale * inputs.pooled / inputs.pooled.norm(dim=1, keepdim=True) @ method.text.T
    assert torch.allclose(fixtures.predictions(method, inputs), slow, atol=1e-4)


def test_one_template_of_the_users() -> None:
    one = fixtures.build(ZeroShot, ZeroShot.Options(template="a {}."))
    assert not torch.allclose(one.get_buffer("text"), fixtures.build(ZeroShot, ZeroShot.Options()).get_buffer("text"))
    with pytest.raises(BenchError, match="has no"):
        fixtures.build(ZeroShot, ZeroShot.Options(template="a photo"))


def test_initial_context() -> None:
    context = fixtures.build(CoOp, CoOp.Options(context=64)).get_parameter("context")
    assert context.shape == (64, 64)
    assert context.std().item() == pytest.approx(0.02, rel=0.05)
    phrase = fixtures.build(CoOp, CoOp.Options(init="a photo of a", class_specific=True)).get_parameter("context")
    assert phrase.shape == (5, 4, 64)
    assert torch.equal(phrase[3], fixtures.backbone().phrase("a photo of a"))


def test_all_methods_of_one_seed_start_alike() -> None:
    methods = [fixtures.build(kind, kind.Options()) for kind in (CoOp, GCECoOp, PromptMAE, CoOpSplit)]
    for method in methods[1:]:
        assert torch.equal(method.get_parameter("context"), methods[0].get_parameter("context"))


@pytest.mark.parametrize(("kind", "options"), [(CoOp, {}), (GCECoOp, {"q": 0.5}), (PromptMAE, {"factor": 2.0})])
def test_loss_is_the_mean_over_the_valid_samples(kind: type[CoOp], options: dict[str, float]) -> None:
    method = fixtures.build(kind, kind.Options(**options))
    (phase,) = method.begin_epoch(1, fixtures.full_pass(method))
    logits = fixtures.predictions(method, fixtures.features(20, 5))
    own = logits.double().softmax(1)[torch.arange(20), fixtures.labels()].tolist()
    slow = {
        CoOp: lambda p: -math.log(p),
        GCECoOp: lambda p: (1 - math.sqrt(p + 1e-6)) / 0.5,
        PromptMAE: lambda p: 2 * (1 - p),
    }[kind]
    loss = fixtures.total(method, fixtures.as_batch(method, phase, fixtures.labels())).item()
    assert loss == pytest.approx(sum(map(slow, own)) / 20, rel=1e-4)


def test_training_lowers_the_loss() -> None:
    method = fixtures.build(CoOp, CoOp.Options())
    (phase,) = method.begin_epoch(1, fixtures.full_pass(method))
    batch = fixtures.as_batch(method, phase, fixtures.labels())
    before = fixtures.total(method, batch).item()
    fixtures.train(method)
    assert fixtures.total(method, batch).item() < before


@pytest.mark.parametrize("options", [{"q": 0.0}, {"q": 1.5}, {"context": 0}, {"position": "above"}, {"contxt": 4}])
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        GCECoOp.Options.model_validate(options)


def test_split_without_alpha_is_the_mean_over_all_samples() -> None:
    method = fixtures.build(CoOpSplit, CoOpSplit.Options(delta=0.0))
    (phase,) = method.begin_epoch(1, fixtures.full_pass(method))
    assert phase.clean is not None
    assert phase.clean.any()
    assert not phase.clean.all()
    assert ((phase.group == CERTAIN) == phase.clean).all()
    p = fixtures.predictions(method, fixtures.features(20, 5)).double().softmax(1)[torch.arange(20), fixtures.labels()]
    each = [-math.log(v) if c else (1 - (v + 1e-6) ** 0.7) / 0.7 for v, c in zip(p.tolist(), phase.clean, strict=True)]
    batch = fixtures.as_batch(method, phase, fixtures.labels())
    assert fixtures.total(method, batch).item() == pytest.approx(sum(each) / 20, rel=1e-4)
    weighed = fixtures.build(CoOpSplit, CoOpSplit.Options(delta=0.0, alpha=0.25))
    certain = [v for v, c in zip(each, phase.clean, strict=True) if c]
    rest = [v for v, c in zip(each, phase.clean, strict=True) if not c]
    expected = 0.25 * sum(certain) / len(certain) + 0.75 * sum(rest) / len(rest)
    assert fixtures.total(weighed, batch).item() == pytest.approx(expected, rel=1e-4)


def test_split_modes() -> None:
    def needs(**options: str) -> bool:
        return CoOpSplit.needs(CoOpSplit.Options.model_validate(options)).full_pass

    assert needs()
    assert needs(split="argmax")
    assert not needs(split="none")
    assert not needs(loss="ce")
    assert not needs(ot_scope="batch")
    method = fixtures.build(CoOpSplit, CoOpSplit.Options(split="none"))
    plain = fixtures.build(CoOp, CoOp.Options())
    (phase,) = method.begin_epoch(1, fixtures.full_pass(method))
    batch = fixtures.as_batch(method, phase, fixtures.labels())
    assert fixtures.total(method, batch).item() == pytest.approx(fixtures.total(plain, batch).item())


def test_split_reports_itself() -> None:
    method = fixtures.build(CoOpSplit, CoOpSplit.Options())
    method.begin_epoch(1, fixtures.full_pass(method))
    numbers = method.diagnostics()
    assert set(numbers) == {"certain_share", "alpha", "ot_residual", "ot_iterations", "ot_rejected"}
    assert numbers["alpha"] == numbers["certain_share"]
    assert fixtures.build(CoOpSplit, CoOpSplit.Options(alpha=0.5)).diagnostics() == {"alpha": 0.5}
