"""PromptSRC against its terms written out, sample by sample, and against the reference's average written out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.method import Batch, everything
from bench.methods.promptsrc import PromptSRC, gaussian_weights, re_summed, re_summed_backbone, teacher_text
from bench.testing.fixtures import CLASSES, EPOCHS, as_batch, backbone, build, context, inputs_for, labels


def built(**options: object) -> PromptSRC:
    return build(PromptSRC, PromptSRC.Options.model_validate(options))


def whole(method: PromptSRC) -> Batch:
    return as_batch(method, everything(len(labels())), labels())


def test_every_term_written_out() -> None:
    method = built(text_weight=2.0, image_weight=3.0)
    batch = whole(method)
    terms = method(batch).terms
    valid = int(batch.valid.sum())
    with torch.no_grad():
        image = F.normalize(method.image_features(batch.inputs, method.visual()), dim=1)[:valid]
        frozen = F.normalize(batch.inputs.pooled, dim=1)[:valid]
        text, teacher = method.prepare()["text"], method.teacher
        logits, reference = (backbone().scale * a @ b.T for a, b in ((image, text), (frozen, teacher)))
        divergence = F.kl_div(logits.log_softmax(1), reference.log_softmax(1), reduction="sum", log_target=True)
    expected = {
        "ce": F.cross_entropy(logits, batch.observed[:valid]),
        "text": 2 * F.l1_loss(text, teacher),
        "image": 3 * F.l1_loss(image, frozen),
        "kl": divergence / logits.numel(),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert float(terms[name].detach()) == pytest.approx(float(value), rel=1e-5, abs=1e-8), name
    assert terms["kl"] > 0


def test_at_the_start_only_the_visual_prompts_differ_from_clip() -> None:
    """ "a photo of a" is plain zero-shot text while no deep prompt replaces it."""
    method = built(depth=1)
    expected = F.normalize(backbone().text_templates([f"a photo of a {name}." for name in CLASSES]), dim=1)
    with torch.no_grad():
        assert torch.allclose(method.prepare()["text"], expected, atol=1e-5)


def test_the_teacher_averages_before_it_normalises() -> None:
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    given = context(PromptSRC.needs(PromptSRC.Options()), 1, labels())
    rows = []
    for name in CLASSES:
        texts = [template(name) for template in OPENAI_IMAGENET_TEMPLATES[:60]]
        rows.append(F.normalize(backbone().text_templates(texts).mean(0), dim=0))
    assert torch.allclose(teacher_text(given), torch.stack(rows), atol=1e-6)
    texts = {template("{}") for template in OPENAI_IMAGENET_TEMPLATES[:60]}
    assert {"a photo of a {}.", "a bad photo of a {}.", "itap of the {}.", "a cartoon {}."} <= texts
    assert "a plushie {}." not in texts


@given(epochs=st.integers(1, 60), mean=st.floats(-100, 100), deviation=st.floats(0.5, 50))
def test_the_weights_are_a_gaussian_that_sums_to_one(epochs: int, mean: float, deviation: float) -> None:
    found = gaussian_weights(epochs, mean, deviation)
    assert float(found.sum()) == pytest.approx(1)
    density = [math.exp(-0.5 * ((e - mean) / deviation) ** 2) for e in range(1, epochs + 1)]
    if sum(density) > 1e-200:
        assert found.tolist() == pytest.approx([value / sum(density) for value in density], rel=1e-9, abs=1e-15)


def train(method: PromptSRC) -> list[dict[str, Tensor]]:
    """Move the prompts at random for all epochs; the values at the epochs' ends."""
    generator, ends = torch.Generator().manual_seed(3), []
    for epoch in range(1, EPOCHS + 1):
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
        method.end_epoch(epoch)
        ends.append({name: parameter.detach().clone() for name, parameter in method.named_parameters()})
    method.finalize(None)
    return ends


def test_the_final_prompts_are_the_weighted_average() -> None:
    method = built(mean=2.0, deviation=0.5)
    tower, ends = method.backbone, train(method)
    weights = gaussian_weights(EPOCHS, 2.0, 0.5).tolist()
    for name, parameter in method.named_parameters():
        expected = torch.stack([w * end[name] for w, end in zip(weights, ends, strict=True)]).sum(0)
        assert torch.allclose(parameter, expected, atol=1e-6), name
    assert method.backbone is tower


@given(shares=st.lists(st.floats(0.01, 1), min_size=1, max_size=6), seed=st.integers(0, 100))
@settings(deadline=None)
def test_a_frozen_weight_is_re_summed_in_half(shares: list[float], seed: int) -> None:
    weight = torch.randn(7, generator=torch.Generator().manual_seed(seed))
    total = None
    for share in shares:
        part = weight.half() * share
        total = part if total is None else part + total
    assert total is not None
    assert torch.equal(re_summed(weight, shares, torch.float16), total.float())


def test_faithful_averages_clip_itself() -> None:
    repaired, faithful = built(), built(faithful=True)
    train(repaired), train(faithful)
    assert faithful.backbone is not repaired.backbone
    half = re_summed_backbone(backbone(), faithful.shares.tolist())
    pixels = inputs_for(PromptSRC.needs(PromptSRC.Options()), 4, 9).images()
    with torch.no_grad():
        rounded, plain = half.image(pixels).pooled, backbone().image(pixels).pooled
        assert torch.equal(faithful.backbone.image(pixels).pooled, rounded)
    assert 1e-5 < float((rounded - plain).abs().max() / plain.abs().max()) < 0.02
    assert torch.equal(repaired.backbone.image(pixels).pooled, plain)
    assert torch.equal(faithful.context.half().float(), faithful.context)
    assert not torch.equal(repaired.context.half().float(), repaired.context)
    assert repaired.deep is not None
    assert faithful.deep is not None
    assert torch.equal(repaired.deep, faithful.deep)


def test_the_text_term_is_silent_without_a_sample() -> None:
    method = built()
    batch = whole(method)
    terms = method(replace(batch, valid=torch.zeros_like(batch.valid))).terms
    assert all(value == 0 for value in terms.values())
    assert method(batch).terms["text"] != 0


def test_another_loss_and_split_keep_the_regularisers() -> None:
    method = built(loss="gce", split="zero-shot", rest="drop")
    (phase,) = method.begin_epoch(1, lambda view="plain": torch.zeros(0))
    assert set(method(as_batch(method, phase, labels())).terms) == {"gce", "text", "image", "kl"}
