"""JoAPR's partition, targets and loss against slow versions written from the equations."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture
from torch import Tensor

from bench.methods import joapr
from bench.methods.joapr import JoAPR
from bench.seeds import Stream
from bench.testing import fixtures


def history(epochs: int = 7, samples: int = 60) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    wrong = torch.arange(samples) % 3 == 0
    return (torch.rand(epochs, samples, generator=generator) * 0.3 + 0.6 * wrong).clamp(0, 1)


def slow_partition(losses: Tensor, rho: float, seed: int, count: int) -> dict[str, Any]:
    """The reference's steps one by one, its wrong threshold included."""
    mean = sum(losses[-5:], torch.zeros(losses.shape[1])) / min(len(losses), 5)
    column = mean.numpy().reshape(-1, 1)
    model = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=seed).fit(column)
    clean, noisy = int(model.means_.argmin()), int(model.means_.argmax())
    w = model.predict_proba(column)[:, clean]
    m1, m2 = float(model.means_[clean, 0]), float(model.means_[noisy, 0])
    s1, s2 = float(model.covariances_[clean, 0, 0]), float(model.covariances_[noisy, 0, 0])  # variances: J3
    a = s2**2 - s1**2
    b = 2 * (m2 * s1**2 - m1 * s2**2)
    c = (m1 * s2) ** 2 - (m2 * s1) ** 2 + 2 * (s1 * s2) ** 2 * math.log(2 * s1 / s2 + 1e-8)
    square = b * b - 4 * a * c
    tau = (-b + math.sqrt(square)) / (2 * a + 1e-10) if square >= 0 else math.nan
    new = (count - sum(value > rho for value in w)) / count
    return {
        "w": w,
        "tau": tau,
        "rho": new,
        "clean": [x < tau or v > new for x, v in zip(mean.tolist(), w, strict=True)],
    }


@pytest.mark.parametrize("epochs", [1, 4, 7])
def test_partition_with_the_references_defects(epochs: int) -> None:
    losses = history(epochs)
    slow = slow_partition(losses, 0.5, 11, 64)
    ours = joapr.joapr_partition(losses, 0.5, 11, nominal=64, faithful=True)
    assert ours.mixture.low == pytest.approx(slow["w"], abs=1e-6)
    assert ours.tau == pytest.approx(slow["tau"], rel=1e-5)
    assert ours.rho == slow["rho"]
    assert ours.clean.tolist() == slow["clean"]


def test_partition_repaired_differs_in_the_threshold_alone() -> None:
    ours, theirs = (joapr.joapr_partition(history(), 0.5, 11, faithful=flag) for flag in (False, True))
    assert ours.mixture.low == pytest.approx(theirs.mixture.low, abs=1e-5)
    assert ours.rho == theirs.rho
    (m1, m2), (v1, v2) = ours.mixture.mean, ours.mixture.variance
    left = -math.log(v1) / 2 - (ours.tau - m1) ** 2 / (2 * v1)
    assert left == pytest.approx(-math.log(v2) / 2 - (ours.tau - m2) ** 2 / (2 * v2), abs=1e-6)
    assert abs(theirs.tau - ours.tau) > 0.01


@pytest.mark.parametrize("faithful", [False, True])
def test_equal_losses_are_all_clean(faithful: bool) -> None:
    rho = 0.5
    for epochs in (1, 2):
        split = joapr.joapr_partition(torch.zeros(epochs, 6), rho, 1, nominal=8, faithful=faithful)
        rho = split.rho
        assert split.clean.all()


def test_rho_is_the_share_outside_the_old_rho() -> None:
    first = joapr.joapr_partition(history(), 0.5, 1)
    second = joapr.joapr_partition(history(), first.rho, 1)
    assert first.rho == pytest.approx(1 - np.mean(first.mixture.low > 0.5))
    assert second.rho == pytest.approx(1 - np.mean(second.mixture.low > first.rho))
    assert joapr.joapr_partition(history(), 0.5, 1, nominal=80).rho > first.rho


