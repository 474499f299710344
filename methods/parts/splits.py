"""From the scores of the training set to a split of it: functions that methods share.

N samples, C classes. Everything is computed without gradient, transport and mixtures in float64, and raises
`FloatingPointError` where the scores are not finite (the engine records such a cell as diverged).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.objective import CleanSplit
from bench.methods.parts.transport import sinkhorn_log, sweep

ROUNDING = 1e-9  # (1 - .9) · 10 is 1, not 0.9999999999999998


def _plan(
    logits: Tensor, reg: float, tolerance: float = 1e-4, max_iterations: int = 1000
) -> tuple[Tensor, dict[str, float]]:
    """Solve for the coupling [N, C] at cost -log p, marginals uniform; numbers: ot_residual, ot_iterations."""
    cost = -F.log_softmax(logits.detach().double(), dim=1)
    samples, classes = cost.shape
    marginals = torch.full_like(cost[:, 0], 1 / samples), torch.full_like(cost[0], 1 / classes)
    coupling, residual, iterations = sinkhorn_log(cost, reg, *marginals, tolerance, max_iterations)
    return coupling, {"ot_residual": residual, "ot_iterations": float(iterations)}


def optimal_transport_split(
    logits: Tensor,
    observed: Tensor,
    reg: float = 0.1,
    delta: float = 0.5,
    tolerance: float = 1e-4,
    max_iterations: int = 1000,
) -> CleanSplit:
    """Split by transport of samples to classes at cost -log p, marginals uniform: clean where it confirms the label.

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
    coupling, numbers = _plan(logits, reg, tolerance, max_iterations)
    largest, pseudo = coupling.max(1)
    confident = len(logits) * largest >= delta
    numbers["ot_rejected"] = float((~confident).double().mean())
    return CleanSplit((pseudo == observed) & confident, pseudo, numbers)


def nlprompt_split(logits: Tensor, observed: Tensor, ot_reg: float = 0.01, budget: float = 1.0) -> CleanSplit:
    """Split as NLPrompt states (arXiv 2412.01256): by transport at cost -log p, both marginals uniform.

    A sample is clean where the arg-max of its row is its observed label and its row's maximum is among the
    floor(budget · N) largest. Computed in the log domain over all samples: defects N1 to N4 of the reference do not
    arise. A budget below 1 chooses among the rows of the whole plan, because marginals of unequal mass have none.

    Args:
        logits: [N, C].
        observed: [N] long.
        ot_reg: weight of the entropy, 0.01 in the paper's configuration: at this cost nearly the plan without entropy.
        budget: share of the samples that may be confident, in (0, 1].

    Returns:
        The split; numbers: ot_residual, ot_iterations, ot_confident (share of all samples).
    """
    coupling, numbers = _plan(logits, ot_reg)
    samples, (largest, pseudo) = len(logits), coupling.max(1)
    confident = _largest(largest, math.floor(budget * samples + ROUNDING))
    numbers["ot_confident"] = float(confident.double().mean())
    return CleanSplit((pseudo == observed) & confident, pseudo, numbers, samples * largest, confident)


def nlprompt_reference_split(
    probability: Tensor, observed: Tensor, reg: float = 0.01, budget: float = 1.0
) -> tuple[CleanSplit, NDArray[np.float64]]:
    """Split as NLPrompt's code does; also returns the coupling [N, C].

    Kept to reproduce it, by POT's plain-domain Sinkhorn (at most 1000 iterations, tolerance 1e-6). Defects: N1 the
    cost is minus the log-softmax of probabilities, in effect minus the probabilities themselves; N2 every entry of the
    kernel underflows at reg 1e-3, the coupling is 0 and every pseudo-label is class 0; N4 torch's sum of N times 1/N
    may round below 1 and one sample is lost. With a budget below 1 the marginals' masses differ and nothing converges.

    Args:
        probability: [N, C], the model's softmax.
        observed: [N] long.
        reg: weight of the entropy; 1e-2 in the paper's configuration, 1e-3 in the scripts since.
        budget: total of the columns' marginal.
    """
    samples, classes = probability.shape
    cost = -F.log_softmax(probability.detach(), dim=1).double().cpu().numpy()
    if not np.isfinite(cost).all():
        raise FloatingPointError("the cost of the optimal transport is not finite")
    row, column = np.full((samples, 1), 1 / samples), np.full((classes, 1), budget / classes)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # POT warns of what this function is here to reproduce
        from ot import sinkhorn

        coupling = np.asarray(sinkhorn(row[:, 0], column[:, 0], cost, reg, numItermax=1000, stopThr=1e-6))
    plan = torch.from_numpy(coupling).to(observed.device)
    largest, pseudo = plan.max(1)
    total = float(torch.from_numpy(row).sum())  # torch and numpy add in another order, and one may round below 1
    confident = _largest(largest, int(samples * min(total, budget)))
    numbers = {"ot_confident": float(confident.double().mean())}
    return CleanSplit((pseudo == observed) & confident, pseudo, numbers, samples * largest, confident), coupling


def _largest(values: Tensor, count: int) -> Tensor:
    """Select the `count` largest values, [N] bool; of equal ones the first."""
    mask = torch.zeros_like(values, dtype=torch.bool)
    mask[values.argsort(descending=True, stable=True)[:count]] = True
    return mask


