"""DivideMix against the authors' numbers and the steps written out; empty halves and equal losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.method import Batch, Phase
from bench.methods.dividemix import CLEAN, NOISY, DivideMix, dividemix_losses, dividemix_targets, ramp_up
from bench.methods.parts import losses
from bench.methods.parts.mixup import mix, mixing_share, partners
from bench.testing import fixtures
from tests.golden_data import Item, entry_error

CLASSES = 5
GOLDEN = Item("losses")


def golden(name: str) -> Tensor:
    return GOLDEN[f"dividemix/{name}"]


def probabilities(half: str) -> tuple[Tensor, Tensor]:
    """Of net 1 over two views, and of both nets over two views, [6, 5]."""
    views = torch.stack([golden(f"{half}_view{view}_[net1|net2]_logits") for view in (1, 2)])
    by_net = torch.stack([views[..., :CLASSES], views[..., CLASSES:]]).softmax(-1)
    return by_net[0].mean(0), by_net.mean((0, 1))


def test_the_authors_targets() -> None:
    labels, count = golden("labels_x"), len(golden("labels_x"))
    for half, clean, weight in (("x", True, golden("w_x").squeeze(1)), ("u", False, torch.ones(count))):
        own, guess = probabilities(half)
        found = dividemix_targets(own, guess, labels, weight, torch.full((count,), clean), float(golden("T")))
        assert entry_error(found, golden(f"targets_{half}")) <= 1e-6
    assert entry_error(probabilities("u")[1], golden("pu")) <= 1e-6


def test_the_authors_mix_up() -> None:
    inputs = torch.cat([golden(f"{half}_view{view}_[net1|net2]_logits") for half in "xu" for view in (1, 2)])
    targets = torch.cat([golden("targets_x")] * 2 + [golden("targets_u")] * 2)
    share, order = golden("mixup_lambda").float(), golden("mixup_permutation")
    assert entry_error(mix(inputs, share, order), golden("mixed_input")) <= 1e-6
    assert entry_error(mix(targets, share, order), golden("mixed_target")) <= 1e-6


def test_the_authors_losses() -> None:
    first = torch.arange(24) < 12
    epoch = float(golden("epoch"))
    ramp = ramp_up(epoch, int(golden("warm_up")))
    weight = float(golden("lambda_u")) * ramp
    assert weight == float(golden("lambda_u_now"))
    terms = dividemix_losses(golden("mixed_logits"), golden("mixed_target"), first, ~first, weight)
    expected = {"soft_ce": golden("Lx"), "squared_error": weight * golden("Lu"), "balance": golden("penalty")}
    for name, value in expected.items():
        assert entry_error(terms[name], value) <= 1e-6
    assert entry_error(sum(terms.values(), torch.zeros(())), golden("loss")) <= 1e-6


def test_the_authors_ramp_and_confidence_penalty() -> None:
    ramp = [25 * ramp_up(float(epoch), 10) for epoch in golden("rampup_epoch")]
    assert ramp == pytest.approx(golden("rampup_lambda_warm10_lu25").tolist(), abs=1e-12)
    found = -losses.entropy(GOLDEN["logits"]).mean()
    assert entry_error(found, golden("conf_penalty_NegEntropy")) <= 1e-6


@settings(max_examples=30, deadline=None)
@given(st.floats(0.001, 5), st.integers(0, 2**53 - 1))
def test_the_own_share_is_at_least_half(beta: float, word: int) -> None:
    assert 0.5 <= mixing_share(beta, word * 2.0**-53) <= 1
    assert mixing_share(0.0, word * 2.0**-53) == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(0, 4), st.integers(0, 4))
def test_losses_against_a_slow_version(seed: int, clean: int, noisy: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(8, 3, generator=generator)
    target = torch.rand(8, 3, generator=generator).softmax(1)
    x, u = range(clean), range(4, 4 + noisy)
    masks = [torch.tensor([i in part for i in range(8)]) for part in (x, u)]
    p = logits.softmax(1)
    slow = {"soft_ce": 0.0, "squared_error": 0.0, "balance": 0.0}
    if clean:
        slow["soft_ce"] = sum(float(-(target[i] * p[i].log()).sum()) for i in x) / clean
    if noisy:
        slow["squared_error"] = 2 * sum(float(((p[i] - target[i]) ** 2).sum()) for i in u) / (3 * noisy)
    if clean + noisy:
        mean = p[[*x, *u]].mean(0)
        slow["balance"] = float(sum(1 / 3 * torch.log((1 / 3) / value) for value in mean))
    found = {name: value.item() for name, value in dividemix_losses(logits, target, *masks, 2.0).items()}
    assert found == pytest.approx(slow, abs=1e-5)


def built(**options: Any) -> DivideMix:
    return fixtures.build(DivideMix, DivideMix.Options.model_validate(options))


def phases_of(method: DivideMix, epoch: int) -> tuple[Phase, ...]:
    return method.begin_epoch(epoch, fixtures.full_pass(method))


def test_warm_up_trains_one_network_after_the_other_on_everyone() -> None:
    method = built(penalty=0.5)
    phases = phases_of(method, 1)
    assert [phase.train for phase in phases] == [("context",), ("context_b",)]
    assert method.diagnostics() == {"warmup_epochs": 1.0}  # a fifth of three epochs, and at least one
    scores = fixtures.full_pass(method)()
    for number, phase in enumerate(phases):
        terms = method(fixtures.as_batch(method, phase, fixtures.labels(), number=number)).terms
        expected = losses.cross_entropy(scores[number], method.observed).mean()
        assert terms["ce"].item() == pytest.approx(expected.item(), rel=1e-5)
        assert terms["negative_entropy"].item() == pytest.approx(-0.5 * losses.entropy(scores[number]).mean().item())
        assert terms["soft_ce"] == terms["squared_error"] == terms["balance"] == 0


def test_each_network_is_split_by_the_other() -> None:
    method = built()
    phases = phases_of(method, 2)
    scores = fixtures.full_pass(method)()
    for number, phase in enumerate(phases):
        loss = losses.cross_entropy(scores[1 - number], method.observed)
        column = ((loss - loss.min()) / (loss.max() - loss.min())).double().numpy().reshape(-1, 1)
        model = GaussianMixture(
            2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=int(method.seeds[1][1 - number])
        ).fit(column)
        low = torch.from_numpy(model.predict_proba(column)[:, model.means_.argmin()])
        assert torch.allclose(phase.weight.double(), low, atol=1e-5)
        assert torch.equal(phase.group, torch.where(low > 0.5, CLEAN, NOISY))
        assert torch.equal(phase.clean, phase.group == CLEAN)
        assert method.diagnostics()[f"clean_share_{'ab'[number]}"] == pytest.approx((low > 0.5).double().mean().item())


@pytest.mark.parametrize("number", [0, 1])
def test_a_step_against_the_steps_written_out(number: int) -> None:
    method = built()
    phase = phases_of(method, 3)[number]
    batch = fixtures.as_batch(method, phase, fixtures.labels(), number=number, epoch=3)
    count = int(batch.valid.sum())
    image, text = batch.inputs.pooled[:count], F.normalize(method.text_features().detach(), dim=-1)

    def probability(features: Tensor, network: int) -> Tensor:
        return (method.backbone.scale * F.normalize(features, dim=-1) @ text[network].T).softmax(1)

    own, other = probability(image, number), probability(image, 1 - number)
    target = torch.zeros(count, 5)
    for i in range(count):
        if batch.group[i] == CLEAN:
            target[i] = (1 - batch.weight[i]) * own[i]
            target[i, batch.observed[i]] += batch.weight[i]
        else:
            target[i] = (own[i] + other[i]) / 2
        target[i] = target[i] ** 2 / (target[i] ** 2).sum()
    share, order = float(batch.draws["share"]), partners(batch.draws["keys"], batch.valid)[:count]
    mixed = probability(share * image + (1 - share) * image[order], number)
    target = share * target + (1 - share) * target[order]
    clean = batch.group[:count] == CLEAN
    expected = {
        "ce": 0,
        "negative_entropy": 0,
        "soft_ce": -(target * mixed.log()).sum(1)[clean].mean(),
        "squared_error": 25 * (3 - 1 - 1) / 16 * ((mixed - target) ** 2)[~clean].mean(),
        "balance": -(mixed.mean(0) * 5).log().mean(),
    }
    for name, value in method(batch).terms.items():
        assert value.item() == pytest.approx(float(expected[name]), rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("kind", [CLEAN, NOISY])
def test_a_missing_half_contributes_nothing(kind: int) -> None:
    method = built()
    phase = phases_of(method, 3)[0]
    batch = fixtures.as_batch(method, phase, fixtures.labels(), epoch=3)
    alone = Batch(**{**vars(batch), "group": torch.full_like(batch.group, kind)})
    terms = method(alone).terms
    silent, heard = ("squared_error", "soft_ce") if kind == CLEAN else ("soft_ce", "squared_error")
    assert terms[silent] == 0
    assert terms[heard] > 0
    assert all(value.isfinite() for value in terms.values())


def test_equal_losses_are_all_clean() -> None:
    method = built()
    count = len(method.observed)
    for phase in method.begin_epoch(2, lambda view="plain": torch.zeros(2, count, 5)):
        assert phase.clean is not None
        assert phase.clean.all()
    assert method.steps == [3, 3]  # 20 samples in batches of 8


def test_window_averages_the_scaled_losses() -> None:
    first, second = built(window=2), built()
    for method in (first, second):
        phases_of(method, 2)
        method.context.data += 1
    assert not torch.equal(phases_of(first, 3)[1].weight, phases_of(second, 3)[1].weight)


def test_ramp_follows_the_steps_of_each_phase() -> None:
    method = built(rampup=2)
    method.steps = [2, 4]
    stream = fixtures.context(DivideMix.needs(method.options), 1, fixtures.labels()).method
    assert method.draw(3, 1, 4, stream)["ramp"].tolist() == pytest.approx([(1 + 1 / 2) / 2, (1 + 1 / 4) / 2])


def test_prediction_is_the_mean_of_both_logits() -> None:
    method, inputs = built(class_specific=True), fixtures.features(6, 3)
    both = method.scores(inputs, method.prepare())
    assert both.shape == (2, 6, 5)
    assert not torch.equal(method.context, method.context_b)
    assert torch.equal(method.predict(inputs, method.prepare()), (both[0] + both[1]) / 2)
