"""Co-teaching: two networks, each trained on what the other finds easy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import method
from bench.methods.coop import CoOp
from bench.methods.options.co_teaching import CoTeachingOptions
from bench.methods.parts.losses import masked_mean
from bench.methods.parts.splits import ROUNDING, forget_rate, small_loss_selection
from bench.seeds import Stream


class CoTeaching(CoOp):
    """Two context learners on the same batches; each keeps its samples of smallest loss for the other.

    Han et al., "Co-teaching: Robust Training of Deep Neural Networks with Extremely Noisy Labels", NeurIPS 2018
    (arXiv 1804.06872), here on prompts: there is no canonical prompt version.

    Equations: R(e) = min(e / 10, 1) · r in epoch e = 1, 2, …, r the noise rate; of a batch of B valid samples each
    network picks the floor((1 - R(e)) B) of smallest loss, and the other network minimises its mean loss on
    them; prediction = log of the mean of both networks' probabilities. One sum of both losses gives each
    network its own gradient. Parameters: 2·M·W (ViT-B/16: 16,384), two draws of one stream; the first network
    starts as CoOp does.

    r is the nominal noise rate, or the realised one of a kind that has none, whatever part of the set is trained on: an
    oracle that a user would not have, declared, and marked in every table.

    Defects of the reference decided on, repaired unless `faithful`, which is the reference as it runs: its mean loss is
    divided once more by the number of samples kept, which shrinks the learning rate by that factor; it rounds (1 - R) B
    down as floating point leaves it, so that of 10 samples at R = .9 none is kept; its linspace(0, r, 10), read at
    epochs 1, 2, …, gives R = e r / 9, not the paper's e r / 10; its loader drops the last batch where it is not full
    (here unless it is the only one). Out of it: a batch that keeps nothing divides 0 by 0 (here it contributes
    nothing); its noise, drawn with one fixed state whatever the seed, and a test loader that drops samples too are the
    engine's business, Adam with its falling momentum the budget's. Networks reported separately there are one
    prediction here.
    """

    Options: TypeAlias = CoTeachingOptions

    options: CoTeachingOptions
    faithful_drop_last = True

    @classmethod
    def needs(cls, options: Any) -> method.Needs:  # noqa: ARG003
        """Require the noise rate."""
        return method.Needs(oracle=("noise_rate",))

    def _initial_context(self, context: method.Context, generator: torch.Generator) -> Tensor:
        """Draw the starts of both networks, [2, M, W] or [2, C, M, W]."""
        return torch.stack([super(CoTeaching, self)._initial_context(context, generator) for _ in range(2)])

    def prepare_split(self, context: method.Context) -> None:
        """Keep the noise rate r."""
        super().prepare_split(context)
        self.noise_rate = context.oracle["noise_rate"]

    def forget_rate(self, epoch: int) -> Tensor:
        """Compute R(e), 0-dimensional, in float64 for the count of samples kept."""
        gradual = max(self.options.gradual - self.options.faithful, 1)
        return forget_rate(torch.tensor(epoch, dtype=torch.float64), self.noise_rate, gradual)

    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        """Return one phase of all samples."""
        self.numbers = {"forget_rate": float(self.forget_rate(epoch))}
        return super().begin_epoch(epoch, full_pass)

    def draw(self, epoch: int, step: int, size: int, stream: Stream) -> dict[str, Tensor]:
        """Return R(e) as `forget`: it differs between the cells of a pack. Nothing is random."""
        return {"forget": self.forget_rate(epoch)}

    def batch_logits(self, batch: method.Batch) -> Tensor:
        """Compute training logits of both networks, [2, B, C]."""
        return self.scores(batch.inputs, self.prepare())

    def objective(self, logits: Tensor, batch: method.Batch) -> dict[str, Tensor]:
        """Compute LOSS_a and LOSS_b, each network's mean loss on what the other keeps. Logits [2, B, C]."""
        name: str = self.options.loss
        first, second = self.sample_loss(name, logits, batch.observed.expand(2, -1))
        keep = (1 - batch.draws["forget"]) * batch.valid.sum()
        keep = (keep if self.options.faithful else keep + ROUNDING).floor()
        by_first, by_second = small_loss_selection(first, second, keep, batch.valid)
        divisor = keep.clamp_min(1).to(logits.dtype) if self.options.faithful else 1
        return {
            f"{name}_a": masked_mean(first, by_second, batch.weight) / divisor,
            f"{name}_b": masked_mean(second, by_first, batch.weight) / divisor,
        }

    def scores(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits of both networks, [2, B, C]."""
        return self.backbone.scale * F.normalize(inputs.pooled, dim=-1) @ prepared["text"].mT

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute the log of the mean probability, [B, C]; finite."""
        return self.scores(inputs, prepared).log_softmax(-1).logsumexp(0) - math.log(2)
