"""Linear probe: logistic regression on frozen image features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import method
from bench.methods.options.linear_probe import LinearProbeOptions

Array: TypeAlias = NDArray[Any]
EXPONENTS = (6.0, 4.0, 2.0, 0.0, -2.0, -4.0, -6.0)  # of C, in the reference's order
BISECTIONS = 8
ABSENT = -1e4  # intercept of a class without a sample: the maximum-likelihood one is -inf, records hold finite numbers


def fit(
    features: Array, labels: Array, classes: int, strength: float, iterations: int = 1000
) -> tuple[Array, Array, bool]:
    """Fit a multinomial logistic regression by L-BFGS, with an L2 penalty on the weights, not on the intercept.

    Args:
        features: [N, D] float64.
        labels: [N], any subset of the classes; a class without a sample gets weights 0 and intercept -10,000.
        classes: C.
        strength: scikit-learn's C, the weight of the losses against the penalty.
        iterations: at most so many.

    Returns:
        weights [C, D], intercepts [C], and whether the optimizer converged.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    coefficient, intercept = np.zeros((classes, features.shape[1])), np.full(classes, ABSENT)
    present = np.unique(labels)
    if len(present) == 1:
        intercept[present] = 0
        return coefficient, intercept, True
    model = LogisticRegression(C=strength, max_iter=iterations)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, labels)
    weights, biases = model.coef_, model.intercept_
    if len(present) == 2:  # scikit-learn then keeps the difference of the two alone
        weights, biases = np.vstack([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
    coefficient[present], intercept[present] = weights, biases
    return coefficient, intercept, bool(model.n_iter_.max() < iterations)


def search_exponent(hits: Callable[[float], int], weakest_of_equals: bool) -> float:
    """Find log10 of C as lpclip does: the best of seven decades, then eight bisections around it.

    Args:
        hits: correct predictions on the validation set at a log10 of C.
        weakest_of_equals: whether equals among the seven give the weakest regularisation, the reference's choice. In
            the bisection, equals always give the stronger one, as there.
    """
    coarse = [hits(exponent) for exponent in EXPONENTS]
    order = range(len(coarse)) if weakest_of_equals else reversed(range(len(coarse)))
    peak = EXPONENTS[max(order, key=coarse.__getitem__)]
    low, high, chosen = peak - 1, peak + 1, peak
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if hits(low) < hits(high):
            chosen, low = high, middle
        else:
            chosen, high = low, middle
    return chosen


class LinearProbe(method.Method):
    """Logistic regression on frozen features of the observed labels.

    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (arXiv 2103.00020), with the
    search of CoOp's few-shot probe (arXiv 2109.01134).

    Equations: logits = A f + b; A, b minimise C · sum of -log p_y + |A|² / 2 by L-BFGS in float64, at most 1,000
    iterations; where two classes alone have samples the penalty is |A|², scikit-learn's binary form. C: the best of
    10^6, 10^4, … 10^-6 by accuracy on the noisy validation twin, then eight bisections of its log10 within one decade
    on either side, the last winner counts. One row is measured, after the search; before it C is the option's.
    Parameters: C·D + C (ViT-B/16, 100 classes: 51,300), fitted, not trained by the loop.

    A class without a sample gets intercept -10,000, so it is never predicted. One thread, so no bit depends on the
    machine's size.

    Defects of the reference decided on: features are not normalised, so C has another meaning for every tower
    (normalised here, as everywhere else in this benchmark; not under `faithful`). Equals among the seven C pick the
    weakest regularisation, which fits wrong labels best (the strongest here; the weakest under `faithful`). Out of
    `faithful`, as they are of the data: it samples its own shots, fails where a class has fewer, prints the test
    accuracy at every step of its search, and has clean validation labels: here the engine's shots and its noisy
    validation twin, and no test set.
    """

    Options: TypeAlias = LinearProbeOptions

    options: LinearProbeOptions
    coefficient: nn.Parameter
    intercept: nn.Parameter

    @classmethod
    def needs(cls, options: LinearProbeOptions) -> method.Needs:
        """Require the validation twin for the search."""
        return method.Needs(validation=options.search)

    def setup(self, context: method.Context) -> None:
        """Fit `coefficient` [C, D] and `intercept` [C] at the option's C."""
        classes, width = len(context.class_names), context.train.pooled.shape[-1]
        device = context.observed.device
        self.coefficient = nn.Parameter(torch.zeros(classes, width, device=device), requires_grad=False)
        self.intercept = nn.Parameter(torch.zeros(classes, device=device), requires_grad=False)
        self.register_buffer("observed", context.observed.clone())
        self.train_features = _array(self.features(context.train))
        self._set(float(np.log10(self.options.strength)))

    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        """Return no phase: the loop trains nothing."""
        return ()

    def features(self, inputs: method.Inputs) -> Tensor:
        """Return what the regression sees of inputs, [B, D]."""
        return inputs.pooled if self.options.faithful else F.normalize(inputs.pooled, dim=-1)

    def finalize(self, validation: tuple[method.Inputs, Tensor] | None) -> None:
        """Choose C on the validation twin and fit anew; nothing without one."""
        if validation is None or not self.options.search:
            return
        inputs, labels = validation
        features, answers = _array(self.features(inputs)), labels.cpu().numpy()

        @cache
        def hits(exponent: float) -> int:
            weights, biases, _ = self._fit(exponent)
            return int(((features @ weights.T + biases).argmax(1) == answers).sum())

        self._set(search_exponent(hits, self.options.faithful))

    def _fit(self, exponent: float) -> tuple[Array, Array, bool]:
        observed = self.get_buffer("observed").cpu().numpy()
        return fit(self.train_features, observed, len(self.intercept), 10.0**exponent)

    @torch.no_grad()
    def _set(self, exponent: float) -> None:
        weights, biases, converged = self._fit(exponent)
        self.coefficient.copy_(torch.from_numpy(weights))
        self.intercept.copy_(torch.from_numpy(biases))
        self.numbers = {"log10_c": exponent, "converged": float(converged)}

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits [B, C]."""
        return F.linear(self.features(inputs), self.coefficient, self.intercept)

    def diagnostics(self) -> dict[str, float]:
        """Return the log10 of C in use, and whether its fit converged (1) within 1,000 iterations."""
        return dict(self.numbers)


def _array(values: Tensor) -> Array:
    return values.double().cpu().numpy()
