"""VisPrompt: what each form and control is by construction. No test ranks it against another method."""

from typing import Any

import pytest
import torch
from torch import Tensor

from bench.contracts.method import Inputs
from bench.errors import BenchError
from bench.methods.coop import CoOp
from bench.methods.coop_split import CoOpSplit
from bench.methods.parts.visprompt_head import CrossAttention
from bench.methods.visprompt import VisPrompt, single_cycle
from bench.seeds import Stream
from bench.testing import fixtures


def built(**options: Any) -> VisPrompt:
    return fixtures.build(VisPrompt, VisPrompt.Options.model_validate(options))


def test_attention_is_torchs() -> None:
    ours = CrossAttention(16, 16, 4, torch.Generator().manual_seed(0))
    theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.out_proj.weight.copy_(ours.out.weight)
    assert ours.query.weight.abs().max() <= (6 / 64) ** 0.5
    queries, visual = torch.randn(3, 16), torch.randn(5, 7, 16)
    expected = theirs(queries.expand(5, 3, 16), visual, visual, need_weights=False)[0]
    assert torch.allclose(ours(queries, visual), expected, atol=1e-5)


def test_visual_features_of_another_width_are_mapped() -> None:
    head = CrossAttention(16, 10, 4, torch.Generator().manual_seed(0))
    assert head(torch.randn(3, 16), torch.randn(2, 7, 10)).shape == (2, 3, 16)


def test_identity_form_starts_as_coop_exactly() -> None:
    method, coop = built(form="identity"), fixtures.build(CoOp, CoOp.Options())
    visual = fixtures.features(3, 2).tokens
    context, gate = method.conditioned(visual)
    assert torch.equal(context, method.context.expand(3, -1, -1))
    assert gate.mean().item() == pytest.approx(1 / (1 + 2.718281828**2), rel=0.05)
    inputs = fixtures.features(3, 2)
    assert torch.allclose(fixtures.predictions(method, inputs), fixtures.predictions(coop, inputs), atol=1e-4)
    assert not any(name.startswith("head.ffn") for name, _ in method.named_parameters())


def test_literal_form_against_the_equations() -> None:
    method = built()
    head, visual, context = method.head, fixtures.features(2, 2).tokens, method.context
    assert head is not None
    assert visual is not None
    normed = head.norm_context(context)
    evidence = head.attention(head.query(normed), head.norm_visual(visual))
    gate = torch.sigmoid(head.gate(evidence))
    film = (1 + head.gamma(evidence)) * normed + head.beta(evidence)
    mixed = (1 - gate) * context + gate * film
    expected = mixed + head.ffn_out(torch.nn.functional.gelu(head.ffn_in(head.norm_ffn(mixed))))
    found, found_gate = method.conditioned(visual)
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.equal(found_gate, gate)


def test_the_image_matters_and_in_the_controls_it_does_not() -> None:
    inputs = fixtures.features(4, 2)
    other = Inputs(inputs.pooled, fixtures.features(4, 3).tokens)
    assert not torch.allclose(fixtures.predictions(built(), inputs), fixtures.predictions(built(), other), atol=1e-3)
    for options in ({"control": "image-free"}, {"control": "image-free", "form": "identity"}, {"control": "coop"}):
        method = built(**options)
        assert not method.needs(method.options).tokens
        assert not method.needs(method.options).per_image_text
        fixtures.train(method)
        assert torch.equal(fixtures.predictions(method, inputs), fixtures.predictions(method, other))
        assert method.probes() == {}
    with pytest.raises(TypeError, match="without patch tokens"):
        fixtures.predictions(built(), Inputs(inputs.pooled))


def test_control_coop_is_coop_split() -> None:
    first, second = built(control="coop"), fixtures.build(CoOpSplit, CoOpSplit.Options())
    fixtures.train(first)
    fixtures.train(second)
    assert torch.equal(first.context, second.get_parameter("context"))


def test_constant_gate_and_no_film() -> None:
    visual = fixtures.features(3, 2).tokens
    constant = built(control="constant-gate", gate_bias=0.7)
    assert constant.conditioned(visual)[1].item() == pytest.approx(torch.tensor(0.7).sigmoid().item())
    assert not any("head.gate" in name for name, _ in constant.named_parameters())
    plain = built(control="no-film")
    assert not any("gamma" in name or "beta" in name for name, _ in plain.named_parameters())
    assert built(gate_bias=0.7).get_parameter("head.gate.bias").unique().item() == pytest.approx(0.7)


def test_pooled_evidence_has_one_key() -> None:
    method = built(evidence="pooled")
    assert not method.needs(method.options).tokens
    (phase,) = method.begin_epoch(1, fixtures.full_pass(method))
    loss = fixtures.total(method, fixtures.as_batch(method, phase, fixtures.labels()))
    (gradient,) = torch.autograd.grad(loss, [method.get_parameter("head.query.weight")])
    assert gradient.abs().max() < 1e-6  # V4: attention over one key is constant


def foreign_by_hand(method: VisPrompt, inputs: Inputs) -> Tensor:
    assert inputs.tokens is not None
    return fixtures.predictions(method, Inputs(inputs.pooled, inputs.tokens.roll(1, 0)))


def test_foreign_image() -> None:
    method, inputs = built(), fixtures.features(70, 4)  # more than one chunk
    with torch.no_grad():
        found = method.probes()["foreign_image"](inputs, method.prepare())
    assert torch.allclose(found, foreign_by_hand(method, inputs), atol=1e-4)
    assert not torch.allclose(found, fixtures.predictions(method, inputs), atol=1e-2)