@torch.no_grad()
def batch_transport_certain(
    logits: Tensor, observed: Tensor, valid: Tensor, reg: Tensor, delta: Tensor, iterations: int = 100
) -> Tensor:
    """Split one batch by `optimal_transport_split`, as VisPrompt's released code does: pure, runs under vmap.

    The number of iterations is fixed, because stopping on a residual would be a branch on a value. Ill-posed
    where the batch has fewer samples than there are classes: each class must receive 1/C of the mass. Padding, where
    `valid` [B] is False, carries none; reg and delta are 0-dimensional. Returns the certain samples, [B] bool.
    """
    kernel = F.log_softmax(logits.double(), dim=1) / reg
    mass = valid.double() / valid.double().sum().clamp_min(1)
    log_column = torch.full_like(kernel[0], -math.log(logits.shape[1]))
    row = torch.zeros_like(mass)
    for _ in range(iterations):
        row, column = sweep(kernel, mass.log(), log_column, row)
    share, pseudo = (kernel + row.unsqueeze(1) + column - mass.log().unsqueeze(1)).exp().max(1)
    return valid & (pseudo == observed) & (share >= delta)


def argmax_split(logits: Tensor, observed: Tensor) -> CleanSplit:
    """Split by arg-max: clean where the prediction is the observed label. Logits [N, C]."""
    if not bool(logits.isfinite().all()):
        raise FloatingPointError("the scores are not finite")
    pseudo = logits.argmax(1)
    return CleanSplit(pseudo == observed, pseudo)


def zero_shot_split(zero_shot: Tensor, observed: Tensor) -> CleanSplit:
    """Split by zero-shot CLIP: clean where its prediction, logits [N, C], is the observed label [N]."""
    return argmax_split(zero_shot, observed)


def small_loss_split(losses: Tensor, share: float, pseudo: Tensor) -> CleanSplit:
    """Split by loss: clean where it is among the floor(share · N) smallest; of equal losses the first.

    DeFT's "small loss". `share` is one minus a known noise rate, an oracle. Losses and predicted labels [N].
    """
    if not bool(losses.isfinite().all()):
        raise FloatingPointError("the losses to be split are not finite")
    return CleanSplit(_largest(-losses, math.floor(share * len(losses) + ROUNDING)), pseudo)


def forget_rate(epoch: Tensor | int, rate: Tensor | float, gradual: int) -> Tensor:
    """Compute co-teaching's R(e) = min(e / gradual, 1) · rate, e = 1, 2, … (arXiv 1804.06872); 0-dimensional."""
    return (torch.as_tensor(epoch, dtype=torch.float64) / gradual).clamp(max=1) * rate


def small_loss_selection(first: Tensor, second: Tensor, keep: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Select what each of two networks finds easy, the `keep` smallest of its losses, [B] bool. Runs under vmap.

    Of equal losses [B] the first in the batch; padding, where `valid` [B] is False, is never chosen.
    """

    def smallest(losses: Tensor) -> Tensor:
        rank = torch.where(valid, losses, torch.inf).argsort(stable=True).argsort(stable=True)
        return valid & (rank < keep)

    return smallest(first.detach()), smallest(second.detach())


def scaled(losses: Tensor) -> Tensor:
    """Scale losses to [0, 1] over the set, 0 where all are equal. [N]."""
    low, high = losses.min(), losses.max()
    return (losses - low) / torch.where(high > low, high - low, 1)


def mixture_split(losses: Tensor, seed: int, pseudo: Tensor, threshold: float = 0.5) -> CleanSplit:
    """Split by two Gaussians on the scaled losses: clean where in the lower one (arXiv 2002.07394).

    Losses and predicted labels [N]; seed of the mixture's start; threshold of the membership, exclusive.
    """
    mixture = fit_two_gaussians(scaled(losses).double().cpu().numpy(), seed)
    clean = torch.from_numpy(mixture.low > threshold).to(pseudo.device)
    return CleanSplit(clean, pseudo, {"mean_low": mixture.mean[0], "mean_high": mixture.mean[1]})


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


def fit_two_gaussians(
    values: NDArray[np.floating], seed: int, iterations: int = 10, tolerance: float = 1e-2
) -> Mixture:
    """Fit a mixture, its variances at least 5e-4; DivideMix's (arXiv 2002.07394) and JoAPR's iterations and tolerance.

    One thread throughout, so that the bits do not depend on the machine's number of cores. The precision of the fit is
    that of the values [N]; where all are equal there is nothing to tell apart, and `low` is 1 throughout.

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
    model = GaussianMixture(n_components=2, max_iter=iterations, tol=tolerance, reg_covar=5e-4, random_state=seed)
    column = values.reshape(-1, 1)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many are the method's; the outcome is reported
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
    """Find where the first Gaussian's density, coming from its mean, falls to the second's; lower mean first.

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
    """Find JoAPR's own threshold: variances where deviations belong, and a factor 2 inside the logarithm.

    Equal variances give about 0; a negative discriminant gives NaN, below which nothing lies, and so do variances of 0.
    Kept to reproduce it.
    """
    (m1, m2), (v1, v2) = mean, variance
    if v1 <= 0 or v2 <= 0:
        return math.nan
    a = v2**2 - v1**2
    b = 2 * (m2 * v1**2 - m1 * v2**2)
    c = (m1 * v2) ** 2 - (m2 * v1) ** 2 + 2 * (v1 * v2) ** 2 * math.log(2 * v1 / v2 + 1e-8)
    discriminant = b * b - 4 * a * c
    return (-b + math.sqrt(discriminant)) / (2 * a + 1e-10) if discriminant >= 0 else math.nan
