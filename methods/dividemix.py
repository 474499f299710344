"""DivideMix: two networks that sort the samples for each other, guess labels and mix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import method
from bench.methods.options.dividemix import DivideMixOptions
from bench.methods.parts.losses import (
    cross_entropy,
    divergence_from_uniform,
    entropy,
    masked_mean,
    soft_cross_entropy,
    squared_error,
)
from bench.methods.parts.mixup import mix, mixing_share, partners, refine, sharpen
from bench.methods.parts.prompt_learner import PromptLearner
from bench.methods.parts.splits import fit_two_gaussians, scaled
from bench.seeds import Stream

CLEAN, NOISY, WARM_UP = 0, 1, 2
NETWORKS = ("context", "context_b")


def ramp_up(epoch: float, warmup: int, length: int = 16) -> float:
    """Return the share of lambda_u in use: from 0 after warm-up to 1, `length` epochs on. Epochs count from 0."""
    return min(max((epoch - warmup) / length, 0.0), 1.0)


def dividemix_targets(
    own: Tensor, guess: Tensor, observed: Tensor, weight: Tensor, clean: Tensor, temperature: Tensor | float = 0.5
) -> Tensor:
    """Compute soft targets [B, C]: sharpen(w e_y + (1 - w) own) where clean, sharpen(guess) elsewhere.

    Args:
        own: probabilities of the network in training, over views, [B, C].
        guess: those of both networks, over views, [B, C].
        observed: [B] long.
        weight: w, the other network's membership of the clean Gaussian, [B].
        clean: [B] bool.
        temperature: T of sharpen(p) = p^(1/T) / sum p^(1/T).
    """
    prediction = torch.where(clean.unsqueeze(1), own, guess)
    return sharpen(refine(prediction, observed, torch.where(clean, weight, 0)), 1 / temperature)


def dividemix_losses(
    logits: Tensor, target: Tensor, clean: Tensor, noisy: Tensor, lambda_u: Tensor | float
) -> dict[str, Tensor]:
    """Compute soft_ce of the clean, squared_error of the noisy times `lambda_u`, and balance of both.

    Balance is KL(uniform || mean p). Logits and target of the mixed samples are [B, C], clean and noisy [B] bool.
    A term is 0 where it has no sample.
    """
    both = clean | noisy
    balance = divergence_from_uniform(masked_mean(logits.softmax(1), both))
    return {
        "soft_ce": masked_mean(soft_cross_entropy(logits, target), clean),
        "squared_error": lambda_u * masked_mean(squared_error(logits, target), noisy),
        "balance": torch.where(both.any(), balance, 0),
    }


class DivideMix(PromptLearner):
    """Two context learners; the losses of each tell the other whose label to trust and whose to guess.

    Li et al., "DivideMix: Learning with Noisy Labels as Semi-supervised Learning", ICLR 2020 (arXiv 2002.07394), here
    on prompts.

    Equations. Warm-up: each network by itself, mean CE - penalty · mean entropy. Then at each epoch's start, from the
    plain pass: each network's CE, scaled to [0, 1]; two Gaussians; w = membership of the lower one; the other network
    takes a sample for clean iff w > .5. First network A, then B, in steps of B clean and B noisy samples: targets
    sharpen(w e_y + (1 - w) p) with p its own, and sharpen(mean of both networks' p), sharpen(p) = p² / sum p² (T = .5);
    mix-up over all with lambda <- max(lambda, 1 - lambda), lambda ~ Beta(4, 4); loss = soft CE of the clean half +
    lambda_u · ramp · mean (p_k - t_k)² of the noisy half + KL(uniform || mean p); the ramp rises over 16 epochs.
    Prediction: the mean of both networks' logits, whose arg-max is the reference's sum, and whose scale is CLIP's.
    Parameters: 2·M·W (ViT-B/16: 16,384). The audit sees the split that A is trained on.

    Defects of the reference decided on: its mix-up is drawn from a generator that is never seeded, its noise files
    round the rate to a digit and so collide, its asymmetric noise touches five classes of ten, its symmetric noise may
    keep the label: all the engine's streams and noise here. It fails without a noisy or without a clean sample, and
    scales equal losses by 0 / 0: here a missing half contributes nothing, and equal losses are all clean.

    Deviations. One view of an image where it averages two augmented ones: the epoch's, or the plain one in a cell
    without views. Mix-up acts on frozen features, not on pixels. Its epoch ends with the clean samples; here
    the longer half sets the length, as for JoAPR. Its -entropy in warm-up is for noise known to be asymmetric, and
    its average of five epochs' losses for a known rate of 90 %; a user knows neither: `penalty` and `window`, off.
    Warm-up: 10, its value for CIFAR-10 (30 for CIFAR-100), and never more than a fifth of the epochs, but one
    at least.
    """

    Options: TypeAlias = DivideMixOptions

    options: DivideMixOptions
    context_b: nn.Parameter
    penalty: Tensor
    temperature: Tensor
    lambda_u: Tensor

    @classmethod
    def needs(cls, options: Any) -> method.Needs:  # noqa: ARG003
        """Require a plain pass at the start of each epoch."""
        return method.Needs(full_pass=True)

    def build(self, context: method.Context, generator: torch.Generator) -> None:
        """Create the second network's context; draw the seeds of the mixtures from the stream `method`."""
        self.context_b = nn.Parameter(self._initial_context(context, generator))
        self.warmup = min(self.options.warmup, max(1, context.epochs // 5))
        self.seeds = context.method.integers(2**31, 2 * context.epochs).reshape(-1, 2)
        self.batch_size, self.steps = context.batch_size, [1, 1]
        self.history: list[Tensor] = []
        self.numbers = {"warmup_epochs": float(self.warmup)}

    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        """Return the phases of A and of B: all samples in warm-up, afterwards pairs of clean and noisy."""
        if epoch <= self.warmup:
            everyone = torch.full_like(self.observed, WARM_UP)
            weight = torch.ones(len(everyone), device=everyone.device)
            return tuple(method.Phase(everyone, weight, train=(name,)) for name in NETWORKS)
        logits = full_pass()
        first, second = self._memberships(epoch, logits)
        phases = self._phase(0, logits, second), self._phase(1, logits, first)
        self.steps = [math.ceil(int(phase.group.bincount(minlength=2).max()) / self.batch_size) for phase in phases]
        return phases

    def _memberships(self, epoch: int, logits: Tensor) -> list[Tensor]:
        """Compute w by each network's losses, twice [N]. Logits [2, N, C]."""
        self.history.append(torch.stack([scaled(cross_entropy(own, self.observed)) for own in logits]))
        values = torch.stack(self.history[-self.options.window :]).mean(0).cpu().numpy().astype(np.float64)
        fits = [fit_two_gaussians(own, int(seed)) for own, seed in zip(values, self.seeds[epoch - 1], strict=True)]
        return [torch.from_numpy(fit.low).to(logits) for fit in fits]

    def _phase(self, number: int, logits: Tensor, weight: Tensor) -> method.Phase:
        """Return the phase of one network, split by the other's memberships [N]."""
        probability = logits.softmax(-1)
        clean = weight > self.options.threshold
        self.numbers[f"clean_share_{'ab'[number]}"] = float(clean.double().mean())
        pseudo = dividemix_targets(probability[number], probability.mean(0), self.observed, weight, clean).argmax(1)
        group = torch.where(clean, CLEAN, NOISY)
        return method.Phase(group, weight, policy="paired_cycle", train=(NETWORKS[number],), clean=clean, pseudo=pseudo)

    def draw(self, epoch: int, step: int, size: int, stream: Stream) -> dict[str, Tensor]:
        """Draw `share` (lambda, 0-dimensional) and `keys` [size] that order the partners; add both phases' `ramp`."""
        share = mixing_share(self.options.beta, float(stream.uniform(1)[0]))
        ramp = [ramp_up(epoch - 1 + step / steps, self.warmup, self.options.rampup) for steps in self.steps]
        keys = torch.from_numpy(stream.uniform(size))
        return {"share": torch.tensor(share), "keys": keys, "ramp": torch.tensor(ramp)}

    def forward(self, batch: method.Batch) -> method.Losses:
        """Compute ce, negative_entropy (warm-up), `dividemix_losses` (afterwards) of one network; the others are 0."""
        scale, pooled = self.backbone.scale, batch.inputs.pooled
        networks = (self.context, self.context_b)
        text, other = self.encode(networks[batch.phase]), self.encode(networks[1 - batch.phase].detach())
        logits = method.cosine_logits(scale, pooled, text)
        own, theirs = logits.detach().softmax(1), method.cosine_logits(scale, pooled, other).softmax(1)
        clean, noisy, warm = (batch.valid & (batch.group == kind) for kind in (CLEAN, NOISY, WARM_UP))
        target = dividemix_targets(own, (own + theirs) / 2, batch.observed, batch.weight, clean, self.temperature)
        share, partner = batch.draws["share"].to(pooled), partners(batch.draws["keys"], batch.valid)
        mixed = method.cosine_logits(scale, mix(pooled, share, partner), text)
        lambda_u = self.lambda_u * batch.draws["ramp"][batch.phase]
        terms = {
            "ce": masked_mean(cross_entropy(logits, batch.observed), warm),
            "negative_entropy": -self.penalty * masked_mean(entropy(logits), warm),
        }
        return method.Losses(terms | dividemix_losses(mixed, mix(target, share, partner), clean, noisy, lambda_u))

    def text_features(self) -> Tensor:
        """Encode both contexts into class features [2, C, D], not normalised."""
        return self.encode(torch.stack([self.context, self.context_b]))

    def scores(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits of both networks, [2, B, C]."""
        return self.backbone.scale * F.normalize(inputs.pooled, dim=-1) @ prepared["text"].mT

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Average both networks' logits, [B, C]."""
        return self.scores(inputs, prepared).mean(0)
