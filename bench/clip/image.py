"""Image towers of CLIP: pooled features and projected patch tokens of the last layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.clip.architectures import check_square
from bench.clip.attention import finish
from bench.errors import BenchError


class ImageTower(ABC):
    """Image half of a CLIP model.

    Attributes:
        num_tokens: T, patch tokens per image.
    """

    num_tokens: int

    @abstractmethod
    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pixels [B, 3, H, W] as pooled features [B, D] and tokens [B, T, D], neither normalised."""

    def transformer(self) -> TransformerTower:
        """Return this tower as a vision transformer.

        Raises:
            BenchError: it is none, or built of layers of another kind.
        """
        raise BenchError(
            "visual prompts need CLIP's vision transformer and this backbone's image tower is another; choose a "
            "backbone such as ViT-B-16/openai, or a method whose prompts are in the text alone."
        )


class TransformerTower(ImageTower):
    """Vision transformer whose tokens are the last layer's patches through `ln_post` and the projection.

    Attributes:
        width: Wv, of the tokens inside.
        layers: their number.
        patch_size: height and width of a patch in pixels.

    Args:
        visual: `open_clip.transformer.VisionTransformer` without attentional pooling.
    """

    def __init__(self, visual: Any) -> None:
        self.visual = visual
        check_square(visual.conv1.kernel_size, "patch_size", "an image tower")
        rows, columns = visual.grid_size
        self.num_tokens = rows * columns
        self.blocks: nn.ModuleList = visual.transformer.resblocks
        self.width = int(visual.class_embedding.shape[-1])
        self.layers = len(self.blocks)
        self.patch_size = int(visual.conv1.kernel_size[0])

    def transformer(self) -> TransformerTower:
        """See `ImageTower`."""
        from open_clip.transformer import ResidualAttentionBlock

        return self if all(type(block) is ResidualAttentionBlock for block in self.blocks) else super().transformer()

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `ImageTower`. This path is open_clip's own, so that stored features keep their bits."""
        return self._project(*self._pool(self.visual.transformer(self._patches(pixels))))

    def prompted(
        self, pixels: Tensor, prompts: Tensor, deep: Sequence[Tensor], norm: bool, patches: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Encode with prompts [P, Wv] after the patches: see `Backbone.image`.

        Pixels [K, B, 3, H, W] have prompts [K, P, Wv], deep ones too, for each of K models.
        """
        self._check(prompts, deep)
        lead, count = pixels.shape[:-3], pixels.shape[-4]
        x = self._patches(pixels.flatten(0, -4))
        first = self.visual.ln_pre(prompts) if norm else prompts
        for block, vectors in zip_longest(self.blocks, (first, *deep)):
            if vectors is not None:
                own = vectors.unsqueeze(-3).expand(*vectors.shape[:-2], count, -1, -1).reshape(-1, *vectors.shape[-2:])
                x = torch.cat([x[:, : 1 + self.num_tokens], own], dim=1)
            if block is self.blocks[-1] and not patches and self.visual.pool_type == "tok":
                x = layer(block, x, asking=1)
            else:
                x = layer(block, x)
        pooled, tokens = self._project(*self._pool(x[:, : 1 + self.num_tokens]))
        return pooled.reshape(*lead, -1), tokens.reshape(*lead, *tokens.shape[1:])

    def hidden(self, pixels: Tensor, blocks: Iterable[Any]) -> Tensor:
        """Compute pooled features before the projection, [B, Wv], through layers that replace the tower's own."""
        x = self._patches(pixels)
        for block in blocks:
            x = layer(block, x)
        return self._pool(x)[0]

    def _patches(self, pixels: Tensor) -> Tensor:
        """Embed pixels as input of the first layer, class token first, [B, 1 + T, Wv]."""
        entered: Tensor = self.visual._embeds(pixels)  # noqa: SLF001 - open_clip has no public name for this step
        return entered

    def _pool(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return pooled and patch tokens of the last layer after `ln_post`."""
        visual = self.visual
        if visual.final_ln_after_pool and visual.pool_type == "avg":
            return visual.ln_post(x[:, 1:].mean(dim=1)), visual.ln_post(x[:, 1:])
        x = visual.ln_post(x)
        tokens = x[:, 1:]
        return (x[:, 0] if visual.pool_type == "tok" else tokens.mean(dim=1)), tokens

    def _project(self, pooled: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        projection = self.visual.proj
        return (pooled, tokens) if projection is None else (pooled @ projection, tokens @ projection)

    def _check(self, prompts: Tensor, deep: Sequence[Tensor]) -> None:
        if prompts.ndim not in (2, 3) or prompts.shape[-1] != self.width:
            raise ValueError(f"visual prompts have shape {tuple(prompts.shape)}, expected [P, {self.width}]")
        if any(vectors.shape != prompts.shape for vectors in deep):
            raise ValueError(f"deep visual prompts must have the shape {tuple(prompts.shape)} of the first")
        if len(deep) >= self.layers:
            raise ValueError(f"{len(deep)} deep visual prompts, but only {self.layers - 1} layers follow the first")


def layer(block: Any, x: Tensor, asking: int | None = None) -> Tensor:
    """Apply one layer to tokens [B, T, Wv]; only the first `asking` ask, and are returned, where it is given.

    It is written out because torch's attention module does not run under `vmap`.
    """
    attention, width = block.attn, x.shape[-1]
    normed, weight, bias = block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias
    if asking is None:
        queries, keys, values = F.linear(normed, weight, bias).chunk(3, -1)
    else:
        queries = F.linear(normed[:, :asking], weight[:width], bias[:width])
        keys, values = F.linear(normed, weight[width:], bias[width:]).chunk(2, -1)
    heads = (torch.unflatten(part, -1, (attention.num_heads, -1)).transpose(1, 2) for part in (queries, keys, values))
    queries, keys, values = heads
    weights = (queries * queries.shape[-1] ** -0.5 @ keys.mT).softmax(-1)
    return finish(block, x[:, :asking], weights @ values)


class ResNetTower(ImageTower):
    """CLIP's ResNet, with every spatial position querying the attention pool for tokens (PLOT, arXiv 2210.01253).

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
    """Return the tower for an open_clip model's `visual`.

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
