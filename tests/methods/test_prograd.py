"""ProGrad's rule against a slow version, its start, and the teacher."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from bench.errors import BenchError
from bench.methods.coop import CoOp
from bench.methods.prograd import GUIDE, ProGrad, class_last, without_conflict
from bench.testing import checks
from bench.testing.fixtures import labels, phases
from tests.golden_data import TOLERANCE, Item, backbone, deviation
from tests.methods.from_golden import context, images, one_batch, set_up


def slow(gradient: Tensor, guide: Tensor, share: float) -> Tensor:
    """The rule by angles, as the paper's figure draws it."""
    length = guide.norm()
    if length == 0 or gradient.norm() == 0:
        return gradient
    cosine = (gradient.flatten() / gradient.norm()) @ (guide.flatten() / length)
    if cosine >= 0:
        return gradient
    return gradient - share * (gradient.norm() * cosine) * guide / length


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 2), st.floats(-3, 3))
def test_the_rule(seed: int, share: float, exponent: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    gradient, guide = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    guide = guide * 10**exponent
    found = without_conflict(gradient, guide, share)
    assert torch.allclose(found, slow(gradient, guide, share), atol=1e-12)
    if (gradient * guide).sum() >= 0:
        assert torch.equal(found, gradient)
    else:
        assert (without_conflict(gradient, guide) * guide).sum().abs() < 1e-9 * guide.norm()
    assert torch.allclose(without_conflict(gradient, guide * 7, share), found)  # the guide's length has no say


@pytest.mark.parametrize("zero", ["gradient", "guide"])
def test_a_gradient_of_zero_is_no_division_by_zero(zero: str) -> None:
    gradient, guide = torch.ones(2, 3), -torch.ones(2, 3)
    if zero == "gradient":
        assert not without_conflict(gradient * 0, guide).any()
    else:
        assert torch.equal(without_conflict(gradient, guide * 0), gradient)


def test_the_guide_is_the_gradient_of_the_divergence_from_zero_shot() -> None:
    inputs = images()
    method, batch = set_up(ProGrad, Item("coop"), inputs)
    with torch.no_grad():
        method.context.normal_(0, 0.02, generator=torch.Generator().manual_seed(0))
    texts = [f"a photo of a {name}." for name in Item("coop").names()]
    pooled = F.normalize(inputs.pooled, dim=-1)
    teacher = backbone().scale * pooled @ F.normalize(backbone().text_templates(texts), dim=-1).mT
    (found,) = torch.autograd.grad(method(batch).terms[GUIDE], [method.context])
    divergence = F.kl_div(
        method.batch_logits(batch).log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True
    )
    (expected,) = torch.autograd.grad(divergence, [method.context])
    assert deviation(found, expected) < TOLERANCE
    own = F.cross_entropy(method.batch_logits(batch), batch.observed)
    (gradient,) = torch.autograd.grad(own, [method.context])
    terms = {"ce": {"context": gradient}, GUIDE: {"context": found}}
    assert deviation(method.combine(terms)["context"], slow(gradient, expected, 1.0)) < TOLERANCE


def test_all_terms_of_the_objective_are_projected_together() -> None:
    method = checks.build(ProGrad, ProGrad.Options(projection=0.5))
    first, second, guide = torch.randn(3, 16, 64, generator=torch.Generator().manual_seed(1))
    terms = {"ce": {"context": first}, "rest_mae": {"context": second}, GUIDE: {"context": guide}}
    assert torch.allclose(method.combine(terms)["context"], slow(first + second, guide, 0.5), atol=1e-5)


def test_each_parameter_is_projected_by_itself() -> None:
    method = checks.build(ProGrad, ProGrad.Options())
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    terms = {"ce": {"a": one, "b": other}, GUIDE: {"a": -one, "b": other}}
    found = method.combine(terms)
    assert torch.equal(found["a"], torch.zeros(2))
    assert torch.equal(found["b"], other)  # no conflict here: the divergence is not added


def test_without_projection_it_trains_as_coop() -> None:
    prograd = checks.build(ProGrad, ProGrad.Options(projection=0.0, init=""))
    coop = checks.build(CoOp, CoOp.Options())
    start = coop.get_parameter("context").detach().clone()
    projected = checks.build(ProGrad, ProGrad.Options(init=""))
    for method in (prograd, coop, projected):
        checks.train(method)
    assert torch.allclose(prograd.get_parameter("context"), coop.get_parameter("context"), atol=1e-6)
    assert not torch.equal(coop.get_parameter("context"), start)
    assert not torch.allclose(projected.get_parameter("context"), coop.get_parameter("context"), atol=1e-6)


TEMPLATES = {
    "a photo of a {}.": "a photo of a",
    "a photo of a {}, a type of pet.": "a type of pet, a photo of a",
    "a photo of {}, a type of food.": "a type of food, a photo of",
    "a centered satellite photo of {}.": "a centered satellite photo of",
    "{} texture.": "texture",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_class_name_goes_last(template: str) -> None:
    assert class_last(template) == TEMPLATES[template]


@pytest.mark.parametrize("template", ["a photo", "{}."])
def test_a_template_that_cannot_start_a_context_is_refused(template: str) -> None:
    with pytest.raises(BenchError, match="prograd"):
        checks.build(ProGrad, ProGrad.Options(template=template))


def built(template: str, **options: object) -> ProGrad:
    inputs, item = images(), Item("coop")
    method = ProGrad(ProGrad.Options.model_validate(options))
    method.setup(context(item, inputs, item["labels_observed"], template))
    return method


def test_starts_with_the_words_behind_zero_vectors() -> None:
    method = built("a photo of a {}.")
    assert method.context.shape == (16, 64)
    assert not method.context[:12].any()
    assert torch.equal(method.context[12:], backbone().phrase("a photo of a"))
    assert built("a photo of a {}.", class_specific=True).context.shape == (5, 16, 64)
    assert built("a photo of a {}.", init="").context[:12].all()
    with pytest.raises(BenchError, match="larger context"):
        built("a photo of a {}.", context=3)


def test_faithful_leaves_a_word_before_the_name_for_a_comma() -> None:
    template, words = "a drawing {}, a photo of.", "a photo of, a drawing"
    repaired = checks.build(ProGrad, ProGrad.Options(template=template))
    faithful = checks.build(ProGrad, ProGrad.Options(template=template, faithful=True))
    tokens = repaired.backbone.phrase(words)
    assert len(tokens) == 6  # five words and a comma
    assert torch.equal(repaired.context[-6:], tokens)
    assert torch.equal(faithful.context[-5:], tokens[:5])
    assert not faithful.context[:-5].any()
    assert faithful.classes.names[0] == "drawing dog"
    assert torch.equal(faithful.teacher, repaired.teacher)
    plain = checks.build(ProGrad, ProGrad.Options(faithful=True))
    assert plain.classes.names[0] == "dog"  # no comma, no difference


def test_split_and_loss_are_options() -> None:
    method = checks.build(ProGrad, ProGrad.Options(loss="gce", split="zero-shot"))
    _, _, phase = phases(method)[0]
    assert set(method(checks.as_batch(method, phase, labels())).terms) == {"gce", "rest_mae", GUIDE}
    assert ProGrad.needs(method.options).separate_gradients


def test_a_batch_weight_enters_the_guide_too() -> None:
    item, inputs = Item("coop"), images()
    method, batch = set_up(ProGrad, item, inputs)
    half = one_batch(inputs.take(slice(0, 6)), batch.observed[:6])
    weighted = method(type(batch)(**{**vars(batch), "weight": (torch.arange(12) < 6).float()})).terms
    for name, value in method(half).terms.items():
        assert torch.allclose(weighted[name], value, atol=1e-6)
