"""The linear probe against scikit-learn and an optimum written out, its search, and labels that lack classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from bench.contracts.method import Inputs
from bench.methods.linear_probe import ABSENT, LinearProbe, fit, search_exponent
from bench.testing import fixtures

CLASSES = len(fixtures.CLASSES)


def built(observed: torch.Tensor | None = None, **options: Any) -> LinearProbe:
    return fixtures.build(LinearProbe, LinearProbe.Options.model_validate(options), observed=observed)


def validation() -> tuple[Inputs, torch.Tensor]:
    return fixtures.inputs_for(LinearProbe.needs(LinearProbe.Options()), 12, 7), fixtures.labels(7)[:12]


def training() -> Inputs:
    return fixtures.inputs_for(LinearProbe.needs(LinearProbe.Options()), fixtures.SAMPLES, 5)


@pytest.mark.parametrize("faithful", [False, True])
def test_it_is_scikit_learns_regression(faithful: bool) -> None:
    features = training().pooled.double()
    features = features if faithful else F.normalize(features, dim=-1)
    model = LogisticRegression(C=0.5, max_iter=1000).fit(features.numpy(), fixtures.labels().numpy())
    method, (inputs, _) = built(strength=0.5, faithful=faithful), validation()
    given = inputs.pooled.double() if faithful else F.normalize(inputs.pooled.double(), dim=-1)
    expected = torch.from_numpy(model.decision_function(given.numpy())).float()
    assert torch.allclose(method.predict(inputs, {}), expected, atol=1e-4)


@pytest.mark.parametrize(("classes", "penalty"), [(CLASSES, 0.5), (2, 1.0)])
def test_the_fit_is_where_the_gradient_vanishes(classes: int, penalty: float) -> None:
    features, labels = F.normalize(training().pooled, dim=-1).double(), fixtures.labels() % classes
    weights, biases, converged = fit(features.numpy(), labels.numpy(), classes, 2.0)
    parameters = [torch.from_numpy(part).requires_grad_() for part in (weights, biases)]
    loss = 2.0 * F.cross_entropy(F.linear(features, *parameters), labels, reduction="sum")
    gradients = torch.autograd.grad(loss + penalty * parameters[0].square().sum(), parameters)
    assert converged
    assert max(gradient.abs().max() for gradient in gradients) < 1e-2


def slow_search(hits: dict[float, int], weakest: bool) -> float:
    """lpclip's search step by step, in powers of ten."""
    coarse = [1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6]
    most = max(hits[round(np.log10(value), 6)] for value in coarse)
    equals = [value for value in coarse if hits[round(np.log10(value), 6)] == most]
    peak = equals[0] if weakest else equals[-1]
    left, right, chosen = peak / 10, peak * 10, peak
    for _ in range(8):
        middle = np.sqrt(left * right)
        if hits[round(np.log10(left), 6)] < hits[round(np.log10(right), 6)]:
            chosen, left = right, middle
        else:
            chosen, right = left, middle
    return chosen


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("weakest", [False, True])
def test_search_against_the_reference_written_out(seed: int, weakest: bool) -> None:
    class Hits(dict[float, int]):
        def __missing__(self, exponent: float) -> int:
            self[exponent] = int(np.random.default_rng([seed, int(1e6 * (exponent + 10))]).integers(4))
            return self[exponent]

    hits = Hits()
    found = search_exponent(lambda exponent: hits[round(exponent, 6)], weakest)
    assert 10**found == pytest.approx(slow_search(hits, weakest))


def test_equals_pick_the_strongest_regularisation_or_the_weakest() -> None:
    assert search_exponent(lambda exponent: 1, weakest_of_equals=False) == -7
    assert search_exponent(lambda exponent: 1, weakest_of_equals=True) == 5


def test_the_search_counts_the_noisy_validation_labels() -> None:
    method, twin = built(), validation()
    before = [parameter.clone() for parameter in method.parameters()]
    method.finalize(twin)
    exponent = method.diagnostics()["log10_c"]
    features = F.normalize(twin[0].pooled, dim=-1).double().numpy()

    def hits(exponent: float) -> int:
        weights, biases, _ = fit(method.train_features, fixtures.labels().numpy(), CLASSES, 10**exponent)
        return int(((features @ weights.T + biases).argmax(1) == twin[1].numpy()).sum())

    assert exponent == search_exponent(hits, weakest_of_equals=False)
    assert any(not torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True))


def test_without_a_search_the_option_counts() -> None:
    method, other = built(search=False, strength=0.01), built(strength=0.01)
    method.finalize(validation())
    other.finalize(None)
    for a, b in zip(method.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not LinearProbe.needs(method.options).validation
    assert method.diagnostics() == {"log10_c": -2.0, "converged": 1.0}


@pytest.mark.parametrize("present", [(2,), (1, 4), (0, 1, 3)])
def test_a_class_without_a_sample_is_never_predicted(present: tuple[int, ...]) -> None:
    observed = torch.tensor(present)[torch.arange(fixtures.SAMPLES) % len(present)]
    method = built(observed)
    method.finalize(validation())
    logits = method.predict(training(), {})
    assert logits.isfinite().all()
    assert set(logits.argmax(1).tolist()) <= set(present)
    absent = [label for label in range(CLASSES) if label not in present]
    assert (logits[:, absent] == ABSENT).all()


def test_two_classes_are_scikit_learns_binary_regression() -> None:
    features, labels = training().pooled.double().numpy(), np.arange(fixtures.SAMPLES) % 2 * 3
    weights, biases, _ = fit(features, labels, CLASSES, 1.0)
    model = LogisticRegression(C=1.0, max_iter=1000).fit(features, labels)
    logits = features @ weights.T + biases
    assert logits[:, 3] - logits[:, 0] == pytest.approx(model.decision_function(features))


def test_a_fit_out_of_iterations_says_so() -> None:
    features, labels = training().pooled.double().numpy(), fixtures.labels().numpy()
    assert [fit(features, labels, CLASSES, 1e6, most)[2] for most in (1, 1000)] == [False, True]


def test_parameters_are_fitted_and_not_trained() -> None:
    method = built()
    assert not any(parameter.requires_grad for parameter in method.parameters())
    assert method.coefficient.shape == (CLASSES, fixtures.DIMENSIONS)