def test_losses_are_cross_entropy_plus_entropy_scaled() -> None:
    logits, labels = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 4
    p = logits.double().softmax(1)
    raw = torch.tensor([-math.log(p[i, labels[i]]) - sum(v * math.log(v) for v in p[i].tolist()) for i in range(9)])
    expected = (raw - raw.min()) / (raw.max() - raw.min())
    assert torch.allclose(joapr.joapr_losses(logits, labels), expected, atol=1e-6)
    same = joapr.joapr_losses(torch.zeros(5, 3), torch.zeros(5, dtype=torch.long))
    assert same.tolist() == [0] * 5


def test_targets() -> None:
    p = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).softmax(1)
    observed, clean = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([True, True, False, True, False, False])
    weight = torch.linspace(0, 1, 6)
    ours = joapr.joapr_targets(p, observed, weight, clean)
    for i in range(6):
        row = p[i].tolist()
        if clean[i]:
            w = float(weight[i])
            row = [w * (k == int(observed[i])) + (1 - w) * value for k, value in enumerate(row)]
        squares = [value**2 for value in row]
        assert ours[i].tolist() == pytest.approx([value / sum(squares) for value in squares], abs=1e-6)


def test_weight_is_aligned_unless_the_defect_is_asked_for() -> None:
    low, probability = torch.tensor([0.5, 1.0, 0.2]), torch.tensor([0.1, 0.2, 0.4])
    order = torch.tensor([2, 0, 1])
    assert joapr.joapr_weight(low, probability).tolist() == pytest.approx([0.05, 0.2, 0.08])
    assert joapr.joapr_weight(low, probability, order).tolist() == pytest.approx([0.2, 0.1, 0.04])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 99))
def test_partners_permute_the_valid_samples(flags: list[bool], seed: int) -> None:
    valid = torch.tensor(flags)
    keys = torch.from_numpy(Stream(seed, "method").uniform(len(flags)))
    found = joapr.partners(keys, valid)
    assert sorted(found[valid].tolist()) == valid.nonzero().squeeze(1).tolist()


def split_batch(**options: Any) -> tuple[JoAPR, Any]:
    method = fixtures.build(JoAPR, JoAPR.Options(**options))
    _, _, phase = fixtures.phases(method)[-1]
    return method, fixtures.as_batch(method, phase, fixtures.labels())


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_loss_against_a_slow_version(beta: float) -> None:
    method, batch = split_batch(beta=beta, alpha2=0.5)
    terms = method(batch).terms
    with torch.no_grad():
        text = torch.nn.functional.normalize(method.text_features(), dim=-1)
        scale, count = float(method.backbone.scale), int(batch.valid.sum())
        share = float(batch.draws["share"])

        def predict(pooled: Tensor) -> Tensor:
            return (scale * pooled / pooled.norm() @ text.T).double().softmax(0)

        own = torch.stack([predict(row) for row in batch.inputs.pooled])
        targets = joapr.joapr_targets(own, batch.observed, batch.weight.double(), batch.group == joapr.CLEAN)
        order = sorted(range(count), key=lambda i: float(batch.draws["keys"][i]))
        soft, mean = 0.0, torch.zeros(5, dtype=torch.float64)
        for i, j in enumerate(order):
            mixed = predict(share * batch.inputs.pooled[i] + (1 - share) * batch.inputs.pooled[j])
            soft -= float(((share * targets[i] + (1 - share) * targets[j]) * mixed.log()).sum()) / count
            mean += mixed / count
        balance = sum(0.2 * math.log(0.2 / value) for value in mean.tolist())
    assert (share == 1) == (beta == 0)
    assert float(terms["soft_ce"].detach()) == pytest.approx(soft, rel=1e-4)
    assert float(terms["balance"].detach()) == pytest.approx(0.5 * balance, rel=1e-3)
    assert float(terms["ce"].detach()) == 0
    assert float(terms["negative_entropy"].detach()) == 0


