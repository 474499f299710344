"""Soft targets and mix-up, which JoAPR and DivideMix share. B batch, C classes; all pure, and run under vmap."""

from __future__ import annotations

import torch
from torch import Tensor


def refine(probability: Tensor, observed: Tensor, weight: Tensor) -> Tensor:
    """Mix label and prediction, w e_y + (1 - w) p, [B, C].

    Probability p [B, C], observed label y [B] long, weight w [B]; 0 leaves the prediction alone.
    """
    share = weight.unsqueeze(1).to(probability.dtype)
    classes = torch.arange(probability.shape[1], device=observed.device)
    label = (observed.unsqueeze(1) == classes).to(probability.dtype)
    return share * label + (1 - share) * probability


def sharpen(probability: Tensor, power: Tensor | float) -> Tensor:
    """Sharpen to p^power / sum p^power, [B, C]; the power is the inverse of what DivideMix calls the temperature."""
    powered = probability**power
    return powered / powered.sum(1, keepdim=True)


def mixing_share(beta: float, number: float) -> float:
    """Draw max(l, 1 - l), l ~ Beta(beta, beta), by a uniform `number`; 1, no mix-up, where beta is 0."""
    from scipy.special import betaincinv  # a fifth of a second that verbs without a cell need not wait

    share = float(betaincinv(beta, beta, number)) if beta else 1.0
    return max(share, 1 - share)


def partners(keys: Tensor, valid: Tensor) -> Tensor:
    """Permute the valid positions by the order of their keys; padding keeps some valid partner. All [B]."""
    order = torch.where(valid, keys, torch.inf).argsort()
    return order[(valid.long().cumsum(0) - 1).clamp_min(0)]


def mix(values: Tensor, share: Tensor, partner: Tensor) -> Tensor:
    """Mix as share · own + (1 - share) · partner's. Values [B, ...], share 0-dimensional, partner [B] long."""
    return share * values + (1 - share) * values[partner]
