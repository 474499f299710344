"""From the scores of the training set to a split of it: functions that methods share.

N samples, C classes. Everything is computed in float64 and without gradient, and raises `FloatingPointError`
where the scores are not finite (the engine records such a cell as diverged). Sinkhorn is written out in torch
because it must also run batch by batch inside `forward`; the tests hold it against POT's
`ot.bregman.sinkhorn_log`.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

CHECK_EVERY = 50


@dataclass(frozen=True)
class Split:
    """A split of the training set.

    Attributes:
        clean: [N] bool, the samples taken for correctly labelled.
        pseudo: [N] long, the label the split believes.
        numbers: what the record keeps of it.
    """

    clean: Tensor
    pseudo: Tensor
    numbers: dict[str, float] = field(default_factory=dict)


def _sweep(kernel: Tensor, log_row: Tensor, log_column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """One update of the columns' scaling, then of the rows', logarithms all: kernel [N, C], row [N], column [C]."""
    column = log_column - torch.logsumexp(kernel + row.unsqueeze(1), 0)
    return log_row - torch.logsumexp(kernel + column, 1), column


def _block(kernel: Tensor, log_row: Tensor, log_column: Tensor, row: Tensor, sweeps: int) -> tuple[Tensor, Tensor]:
    """`sweeps` updates: one in the log domain, the rest as products with the coupling that it gives.

    Relative to that coupling the scalings stay near 1, so nothing is lost, at a tenth of the time; where one leaves
    the range of float64 all the same, the block is done in the log domain throughout.
    """
    first, column = _sweep(kernel, log_row, log_column, row)
    coupling = (kernel + first.unsqueeze(1) + column).exp()
    a, b = log_row.exp(), log_column.exp()
    u, v = torch.ones_like(first), torch.ones_like(column)
    for _ in range(sweeps - 1):
        v = b / (u @ coupling)
        u = a / (coupling @ v)
    scaled = first + u.log(), column + v.log()
    if all(bool(part.isfinite().all()) for part in scaled):
        return scaled
    for _ in range(sweeps):
        row, column = _sweep(kernel, log_row, log_column, row)
    return row, column


@torch.no_grad()
def sinkhorn_log(
    cost: Tensor,
    reg: float,
    row_marginal: Tensor,
    column_marginal: Tensor,
    tolerance: float = 1e-4,
    max_iterations: int = 1000,
) -> tuple[Tensor, float, int]:
    """Entropic optimal transport in the log domain (Cuturi, NeurIPS 2013), in float64: nothing underflows.

    Args:
        cost: [N, C], finite.
        reg: weight of the entropy, above 0.
        row_marginal: [N], sums to 1.
        column_marginal: [C], sums to 1.
        tolerance: stop when the 2-norm of the columns' error falls below (looked at every fiftieth iteration).
        max_iterations: give up then; the residual says how far it came.

    Returns:
        The coupling [N, C], whose rows sum to the row marginal exactly; the 2-norm of its column error; the
        iterations.

    Raises:
        FloatingPointError: the cost is not finite.
    """
    if not bool(cost.isfinite().all()):
        raise FloatingPointError("the cost of the optimal transport is not finite")
    kernel = -cost.double() / reg
    log_row, log_column = row_marginal.double().log(), column_marginal.double().log()
    row, residual, iteration = torch.zeros_like(log_row), math.inf, 0
    coupling = torch.zeros_like(kernel)
    while residual >= tolerance and iteration < max_iterations:
        sweeps = min(CHECK_EVERY, max_iterations - iteration)
        row, column = _block(kernel, log_row, log_column, row, sweeps)
        iteration += sweeps
        coupling = (kernel + row.unsqueeze(1) + column).exp()
        residual = float((coupling.sum(0) - column_marginal).norm())
    return coupling, residual, iteration


def optimal_transport_split(
    logits: Tensor,
    observed: Tensor,
    reg: float = 0.1,
    delta: float = 0.5,
    tolerance: float = 1e-4,
    max_iterations: int = 1000,
) -> Split:
    """Transport samples to classes at cost -log p, both marginals uniform; clean where the plan confirms the label.

    The form of NLPrompt (arXiv 2412.01256) with the cost it states: a sample is clean where the arg-max of
    its row is its observed label and N times the row's maximum is at least `delta`.

    Args:
        logits: [N, C].
        observed: [N] long.
        reg: weight of the entropy. Rows are sharpened to about p^(1/reg), so `delta` means nothing without it.
        delta: confidence in [0, 1] below which a sample is rejected; 0 rejects none.
        tolerance: as in `sinkhorn_log`.
        max_iterations: as in `sinkhorn_log`.

    Returns:
        The split; numbers: ot_residual, ot_iterations, ot_rejected (share of all samples below `delta`).
    """
    samples, classes = logits.shape
    cost = -F.log_softmax(logits.detach().double(), dim=1)
    coupling, residual, iterations = sinkhorn_log(
        cost,
        reg,
        torch.full_like(cost[:, 0], 1 / samples),
        torch.full_like(cost[0], 1 / classes),
        tolerance,
        max_iterations,
    )
    largest, pseudo = coupling.max(1)
    confident = samples * largest >= delta
    numbers = {
        "ot_residual": residual,
        "ot_iterations": float(iterations),
        "ot_rejected": float((~confident).double().mean()),
    }
    return Split((pseudo == observed) & confident, pseudo, numbers)


@torch.no_grad()
def batch_transport_certain(
    logits: Tensor, observed: Tensor, valid: Tensor, reg: Tensor, delta: Tensor, iterations: int = 100
) -> Tensor:
    """`optimal_transport_split` over one batch, as VisPrompt's released code has it: pure, runs under vmap.

    The number of iterations is fixed, because stopping on a residual would be a branch on a value. Ill-posed
    where the batch has fewer samples than there are classes: each class must receive 1/C of the mass.

    Args:
        logits: [B, C].
        observed: [B] long.
        valid: [B] bool; padding carries no mass.
        reg: 0-dimensional.
        delta: 0-dimensional.
        iterations: sweeps.

    Returns:
        [B] bool: certain samples.
    """
    kernel = F.log_softmax(logits.double(), dim=1) / reg
    mass = valid.double() / valid.double().sum().clamp_min(1)
    log_column = torch.full_like(kernel[0], -math.log(logits.shape[1]))
    row = torch.zeros_like(mass)
    for _ in range(iterations):
        row, column = _sweep(kernel, mass.log(), log_column, row)
    share, pseudo = (kernel + row.unsqueeze(1) + column - mass.log().unsqueeze(1)).exp().max(1)
    return valid & (pseudo == observed) & (share >= delta)


def argmax_split(logits: Tensor, observed: Tensor) -> Split:
    """Clean where the prediction is the observed label: the ablation of optimal transport. Logits [N, C]."""
    if not bool(logits.isfinite().all()):
        raise FloatingPointError("the scores are not finite")
    pseudo = logits.argmax(1)
    return Split(pseudo == observed, pseudo)


@dataclass(frozen=True)
class Mixture:
    """Two Gaussians fitted to one number per sample, the one with the lower mean first.

    Attributes:
        low: [N] probability of belonging to the lower one.
        mean: of the two.
        variance: of the two.
        converged: whether the fit ended by its tolerance.
    """

    low: NDArray[np.float64]
    mean: tuple[float, float]
    variance: tuple[float, float]
    converged: bool


def fit_two_gaussians(values: NDArray[np.floating], seed: int) -> Mixture:
    """Fit a mixture as DivideMix (arXiv 2002.07394) and JoAPR do: at most 10 iterations, tolerance 1e-2, floor 5e-4.

    One thread throughout, so that the bits do not depend on the machine's number of cores. The precision of
    the fit is that of `values`.

    Args:
        values: [N], usually losses scaled to [0, 1].
        seed: of the k-means start.

    Returns:
        The mixture; where all values are equal there is nothing to tell apart and `low` is 1 throughout.

    Raises:
        FloatingPointError: a value is not finite.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    if not np.isfinite(values).all():
        raise FloatingPointError("the losses to be split are not finite")
    if values.min() == values.max():
        center = float(values.min())
        return Mixture(np.ones(values.size), (center, center), (0.0, 0.0), True)
    model = GaussianMixture(n_components=2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=seed)
    column = values.reshape(-1, 1)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten iterations are the method's; the outcome is reported
        model.fit(column)
        membership = model.predict_proba(column)
    order = np.argsort(model.means_.ravel(), kind="stable")
    mean, variance = model.means_.ravel()[order], model.covariances_.ravel()[order]
    return Mixture(
        membership[:, order[0]].astype(np.float64),
        (float(mean[0]), float(mean[1])),
        (float(variance[0]), float(variance[1])),
        bool(model.converged_),
    )