def test_warm_up_is_cross_entropy_minus_entropy() -> None:
    method = fixtures.build(JoAPR, JoAPR.Options(alpha1=0.25))
    (phase,) = method.begin_epoch(1, fixtures.full_pass(method))
    batch = fixtures.as_batch(method, phase, fixtures.labels())
    terms = {name: float(value.detach()) for name, value in method(batch).terms.items()}
    p = fixtures.full_pass(method)().double().softmax(1)
    assert terms["ce"] == pytest.approx(float(-p[torch.arange(20), fixtures.labels()].log().mean()), rel=1e-4)
    assert terms["negative_entropy"] == pytest.approx(0.25 * float((p * p.log()).sum(1).mean()), rel=1e-4)
    assert terms["soft_ce"] == terms["balance"] == 0


def test_warm_up_takes_at_most_a_fifth_of_the_epochs() -> None:
    method = fixtures.build(JoAPR, JoAPR.Options())
    groups = [phase.group.unique().tolist() for _, _, phase in fixtures.phases(method)]
    assert groups[0] == [joapr.WARM_UP]
    assert all(joapr.WARM_UP not in group for group in groups[1:])
    assert method.diagnostics()["warmup_epochs"] == 1


def test_first_split_epoch_weighs_by_w_and_later_ones_by_w_times_p() -> None:
    method = fixtures.build(JoAPR, JoAPR.Options())
    scores = fixtures.full_pass(method)
    weights = [phase.weight for _, _, phase in fixtures.phases(method)]
    own = scores().softmax(1)[torch.arange(20), fixtures.labels()]
    losses = joapr.joapr_losses(scores(), fixtures.labels()).unsqueeze(0)  # untrained: the same losses at every epoch
    first, second = (
        torch.from_numpy(joapr.joapr_partition(losses, 0.5, int(seed)).mixture.low) for seed in method.seeds[1:3]
    )
    assert torch.allclose(weights[1], first.float(), atol=1e-5)
    assert torch.allclose(weights[2], second.float() * own, atol=1e-5)


def test_defect_of_shuffled_probabilities_on_request() -> None:
    repaired, faithful = (
        [p.weight for _, _, p in fixtures.phases(fixtures.build(JoAPR, JoAPR.Options(faithful=flag)))][2]
        for flag in (0, 1)
    )
    assert not torch.allclose(repaired, faithful)


def test_j4_the_reference_counts_the_samples_that_were_asked_for() -> None:
    """20 samples in the place of 5 classes of 8 shots: what is clean is divided by 40."""
    rho = []
    for faithful in (False, True):
        method = JoAPR(JoAPR.Options(faithful=faithful, warmup=0))
        method.setup(replace(fixtures.context(method.needs(method.options), 1, fixtures.labels()), shots=8))
        method.begin_epoch(1, fixtures.full_pass(method))
        rho.append(method.diagnostics()["rho"])
    assert 0 < rho[0] < 1
    assert 1 - rho[1] == pytest.approx((1 - rho[0]) / 2)


def test_no_noisy_sample_is_no_crash() -> None:
    method = fixtures.build(JoAPR, JoAPR.Options(warmup=0), observed=torch.zeros(20, dtype=torch.long))
    (phase,) = method.begin_epoch(1, lambda view="plain": torch.zeros(20, 5))
    assert (phase.group == joapr.CLEAN).all()
    loss = fixtures.total(method, fixtures.as_batch(method, phase, torch.zeros(20, dtype=torch.long)))
    assert torch.isfinite(loss)
    assert "tau" not in method.diagnostics()


def test_shares_lie_above_one_half_and_rarely_mix() -> None:
    method = fixtures.build(JoAPR, JoAPR.Options())
    shares = [float(method.draw(1, step, 4, Stream(1, "method", step))["share"]) for step in range(400)]
    assert all(0.5 <= share <= 1 for share in shares)
    assert sum(share < 0.999 for share in shares) <= 12
