"""MaPLe: deep prompts in the text tower, and projections of them in the image tower."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

from bench.contracts import method
from bench.methods.options.maple import MaPLeOptions
from bench.methods.parts.image_prompts import DeepPromptLearner


class MaPLe(DeepPromptLearner):
    """Prompts in both towers, coupled: each layer's visual prompts are a linear map of its text prompts.

    Khattak et al., "MaPLe: Multi-modal Prompt Learning", CVPR 2023 (arXiv 2210.03117).

    Equations: text prompts P_0 (the context) and P_1 … P_{J-1}, [M, W] each; P_i replaces the positions 1 … M at the
    entry of layer i, in every class, without a position. Visual prompts V_i = P_i A_iᵀ + b_i: V_0 is appended to the
    patches behind the position embedding and before the first normalisation, V_i replaces it at the entry of
    layer i. logits = s f·t_k, both normalised; loss = CE. Start: P_0 the embeddings of "a photo", P_i ~ N(0, 0.02²),
    A and b uniform within 1/√W. Parameters: J·M·W + J·(W + 1)·Wv (ViT-B/16, J = 9, M = 2: 3,555,072).

    Defects of the reference decided on. Kept: M = 2 with the phrase "a photo of a" leaves "of a" frozen before the
    class name (their numbers contain it, and the start reads "a photo of a dog."); `init="a photo"` is without.
    Repaired unless `faithful`, which is the reference as it runs: the deep projections start as copies of one draw
    (here each has its own); its loader drops the last batch where it is not full, unless it is the only one. Out of it,
    as they change no float32 number: widths of 512 and 768 written out, half-precision projections beside float32
    prompts, checkpoints that hold all of CLIP. J is capped at the layers of the smaller tower, so that no prompt is
    idle. A ResNet has no place for visual prompts: an error.
    """

    Options: TypeAlias = MaPLeOptions

    options: MaPLeOptions
    faithful_drop_last = True
    weight: nn.Parameter
    bias: nn.Parameter

    def text_depth(self, context: method.Context) -> int:
        """Count the layers of the smaller tower: prompts are coupled."""
        return min(context.backbone.text_layers, context.backbone.vision_layers)

    def build(self, context: method.Context, generator: torch.Generator) -> None:
        """Draw deep prompts, then the projections `weight` [J, Wv, W] and `bias` [J, Wv]."""
        super().build(context, generator)
        depth, width = len(self.all_text_prompts()), context.backbone.width
        drawn = min(depth, 2) if self.options.faithful else depth
        bound = width**-0.5
        weight = torch.empty(drawn, context.backbone.vision_width, width).uniform_(-bound, bound, generator=generator)
        bias = torch.empty(drawn, context.backbone.vision_width).uniform_(-bound, bound, generator=generator)
        own = torch.arange(depth).clamp(max=drawn - 1)
        self.weight = nn.Parameter(weight[own].to(context.observed.device))
        self.bias = nn.Parameter(bias[own].to(context.observed.device))

    def visual(self) -> Tensor:
        """Return the projected text prompts, [J, M, Wv]."""
        return self.all_text_prompts() @ self.weight.mT + self.bias.unsqueeze(1)