def test_shuffled_images_stay_with_their_donor() -> None:
    method, train = built(control="shuffled"), fixtures.features(20, 5)
    test, donor = fixtures.features(50, 9, first=20), method.get_buffer("donor")
    assert (donor != torch.arange(20)).all()
    assert torch.equal(donor.sort().values, torch.arange(20))
    assert torch.equal(method._evidence(train).pooled, train.pooled[donor])
    whole = method._evidence(test).pooled
    for rows in (slice(2, 4), torch.tensor([41, 3, 3]), torch.randperm(50)):
        assert torch.equal(method._evidence(test.take(rows)).pooled, whole[rows])
    assert all((row == train.pooled).all(1).any() for row in whole)
    assert len(whole[:20].unique(dim=0)) == 20  # none is preferred
    batch = fixtures.as_batch(method, method.begin_epoch(1, fixtures.full_pass(method))[0], fixtures.labels())
    with torch.no_grad():
        logits = method.batch_logits(batch)
    own = fixtures.predictions(method, train)[batch.index]
    assert torch.allclose(logits, own, atol=1e-4)  # training and scoring see the same evidence


@pytest.mark.parametrize("size", [1, 2, 9])
def test_single_cycle(size: int) -> None:
    donor, place = single_cycle(Stream(1, "method"), size), 0
    for _ in range(size - 1):
        place = int(donor[place])
        assert place != 0
    assert int(donor[place]) == 0


@pytest.mark.parametrize(("held_out", "classes"), [(160, 10), (320, 10), (70, 10), (96, 3)])
def test_donors_are_of_the_same_class_as_often_as_chance_has_it(held_out: int, classes: int) -> None:
    """Both sets are sorted by class, and seeds differ."""
    own, seeds, same = torch.arange(classes).repeat_interleave(16), 40, 0.0
    theirs = torch.arange(held_out) * classes // held_out
    for seed in range(seeds):
        method = fixtures.build(VisPrompt, VisPrompt.Options(control="shuffled", evidence="pooled"), seed, own % 5)
        donor = method._evidence(fixtures.features(held_out, 9, first=len(own))).index
        assert donor is not None
        same += float((own[donor] == theirs).float().mean()) / seeds
    assert same == pytest.approx(1 / classes, abs=4 * (classes * held_out * seeds) ** -0.5)


def test_what_was_not_numbered_is_the_authors_to_mend() -> None:
    method, inputs = built(control="shuffled"), fixtures.features(4, 2)
    with pytest.raises(TypeError, match=r"^visprompt\[control=shuffled\] was handed features without the numbers"):
        fixtures.predictions(method, Inputs(inputs.pooled, inputs.tokens))


def test_dropout_mask() -> None:
    method = built(prompt_dropout=0.25)
    mask = method.draw(1, 0, 6, Stream(1, "method", 3))["keep"]
    assert mask.shape == (6, 16, 64)
    assert mask.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (mask == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert built().draw(1, 0, 6, Stream(1, "method", 3)) == {}


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(BenchError, match="does not divide"):
        built(heads=7)


def test_diagnostics() -> None:
    method = built(form="identity")
    numbers = method.diagnostics()
    assert numbers["image_share"] == pytest.approx(0, abs=1e-6)
    assert numbers["shift_rms"] == pytest.approx(0, abs=1e-8)
    assert numbers["context_rms"] == pytest.approx(0.02, rel=0.1)
    assert -1 <= numbers["text_cosine"] <= 1
    literal = built().diagnostics()
    assert literal["image_share"] > 0
    assert literal["gate_sd_images"] > 0
    assert literal["gate_sd_tokens"] > 0
    assert built(evidence="pooled").diagnostics()["gate_sd_tokens"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("options", [{}, {"form": "identity"}, {"evidence": "pooled"}, {"control": "no-film"}])
def test_per_sample_against_a_loop_over_images(options: dict[str, Any]) -> None:
    method, inputs = built(**options), fixtures.features(5, 3)
    fixtures.train(method)
    with torch.no_grad():
        found = method.per_sample(inputs)
        assert list(found) == ["gate", "context_shift"]
        for image in range(5):
            context, gate = method.conditioned(method._visual(inputs.take(slice(image, image + 1))))
            moved = (context[0] - method.context).double()
            rms = method.context.double().square().mean().sqrt()
            assert float(found["gate"][image]) == pytest.approx(float(gate.double().mean()), rel=1e-5)
            assert float(found["context_shift"][image]) == pytest.approx(
                float(moved.square().mean().sqrt() / rms), rel=1e-5
            )


def test_per_sample_says_only_what_there_is() -> None:
    inputs = fixtures.features(4, 3)
    for control in ("image-free", "coop"):
        assert built(control=control).per_sample(inputs) == {}
    assert list(built(control="constant-gate").per_sample(inputs)) == ["context_shift"]
    start = built(form="identity").per_sample(inputs)
    assert start["context_shift"].tolist() == [0.0] * 4  # C^ = C exactly


def test_per_sample_of_shuffled_images_is_the_donors() -> None:
    plain, shuffled, inputs = built(), built(control="shuffled"), fixtures.features(20, 5)
    donor = shuffled.get_buffer("donor")
    for name, values in shuffled.per_sample(inputs).items():
        assert torch.allclose(values, plain.per_sample(inputs)[name][donor], rtol=1e-5)
        assert torch.allclose(shuffled.per_sample(inputs.take(slice(3, 4)))[name], values[3:4], rtol=1e-5)


@pytest.mark.parametrize(
    "options", [{"class_specific": True}, {"alpha": 1.5}, {"alpha": "some"}, {"gate_bias": "x"}, {"control": "no"}]
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        VisPrompt.Options.model_validate(options)
