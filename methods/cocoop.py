"""CoCoOp: context vectors that the image shifts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import method
from bench.methods.coop import CoOp
from bench.methods.options.cocoop import CoCoOpOptions
from bench.methods.parts.linear import linear_layer

REDUCTION = 16


class CoCoOp(CoOp):
    """A small network of the image shifts every context vector by the same amount.

    Zhou et al., "Conditional Prompt Learning for Vision-Language Models", CVPR 2022 (arXiv 2203.05557).

    Equations: pi(x) = W_2 relu(W_1 f + b_1) + b_2 with f the normalised image feature and D // 16 hidden units;
    v_m(x) = v_m + pi(x); t_k(x) = text(v_1(x) … v_M(x), name_k); logits = s f·t_k(x) with both normalised; loss = mean
    of -log p_y. Parameters: M·W + (D + 1) (D // 16) + (D // 16 + 1) W (ViT-B/16: 35,360; RN50: 100,928).

    Defects of the reference decided on: it trains on one image per step (memory), which ties its response to a
    wrong label to the batch size; here the batch is the protocol's, and 1 belongs to the paper's own budget. Its
    forward pass returns a loss or logits by the mode of a part of the model; here they are two functions. Half
    precision as for CoOp. Kept: torch's default start of the network, whose last bias alone has norm 2.3 on ViT-B/16,
    where a vector from N(0, 0.02²) has 0.45: the phrase says little at first. A context of its own for each class is
    possible here and gets the same shift.
    """

    Options: TypeAlias = CoCoOpOptions

    meta_net: nn.Sequential

    @classmethod
    def needs(cls, options: Any) -> method.Needs:
        """Require texts per image, and what the split needs."""
        return replace(super().needs(options), per_image_text=True)

    def build(self, context: method.Context, generator: torch.Generator) -> None:
        """Create the network D -> D // 16 -> W, drawn after the context with torch's default initialisation."""
        visual, width = context.train.pooled.shape[-1], context.backbone.width
        hidden = max(visual // REDUCTION, 1)
        layers = [
            ("linear1", linear_layer(visual, hidden, generator)),
            ("relu", nn.ReLU()),
            ("linear2", linear_layer(hidden, width, generator)),
        ]
        self.meta_net = nn.Sequential(OrderedDict(layers)).to(self.observed.device)

    def shifted(self, pooled: Tensor) -> Tensor:
        """Shift the context by images [B, D]: [B, M, W], or [B, C, M, W] where class-specific."""
        shift: Tensor = self.meta_net(F.normalize(pooled, dim=-1))
        return self.context + shift.view(len(shift), *[1] * (self.context.ndim - 1), -1)

    def logits(self, inputs: method.Inputs) -> Tensor:
        """Compute logits [B, C], every image with its own class features."""
        text = self.encode(self.shifted(inputs.pooled))
        return method.cosine_logits(self.backbone.scale, inputs.pooled, text)

    def prepare(self) -> dict[str, Tensor]:
        """Return nothing: no prediction shares its texts with another."""
        return {}

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits [B, C]."""
        return self.logits(inputs)
