"""CLIP-Adapter: a residual bottleneck on image features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from bench.contracts import method
from bench.lockstep import linear
from bench.methods.options.clip_adapter import CLIPAdapterOptions
from bench.methods.parts.objective import Objective
from bench.methods.parts.templates import zero_shot_text, zero_shot_texts


class CLIPAdapter(Objective):
    """Adapt the image feature by a small residual network; the class texts stay hand-written.

    Gao et al., "CLIP-Adapter: Better Vision-Language Models with Feature Adapters", IJCV 2024 (arXiv
    2110.04544).

    Equations: f' = r ReLU(W2 ReLU(W1 f)) + (1 - r) f with r = 0.2 and no bias, W1 [D/4, D], W2 [D, D/4], f the image
    feature as the tower gives it; logits = s f'·t_k with f' and t_k normalised; loss = cross-entropy, or any
    `Objective`. W1, W2 ~ U(±1/sqrt(columns)), the default of a linear layer. Parameters: 2·D·D/4
    (ViT-B/16: 131,072).

    Defects of the reference decided on: the width 1024 of one tower is written into its code (read off the features
    here); it encodes the unchanging class texts anew in every step (once here); its learning rate and batch are not
    in the repository (the paper's 1e-5 and 32 are this method's paper budget). f enters without being
    normalised: kept, and harmless, since without bias the length of f drops out at the end. Its one template
    per data set is the context's templates here, averaged where there are several.
    """

    Options: TypeAlias = CLIPAdapterOptions

    options: CLIPAdapterOptions
    ratio: Tensor
    text: Tensor
    scale: Tensor

    @classmethod
    def texts(cls, options: Any, names: Sequence[str], templates: Sequence[str]) -> tuple[method.Text, ...]:
        """List the data set's templates with every class name."""
        return (*super().texts(options, names, templates), *zero_shot_texts(names, templates))

    def setup(self, context: method.Context) -> None:
        """Register `down` [D/4, D] and `up` [D, D/4], drawn from the stream `init`, and `text` [C, D]."""
        width = context.train.pooled.shape[-1]
        hidden = max(width // self.options.reduction, 1)
        generator, device = context.init.torch(), context.observed.device
        self.down = nn.Parameter(_uniform(hidden, width, generator).to(device))
        self.up = nn.Parameter(_uniform(width, hidden, generator).to(device))
        self.register_buffer("observed", context.observed.clone())
        self.register_buffer("text", zero_shot_text(context))
        self.register_buffer("scale", torch.as_tensor(context.backbone.scale).detach().clone())
        self.prepare_split(context)

    def adapted(self, pooled: Tensor) -> Tensor:
        """Compute f' of features [B, D], not normalised."""
        change = linear(linear(pooled, self.down).relu(), self.up).relu()
        return self.ratio * change + (1 - self.ratio) * pooled

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits [B, C]."""
        return method.cosine_logits(self.scale, self.adapted(inputs.pooled), self.text)


def _uniform(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Draw from U(±1/sqrt(columns)), [rows, columns]."""
    bound = 1 / math.sqrt(columns)
    return torch.empty(rows, columns).uniform_(-bound, bound, generator=generator)
