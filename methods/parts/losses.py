"""Losses per sample, and the mean over a part of a batch.

All take logits [..., C] and return one number per sample, [...], in float32 at least (half precision is
widened), and stay finite for logits of any finite size. Mean and choice of samples are left to `masked_mean`,
so that a loss never branches on which samples a batch holds.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.lockstep import power
from bench.methods.options.label_smoothing import SMOOTHING

EPSILON = 1e-6
OFF_CLASS = 1e-4  # what SCE puts for the logarithm of 0; its probabilities are at least FLOOR
FLOOR = 1e-7
CERTAINTY = 1e-4  # ELR's probabilities keep this distance from 0 and 1


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _log_softmax(logits: Tensor) -> Tensor:
    return F.log_softmax(_wide(logits), dim=-1)


def _of_label(values: Tensor, labels: Tensor) -> Tensor:
    return values.gather(-1, labels.unsqueeze(-1)).squeeze(-1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute -log p_y. Logits [..., C], labels [...] long; returns [...]."""
    return -_of_label(_log_softmax(logits), labels)


def generalised_cross_entropy(logits: Tensor, labels: Tensor, q: Tensor | float) -> Tensor:
    """Compute (1 - (p_y + 1e-6)^q) / q, Zhang and Sabuncu, NeurIPS 2018, as PTNL and VisPrompt do.

    q in (0, 1], a number or a 0-dimensional tensor: q -> 0 is cross-entropy, q = 1 the mean absolute error. The 1e-6 is
    part of the graph: it bounds the gradient at p = 0. Logits [..., C], labels [...] long; returns [...].
    """
    probability = _of_label(_log_softmax(logits), labels).exp()
    return (1 - power(probability + EPSILON, q)) / q


def mean_absolute_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute 1 - p_y as NLPrompt does (arXiv 2412.01256): generalised cross-entropy at q = 1, so lower by 1e-6.

    Half of the textbook's |p - e_y|_1 = 2 (1 - p_y). Logits [..., C], labels [...] long; returns [...].
    """
    return generalised_cross_entropy(logits, labels, 1.0)


def symmetric_cross_entropy(
    logits: Tensor, labels: Tensor, a: Tensor | float, b: Tensor | float, off_class: Tensor | float = OFF_CLASS
) -> Tensor:
    """Compute a CE + b RCE, Wang et al., ICCV 2019 (arXiv 1908.06112).

    RCE = -sum_k p_k log y_k with y the label, its zeros replaced by `off_class`: 9.21 times the probability of the
    other classes, a scaled mean absolute error. `off_class` is 1e-4 in the paper's code, DeFT's and PTNL's; VisPrompt's
    has 1e-6 / C, twice the weight (defect V5). Logits [..., C], labels [...] long; returns [...].
    """
    log_probability = _log_softmax(logits)
    probability = log_probability.exp().clamp(FLOOR, 1)
    others = probability.sum(-1) - _of_label(probability, labels)
    penalty = -torch.as_tensor(off_class, dtype=probability.dtype, device=probability.device).log()
    return -a * _of_label(log_probability, labels) + b * penalty * others


def double_softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute -log softmax(softmax(z))_y: cross-entropy that takes probabilities for logits (DSPT, arXiv 2605.00591).

    Between log(1 + (C - 1)/e) and log(C - 1 + e); the gradient in z is bounded and vanishes where the prediction is
    confident, right or wrong. Logits [..., C], labels [...] long; returns [...].
    """
    return cross_entropy(_log_softmax(logits).exp(), labels)


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: Tensor | float = SMOOTHING) -> Tensor:
    """Compute label smoothing, (1 - r) (-log p_y) - (r / C) sum_k log p_k.

    Lukasik et al., ICML 2020 (arXiv 2003.02819).

    Args:
        logits: [..., C].
        labels: [...] long.
        smoothing: r, a number or a 0-dimensional tensor; negative in Wei et al., ICML 2022 (arXiv 2106.04149), and then
            without a lower bound.
    """
    log_probability = _log_softmax(logits)
    return -(1 - smoothing) * _of_label(log_probability, labels) - smoothing * log_probability.mean(-1)


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Compute -sum_k t_k log p_k. Logits and target [..., C]; returns [...]."""
    return -(target * _log_softmax(logits)).sum(-1)


def entropy(logits: Tensor) -> Tensor:
    """Compute -sum_k p_k log p_k, in nats. Logits [..., C]; returns [...], between 0 and log C."""
    log_probability = _log_softmax(logits)
    return -(log_probability.exp() * log_probability).sum(-1)


def divergence_from_uniform(mean_probability: Tensor) -> Tensor:
    """Compute KL(uniform || mean p) = sum_k (1/C) log((1/C) / mean p_k), the collapse penalty of DivideMix and JoAPR.

    The mean of a batch's probabilities is [..., C]; entries below 1e-30 count as 1e-30.
    """
    count = mean_probability.shape[-1]
    return -(mean_probability.clamp_min(1e-30) * count).log().mean(-1)


def masked_mean(values: Tensor, mask: Tensor, weight: Tensor | None = None) -> Tensor:
    """Average over the samples of a mask, weighted; exactly 0, with zero gradient, where the mask is empty.

    Args:
        values: [B, ...], averaged over B; what stands outside the mask is never read, not even a NaN.
        mask: [B] bool.
        weight: [B], not negative, or None for equal weights. The mean is divided by the sum of the weights.
    """
    weight = mask.to(values.dtype) if weight is None else torch.where(mask, weight, 0).to(values.dtype)
    shape = (-1, *([1] * (values.ndim - 1)))
    chosen = torch.where(mask.view(shape), values, 0) * weight.view(shape)
    total = weight.sum()
    return chosen.sum(0) / torch.where(total > 0, total, 1)


def _clamped_probability(logits: Tensor, half: bool) -> Tensor:
    probability = _wide(logits).softmax(-1)
    return (probability.half() if half else probability).clamp(CERTAINTY, 1 - CERTAINTY)


def early_learning_target(memory: Tensor, logits: Tensor, beta: Tensor | float, half: bool = False) -> Tensor:
    """Compute ELR's target (arXiv 2007.00151), beta t + (1 - beta) p / sum p, without gradient.

    p is clamped to [1e-4, 1 - 1e-4]; with `half` it is taken in half precision, where 1 - 1e-4 is 1 and the upper clamp
    is none. Memory t, zeros at the start, and logits are [..., C]; beta is a number or a 0-dimensional tensor.
    """
    probability = _clamped_probability(logits.detach(), half)
    return beta * memory + (1 - beta) * (probability / probability.sum(-1, keepdim=True)).to(memory.dtype)


def early_learning_regularisation(logits: Tensor, target: Tensor, half: bool = False) -> Tensor:
    """Compute log(1 - <t, p>), p clamped as above and not renormalised: low where p agrees with the target t.

    Logits and target [..., C], the target without gradient; `half` as above. Returns [...].
    """
    return (1 - (target * _clamped_probability(logits, half).to(target.dtype)).sum(-1)).log()


def squared_error(logits: Tensor, target: Tensor) -> Tensor:
    """Average (p_k - t_k)^2 over the classes, the unlabelled loss of DivideMix. Logits and target [..., C]."""
    return (_wide(logits).softmax(-1) - target).square().mean(-1)
