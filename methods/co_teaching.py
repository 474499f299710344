"""Co-teaching: two networks, each trained on what the other finds easy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.seeds import Stream
from methods import base
from methods.coop import CoOp
from methods.losses import forget_rate, masked_mean, small_loss_selection

ROUNDING = 1e-9  # (1 - .9) · 10 is 1, not 0.9999999999999998


class CoTeaching(CoOp):
    """Two context learners on the same batches; each keeps its samples of smallest loss for the other.

    Han et al., "Co-teaching: Robust Training of Deep Neural Networks with Extremely Noisy Labels", NeurIPS 2018
    (arXiv 1804.06872), here on prompts: there is no canonical prompt version.

    Equations: R(e) = min(e / 10, 1) · r in epoch e = 1, 2, …, r the noise rate; of a batch of B valid samples each
    network picks the floor((1 - R(e)) B) of smallest loss, and the other network minimises its mean loss on
    them; prediction = log of the mean of both networks' probabilities. One sum of both losses gives each
    network its own gradient. Parameters: 2·M·W (ViT-B/16: 16,384), two draws of one stream; the first network
    starts as CoOp does.

    r is the true noise rate: an oracle that a user would not have, declared, and marked in every table.

    Defects of the reference decided on: its mean loss is divided once more by the number of samples kept, which
    shrinks the learning rate by that factor (the plain mean here; `faithful` divides again); its noise is drawn
    with one fixed state whatever the seed, and only torch is seeded (the engine's streams). A batch that keeps
    nothing divides 0 by 0 there and contributes nothing here. R follows the paper: the reference's
    linspace(0, r, 10), read at epochs 1, 2, …, gives e r / 9. Networks reported separately there are one
    prediction here. The paper's Adam with its falling momentum is the budget's business.
    """

    class Options(CoOp.Options):
        """CoOp's options and co-teaching's."""

        init: Literal[""] = base.structural("", "always random: two networks of one start would stay one network")
        split: Literal["none"] = base.structural("none", "always none: the selection is made in every step")
        gradual: int = base.structural(10, "epochs until R is the whole noise rate; the authors' 10", ge=1)
        faithful: bool = base.structural(False, "the reference's second division by the number of samples kept")

    options: CoTeaching.Options
    forget: Tensor

    @classmethod
    def needs(cls, options: base.Options) -> base.Needs:  # noqa: ARG003
        """The noise rate."""
        return base.Needs(oracle=("noise_rate",))

    def build(self, context: base.Context, generator: torch.Generator) -> None:  # noqa: ARG002
        """The noise rate as buffer `forget`, in float64, for the count of samples kept."""
        self.register_buffer("forget", torch.tensor(context.oracle["noise_rate"], dtype=torch.float64))

    def _initial_context(self, context: base.Context, generator: torch.Generator) -> Tensor:
        """[2, M, W] or [2, C, M, W]."""
        return torch.stack([super(CoTeaching, self)._initial_context(context, generator) for _ in range(2)])

    def draw(self, epoch: int, step: int, size: int, stream: Stream) -> dict[str, Tensor]:  # noqa: ARG002
        """`epoch`, from 1, 0-dimensional; nothing is random."""
        self.numbers["forget_rate"] = float(forget_rate(epoch, self.forget, self.options.gradual))
        return {"epoch": torch.tensor(float(epoch), dtype=torch.float64)}

    def batch_logits(self, batch: base.Batch) -> Tensor:
        """Training logits of both networks, [2, B, C]."""
        return self.scores(batch.inputs, {"text": F.normalize(self.text_features(), dim=-1)})

    def objective(self, logits: Tensor, batch: base.Batch) -> dict[str, Tensor]:
        """Terms LOSS_a and LOSS_b: each network's mean loss on what the other keeps. Logits [2, B, C]."""
        name: str = self.options.loss
        mine, theirs = self.sample_loss(name, logits, batch.observed.expand(2, -1))
        rate = forget_rate(batch.draws["epoch"], self.forget, self.options.gradual)
        keep = ((1 - rate) * batch.valid.sum() + ROUNDING).floor()
        for_theirs, for_mine = small_loss_selection(mine.detach(), theirs.detach(), keep, batch.valid)
        again = keep.clamp_min(1).to(logits.dtype) if self.options.faithful else 1
        return {
            f"{name}_a": masked_mean(mine, for_mine, batch.weight) / again,
            f"{name}_b": masked_mean(theirs, for_theirs, batch.weight) / again,
        }

    def scores(self, inputs: base.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Logits of both networks, [2, B, C]."""
        return self.backbone.scale * F.normalize(inputs.pooled, dim=-1) @ prepared["text"].mT

    def predict(self, inputs: base.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Log of the mean probability, [B, C]; finite."""
        both = self.scores(inputs, prepared).log_softmax(-1)
        return both.logsumexp(0) - math.log(2)
