"""Splits against POT, the original's numbers, cases with a known answer, and degenerate ones."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.methods.parts import splits, transport
from tests.golden_data import golden

GOLDEN = golden("transport")


def uniform(size: int) -> Tensor:
    return torch.full((size,), 1 / size, dtype=torch.float64)


def scores(samples: int, classes: int, scale: float = 3.0, seed: int = 0) -> Tensor:
    return torch.randn(samples, classes, generator=torch.Generator().manual_seed(seed)) * scale


def test_coupling_at_cost_minus_log_p() -> None:
    cost = -torch.from_numpy(GOLDEN["probabilities"]).double().log()
    samples, classes = cost.shape
    coupling, residual, _ = transport.sinkhorn_log(cost, 1.0, uniform(samples), uniform(classes), 1e-14, 5000)
    assert residual < 1e-14
    assert np.abs(coupling.numpy() - GOLDEN["coupling"]).max() <= 1e-9 / samples
    assert (coupling.argmax(1).numpy() == GOLDEN["pseudo"]).all()


@pytest.mark.parametrize(("samples", "classes", "reg"), [(30, 4, 1.0), (30, 4, 0.1), (3, 7, 0.1), (5, 1, 0.1)])
def test_same_as_pot(samples: int, classes: int, reg: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of POT's docstrings hold escapes that compilers complain of
        from ot.bregman import sinkhorn_log
    cost = -torch.log_softmax(scores(samples, classes).double(), 1)
    theirs, log = sinkhorn_log(
        uniform(samples).numpy(), uniform(classes).numpy(), cost.numpy(), reg, 3000, 1e-13, log=True, warn=False
    )
    ours, residual, _ = transport.sinkhorn_log(cost, reg, uniform(samples), uniform(classes), 1e-13, 3000)
    assert residual < 1e-12
    assert log["err"][-1] < 1e-12
    assert np.abs(ours.numpy() - theirs).max() < 1e-12


def test_nothing_underflows_at_a_tiny_reg() -> None:
    cost = -torch.log_softmax(scores(40, 10, scale=60), 1)
    coupling, residual, _ = transport.sinkhorn_log(cost, 1e-3, uniform(40), uniform(10))
    assert residual < 1e-4
    assert torch.allclose(coupling.sum(1), uniform(40), atol=1e-12)
    _, residual, _ = transport.sinkhorn_log(cost, 1e-3, uniform(40), uniform(10), 0.0, max_iterations=0)
    assert residual == math.inf


def test_halving_the_entropy_s_weight_converges_where_a_cold_start_does_not() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ot.bregman import sinkhorn_log
    cost = -torch.log_softmax(scores(200, 20, scale=30).double() + 40 * torch.eye(20).repeat(10, 1), 1)
    _, residual, _ = transport.sinkhorn_log(cost, 0.01, uniform(200), uniform(20))
    _, log = sinkhorn_log(
        uniform(200).numpy(), uniform(20).numpy(), cost.numpy(), 0.01, 1000, 1e-4, log=True, warn=False
    )
    assert residual < 1e-4 < log["err"][-1]


def test_unequal_marginals() -> None:
    row, column = torch.tensor([0.2, 0.8], dtype=torch.float64), torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
    coupling, residual, _ = transport.sinkhorn_log(scores(2, 3), 0.5, row, column, 1e-12)
    assert residual < 1e-12
    assert torch.allclose(coupling.sum(0), column)
    assert torch.allclose(coupling.sum(1), row)


def test_cost_that_is_not_finite() -> None:
    with pytest.raises(FloatingPointError):
        transport.sinkhorn_log(torch.tensor([[math.inf, 0.0]]), 0.1, uniform(1), uniform(2))
    with pytest.raises(FloatingPointError):
        splits.argmax_split(torch.tensor([[math.nan, 0.0]]), torch.tensor([0]))


def test_transport_finds_planted_noise() -> None:
    true = torch.arange(40) % 4
    observed = torch.where(torch.arange(40) < 8, (true + 1) % 4, true)
    split = splits.optimal_transport_split(torch.nn.functional.one_hot(true, 4) * 5.0, observed)
    assert (split.clean == (observed == true)).all()
    assert (split.pseudo == true).all()
    assert split.numbers["ot_residual"] < 1e-4
    assert split.numbers["ot_rejected"] == 0


def test_transport_corrects_a_class_bias_that_arg_max_keeps() -> None:
    true = torch.arange(20) % 2
    logits = torch.nn.functional.one_hot(true, 2) * 1.0 + torch.tensor([3.0, 0.0])
    assert splits.argmax_split(logits, true).clean.sum() == 10
    assert splits.optimal_transport_split(logits, true, tolerance=1e-9).clean.all()


def test_delta_rejects_what_is_not_confident() -> None:
    logits = torch.zeros(6, 3)
    split = splits.optimal_transport_split(logits, torch.zeros(6, dtype=torch.long), delta=0.5)
    assert split.numbers["ot_rejected"] == 1
    assert not split.clean.any()
    assert splits.optimal_transport_split(logits, split.pseudo, delta=0.0).clean.all()


def by_losses(logits: Tensor, observed: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits, observed, reduction="none")


SPLITS = {
    "transport": splits.optimal_transport_split,
    "nlprompt": splits.nlprompt_split,
    "reference": lambda z, y: splits.nlprompt_reference_split(z.softmax(1), y)[0],
    "argmax": splits.argmax_split,
    "zero-shot": splits.zero_shot_split,
    "mixture": lambda z, y: splits.mixture_split(by_losses(z, y), 0, z.argmax(1)),
    "small-loss": lambda z, y: splits.small_loss_split(by_losses(z, y), 0.75, z.argmax(1)),
}
ASK_THE_LABEL = ("transport", "nlprompt", "argmax", "zero-shot")


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("case", ["no clean", "no noisy", "one class", "fewer samples", "identical"])
def test_degenerate_sets(kind: str, case: str) -> None:
    samples, classes = {"one class": (6, 1), "fewer samples": (2, 5)}.get(case, (12, 3))
    true = torch.arange(samples) % classes
    logits = torch.zeros(samples, classes) if case == "identical" else torch.nn.functional.one_hot(true, classes) * 8.0
    observed = (true + 1) % classes if case == "no clean" else true
    split = SPLITS[kind](logits, observed)
    assert split.clean.dtype == torch.bool
    assert split.clean.shape == split.pseudo.shape == (samples,)
    if case == "identical":
        return
    if case == "fewer samples" and kind == "transport":  # every class must get its share, so no row can be sure
        assert (split.pseudo == true).all()
        assert split.numbers["ot_rejected"] == 1
    elif kind in ASK_THE_LABEL:
        assert split.clean.all() if case != "no clean" else not split.clean.any()
    elif kind == "mixture":  # equal losses are one heap, whatever the labels
        assert split.clean.all()
    elif kind == "small-loss":
        assert split.clean.sum() == math.floor(0.75 * samples)


@pytest.mark.parametrize("kind", SPLITS)
def test_planted_noise_is_found(kind: str) -> None:
    true = torch.arange(40) % 4
    observed = torch.where(torch.arange(40) < 10, (true + 1) % 4, true)
    wobble = scores(40, 4, 0.1)  # losses that are all equal make no mixture
    split = SPLITS[kind](torch.nn.functional.one_hot(true, 4) * 5.0 + wobble, observed)
    found = split.clean == (observed == true)
    assert found.all() if kind != "reference" else found.sum() >= 39  # N4
    assert (split.pseudo == true).all()


@pytest.mark.parametrize("kind", SPLITS)
def test_scores_that_are_not_finite(kind: str) -> None:
    with pytest.raises(FloatingPointError):
        SPLITS[kind](torch.tensor([[math.nan, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))


def test_small_loss_counts_without_rounding_errors() -> None:
    losses = torch.arange(10.0).flip(0)
    for share, expected in ((1 - 0.7, 3), (1 - 0.9, 1), (0.0, 0), (1.0, 10)):
        split = splits.small_loss_split(losses, share, torch.zeros(10, dtype=torch.long))
        assert split.clean.sum() == expected
        assert split.clean[10 - expected :].all()
    ties = splits.small_loss_split(torch.zeros(4), 0.5, torch.zeros(4, dtype=torch.long))
    assert ties.clean.tolist() == [True, True, False, False]


def test_forget_rate_grows_and_stays() -> None:
    rates = [float(splits.forget_rate(epoch, 0.4, 10)) for epoch in (1, 5, 10, 50)]
    assert rates == pytest.approx([0.04, 0.2, 0.4, 0.4])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9), st.booleans()), min_size=1, max_size=8), st.integers(0, 8))
def test_small_loss_selection_against_a_sort(rows: list[tuple[float, float, bool]], keep: int) -> None:
    first, second, valid = (torch.tensor(column) for column in zip(*rows, strict=True))
    for losses, mask in zip(
        (first, second), splits.small_loss_selection(first, second, torch.tensor(keep), valid), strict=True
    ):
        slow = sorted((loss, i) for i, (loss, v) in enumerate(zip(losses.tolist(), valid.tolist(), strict=True)) if v)
        assert mask.nonzero().squeeze(1).tolist() == sorted(i for _, i in slow[:keep])


def test_batch_form_equals_the_set_form() -> None:
    logits, observed = scores(24, 4), torch.arange(24) % 4
    reg, delta = torch.tensor(0.2), torch.tensor(0.5)
    whole = splits.optimal_transport_split(logits, observed, 0.2, 0.5, 0.0, 200)
    batch = splits.batch_transport_certain(logits, observed, torch.ones(24, dtype=torch.bool), reg, delta, 200)
    assert (batch == whole.clean).all()


def test_padding_carries_no_mass() -> None:
    logits, observed = scores(10, 3), torch.arange(10) % 3
    reg, delta = torch.tensor(0.2), torch.tensor(0.5)
    alone = splits.batch_transport_certain(logits[:7], observed[:7], torch.ones(7, dtype=torch.bool), reg, delta)
    padded = splits.batch_transport_certain(logits, observed, torch.arange(10) < 7, reg, delta)
    assert (padded[:7] == alone).all()
    assert not padded[7:].any()
    nothing = splits.batch_transport_certain(logits, observed, torch.zeros(10, dtype=torch.bool), reg, delta)
    assert not nothing.any()


def two_groups(low: int, high: int) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(0))
    return np.concatenate([generator.normal(0.1, 0.03, low), generator.normal(0.8, 0.05, high)])


def test_mixture_finds_two_groups_whatever_the_seed() -> None:
    values = two_groups(60, 30)
    fits = [splits.fit_two_gaussians(values, seed) for seed in range(3)]
    for fit in fits:
        assert (fit.low > 0.5).tolist() == [True] * 60 + [False] * 30
        assert fit.mean == pytest.approx((0.1, 0.8), abs=0.03)
        assert fit.converged
        assert fit.low == pytest.approx(fits[0].low, abs=1e-6)


def test_mixture_is_reproducible() -> None:
    values = np.random.Generator(np.random.Philox(1)).uniform(size=50)
    first, second = splits.fit_two_gaussians(values, 5), splits.fit_two_gaussians(values, 5)
    assert (first.low == second.low).all()


@pytest.mark.parametrize("values", [np.full(7, 0.3), np.zeros(1)])
def test_mixture_of_one_value_takes_all_for_clean(values: np.ndarray) -> None:
    fit = splits.fit_two_gaussians(values, 0)
    assert (fit.low == 1).all()
    assert splits.gaussian_crossing(fit.mean, fit.variance) == -math.inf
    assert math.isnan(splits.reference_crossing(fit.mean, fit.variance))


def test_mixture_of_two_samples_and_of_nonsense() -> None:
    fit = splits.fit_two_gaussians(np.array([0.0, 1.0]), 0)
    assert (fit.low > 0.5).tolist() == [True, False]
    with pytest.raises(FloatingPointError):
        splits.fit_two_gaussians(np.array([0.0, math.nan]), 0)


def density(x: float, mean: float, variance: float) -> float:
    return -0.5 * math.log(variance) - (x - mean) ** 2 / (2 * variance)


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 0.4), st.floats(0.05, 0.6), st.floats(5e-4, 0.1), st.floats(5e-4, 0.1))
def test_crossing_has_equal_densities_and_the_low_one_prevails_before_it(
    low: float, gap: float, first: float, second: float
) -> None:
    tau = splits.gaussian_crossing((low, low + gap), (first, second))
    here, there = density(tau, low, first), density(tau, low + gap, second)
    assert here == pytest.approx(there, abs=1e-6 * max(1, abs(here)))
    step = 1e-3 * max(1.0, abs(tau))
    assert density(tau - step, low, first) > density(tau - step, low + gap, second)
    assert density(tau + step, low, first) < density(tau + step, low + gap, second)


def test_crossing_with_equal_variances_is_the_midpoint_and_the_references_is_near_zero() -> None:
    assert splits.gaussian_crossing((0.2, 0.6), (0.01, 0.01)) == pytest.approx(0.4)
    assert abs(splits.reference_crossing((0.2, 0.6), (0.01, 0.01))) < 0.05


def test_references_crossing_solves_its_own_wrong_equation() -> None:
    (m1, m2), (v1, v2) = (0.15, 0.55), (0.004, 0.02)
    tau = splits.reference_crossing((m1, m2), (v1, v2))
    left = ((tau - m1) / v1) ** 2 - ((tau - m2) / v2) ** 2
    assert left == pytest.approx(2 * math.log(v2 / (2 * v1)), rel=1e-3)
    assert tau < splits.gaussian_crossing((m1, m2), (v1, v2))
    assert math.isnan(splits.reference_crossing((0.5, 0.5), (0.01, 0.011)))