def gaussian_crossing(mean: tuple[float, float], variance: tuple[float, float]) -> float:
    """Where the density of the first Gaussian, coming from its mean, falls to that of the second; lower mean first.

    With a = s2² - s1², b = 2 (m2 s1² - m1 s2²), c = m1² s2² - m2² s1² + 2 s1² s2² ln(s1 / s2), the densities
    are equal at the roots of a x² + b x + c; the upper end of the region around m1 is (-b + sqrt(b² - 4 a c))
    / 2a. The other form of the same root is taken where this one cancels, so equal variances give the
    midpoint. The discriminant is never negative.

    Returns:
        The crossing, or -inf where the two are the same Gaussian.
    """
    (m1, m2), (v1, v2) = mean, variance
    # with m1 moved to 0 the discriminant is a sum of two terms that are never negative, and c loses no digits
    a, gap = v2 - v1, m2 - m1
    if v1 <= 0 or v2 <= 0 or (gap == 0 and a == 0):
        return -math.inf
    b = 2 * gap * v1
    log_ratio = 0.5 * math.log(v2 / v1)
    root = 2 * math.sqrt(v1 * v2) * math.sqrt(gap**2 + 2 * a * log_ratio)
    c = -(gap**2) * v1 - 2 * v1 * v2 * log_ratio
    return m1 + 2 * c / (-b - root)


def reference_crossing(mean: tuple[float, float], variance: tuple[float, float]) -> float:
    """JoAPR's own threshold: variances where deviations belong, and a factor 2 inside the logarithm.

    Equal variances give about 0; a negative discriminant gives NaN, below which nothing lies. Kept to
    reproduce it.
    """
    (m1, m2), (v1, v2) = mean, variance
    a = v2**2 - v1**2
    b = 2 * (m2 * v1**2 - m1 * v2**2)
    c = (m1 * v2) ** 2 - (m2 * v1) ** 2 + 2 * (v1 * v2) ** 2 * math.log(2 * v1 / v2 + 1e-8)
    discriminant = b * b - 4 * a * c
    return (-b + math.sqrt(discriminant)) / (2 * a + 1e-10) if discriminant >= 0 else math.nan
