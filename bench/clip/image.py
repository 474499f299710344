"""The image towers of CLIP: pooled features and projected patch tokens of the last layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import BenchError


class ImageTower(ABC):
    """The image half of a model.

    Attributes:
        num_tokens: T, patch tokens per image.
    """

    num_tokens: int

    @abstractmethod
    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features [B, D] and tokens [B, T, D] of pixels [B, 3, H, W], neither normalised."""


class TransformerTower(ImageTower):
    """A vision transformer; tokens are the last layer's patches through `ln_post` and the projection.

    Args:
        visual: `open_clip.transformer.VisionTransformer` without attentional pooling.
    """

    def __init__(self, visual: Any) -> None:
        self.visual = visual
        rows, columns = visual.grid_size
        self.num_tokens = rows * columns

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `ImageTower`."""
        visual = self.visual
        x = visual.transformer(visual._embeds(pixels))  # noqa: SLF001 - open_clip has no public name for this step
        if visual.final_ln_after_pool and visual.pool_type == "avg":
            pooled, tokens = visual.ln_post(x[:, 1:].mean(dim=1)), visual.ln_post(x[:, 1:])
        else:
            x = visual.ln_post(x)
            tokens = x[:, 1:]
            pooled = x[:, 0] if visual.pool_type == "tok" else tokens.mean(dim=1)
        return (pooled, tokens) if visual.proj is None else (pooled @ visual.proj, tokens @ visual.proj)


class ResNetTower(ImageTower):
    """CLIP's ResNet; tokens are the attention pool asked by every spatial position (as PLOT does, arXiv 2210.01253).

    Args:
        visual: `open_clip.modified_resnet.ModifiedResNet`.
    """

    def __init__(self, visual: Any) -> None:
        self.visual = visual
        self.num_tokens = visual.attnpool.positional_embedding.shape[0] - 1

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `ImageTower`."""
        visual, pool = self.visual, self.visual.attnpool
        x = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(pixels)))))
        x = x.flatten(2).mT
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + pool.positional_embedding
        queries, keys, values = (
            projection(x).unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
            for projection in (pool.q_proj, pool.k_proj, pool.v_proj)
        )
        attended = F.scaled_dot_product_attention(queries, keys, values)
        tokens = pool.c_proj(attended.transpose(1, 2).flatten(2))
        return tokens[:, 0], tokens[:, 1:]


def image_tower(visual: nn.Module) -> ImageTower:
    """The tower for an open_clip model's `visual`.

    Raises:
        BenchError: it is neither a vision transformer nor CLIP's ResNet.
    """
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.transformer import VisionTransformer

    if isinstance(visual, ModifiedResNet):
        return ResNetTower(visual)
    if isinstance(visual, VisionTransformer) and visual.attn_pool is None and visual.pool_type in ("tok", "avg"):
        return TransformerTower(visual)
    raise BenchError(
        f"the image tower {type(visual).__name__} has no patch tokens in the joint space; expected CLIP's vision "
        "transformer or ResNet: choose a backbone such as ViT-B-16/openai or RN50/openai."
    )
