"""Co-teaching against the authors' numbers, a slow version, and what its defects change."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bench.contracts.method import Batch
from bench.methods.co_teaching import CoTeaching
from bench.methods.coop import CoOp
from bench.methods.parts.losses import cross_entropy
from bench.methods.parts.splits import small_loss_selection
from bench.testing import fixtures
from tests.golden_data import Item, entry_error

GIVEN: tuple[dict[str, Any], ...] = ({}, {"faithful": True}, {"faithful": True, "gradual": 1})


def built(**options: Any) -> CoTeaching:
    return fixtures.build(CoTeaching, CoTeaching.Options.model_validate(options))


def batch_of(observed: Tensor, forget: float, valid: Tensor | None = None) -> Batch:
    count = len(observed)
    everyone = torch.ones(count, dtype=torch.bool) if valid is None else valid
    return Batch(
        index=torch.arange(count),
        valid=everyone,
        group=torch.zeros(count, dtype=torch.long),
        weight=torch.ones(count),
        observed=observed,
        target=None,
        inputs=fixtures.features(count, 1),
        draws={"forget": torch.tensor(forget, dtype=torch.float64)},
    )


@pytest.mark.parametrize("forget", [0.0, 0.2, 0.45])
@pytest.mark.parametrize("faithful", [False, True])
def test_the_authors_losses_and_gradients(forget: float, faithful: bool) -> None:
    item, group = Item("losses"), f"coteaching_forget{forget}"
    logits = torch.stack([item["coteaching/logits1"], item["coteaching/logits2"]]).requires_grad_()
    terms = built(faithful=faithful).objective(logits, batch_of(item["coteaching/labels"], forget))
    name = "loss{}_ref" if faithful else "loss{}_mean_before_second_division"
    for number, term in enumerate(("ce_a", "ce_b"), 1):
        assert entry_error(terms[term], item[f"{group}/{name.format(number)}"]) <= 1e-6
    gradient = torch.autograd.grad(terms["ce_a"] + terms["ce_b"], logits)[0]
    again = 1 if faithful else int(item[f"{group}/num_remember"])
    for number in (1, 2):
        assert entry_error(gradient[number - 1], again * item[f"{group}/grad_logits{number}"]) <= 1e-6


@pytest.mark.parametrize("forget", [0.0, 0.2, 0.45])
def test_the_authors_selections(forget: float) -> None:
    item, group = Item("losses"), f"coteaching_forget{forget}"
    both = [cross_entropy(item[f"coteaching/logits{number}"], item["coteaching/labels"]) for number in (1, 2)]
    keep, everyone = item[f"{group}/num_remember"], torch.ones(16, dtype=torch.bool)
    clean = item["coteaching/noise_or_not_is_clean"][item["coteaching/dataset_index"]]
    for number, chosen in enumerate(small_loss_selection(both[0], both[1], keep, everyone), 1):
        assert chosen.nonzero().squeeze(1).tolist() == sorted(item[f"{group}/selected_by_net{number}"].tolist())
        assert clean[chosen].double().mean() == item[f"{group}/pure_ratio_{number}"]


def test_the_second_division_shrinks_the_loss_by_the_number_kept() -> None:
    plain, faithful = built(), built(faithful=True)
    (phase,) = plain.begin_epoch(1, fixtures.full_pass(plain))
    batch = fixtures.as_batch(plain, phase, fixtures.labels(), epoch=20)
    kept = 14  # of 20 at R = .3
    for term, value in faithful(batch).terms.items():
        assert value.item() == pytest.approx(plain(batch).terms[term].item() / kept, rel=1e-5)


def test_the_reference_reaches_the_noise_rate_an_epoch_early() -> None:
    """linspace(0, r, 10) is read at 1, 2, …: R = e r / 9; the paper has e r / 10."""
    rates = [[built(**given).forget_rate(epoch).item() for epoch in (1, 3, 9, 10, 30)] for given in GIVEN]
    assert rates[0] == pytest.approx([0.03, 0.09, 0.27, 0.3, 0.3])
    assert rates[1] == pytest.approx([0.3 / 9, 0.1, 0.3, 0.3, 0.3])
    assert rates[2] == pytest.approx([0.3] * 5)


def test_the_rounding_of_the_count() -> None:
    """(1 - .9) · 10 is below 1 in floating point: the reference keeps nothing."""
    logits = torch.randn(2, 10, 5, generator=torch.Generator().manual_seed(1))
    batch = batch_of(fixtures.labels(count=10), 0.9)
    assert built().objective(logits, batch)["ce_a"] > 0
    assert built(faithful=True).objective(logits, batch)["ce_a"] == 0


def test_nothing_kept_is_no_loss() -> None:
    logits = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    for forget, valid in ((1.0, torch.ones(4, dtype=torch.bool)), (0.0, torch.zeros(4, dtype=torch.bool))):
        terms = built(faithful=True).objective(logits, batch_of(fixtures.labels(count=4), forget, valid))
        total = terms["ce_a"] + terms["ce_b"]
        assert total == 0
        assert not torch.autograd.grad(total, logits)[0].any()


def test_the_rate_grows_over_ten_epochs() -> None:
    method = built()
    rates = []
    for epoch in (1, 5, 10, 40):
        method.begin_epoch(epoch, fixtures.full_pass(method))
        rates.append(method.diagnostics()["forget_rate"])
    assert rates == pytest.approx([0.03, 0.15, 0.3, 0.3])


def test_two_starts_and_the_first_is_coops() -> None:
    first, second = built().context
    assert not torch.equal(first, second)
    coop = fixtures.build(CoOp, CoOp.Options())
    assert torch.equal(first, coop.context)


def test_prediction_is_the_mean_probability() -> None:
    method, inputs = built(class_specific=True), fixtures.features(6, 3)
    both = method.scores(inputs, method.prepare()).softmax(-1)
    found = method.predict(inputs, method.prepare())
    assert torch.allclose(found.exp(), both.mean(0), atol=1e-6)
