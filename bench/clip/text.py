"""Text tower of CLIP with the two exact savings that causal attention allows.

Nothing after [EOT] can reach it, so no padding is computed; and what stands before the class name, if it is the same
for all classes, has the same keys and values for all, so it is computed once. All tokens of all classes lie on one
axis, prefix first, classes sorted by length: normalisation, projections and perceptrons run on it without padding, and
attention knows what sees what (`bench.clip.attention`). In the last layer only the [EOT] positions ask.

Shapes: N product of the leading dimensions, C classes, T tokens on the axis, M context vectors, W width, D embedding
width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.clip.attention import DENSE_LIMIT, Layout, finish, layout
from bench.clip.tokens import END, START, VOCABULARY, ClassTokens, TokenGroup
from bench.errors import BenchError

Position: TypeAlias = Literal["end", "middle", "front"]
POSITIONS: tuple[Position, ...] = ("end", "middle", "front")


class TextTower:
    """Text half of an open_clip model.

    Args:
        model: `open_clip.CLIP` or `open_clip.CustomTextCLIP`.
        dense_limit: tokens up to which all attention is computed at once.

    Raises:
        BenchError: the text half is not a causal CLIP transformer pooled at [EOT].
    """

    def __init__(self, model: nn.Module, dense_limit: int = DENSE_LIMIT) -> None:
        tower: Any = getattr(model, "text", model)
        _check(model, tower)
        self.dense_limit = dense_limit
        self.blocks: list[Any] = list(tower.transformer.resblocks)
        self.token_embedding: nn.Embedding = tower.token_embedding
        self.positions: Tensor = tower.positional_embedding
        self.ln_final: nn.Module = tower.ln_final
        self.projection: nn.Linear | Tensor | None = tower.text_projection
        self.heads: int = self.blocks[0].attn.num_heads
        self.width: int = self.token_embedding.embedding_dim
        self.context_length: int = self.positions.shape[0]

    def encode(
        self,
        context: Tensor,
        classes: ClassTokens,
        position: Position,
        class_specific: bool,
        deep: Sequence[Tensor] = (),
    ) -> Tensor:
        """Encode class texts as features [..., C, D], see `Backbone.text`.

        Deep prompts carry no position. They replace a context that is shared and stands before the name, so they are
        part of the prefix that is computed once.
        """
        if position not in POSITIONS:
            raise ValueError(f"position {position!r} is none of {', '.join(POSITIONS)}")
        inner = 3 if class_specific else 2
        wanted = f"[..., {len(classes)}, M, {self.width}]" if class_specific else f"[..., M, {self.width}]"
        fits = context.ndim >= inner and context.shape[-1] == self.width
        if not fits or (class_specific and context.shape[-3] != len(classes)):
            raise ValueError(f"context has shape {tuple(context.shape)}, expected {wanted}")
        classes.check_room(context.shape[-2], self.context_length)
        if deep:
            self._check_deep(context, deep, position, class_specific)
        lead = context.shape[:-inner]
        flat = context.reshape(math.prod(lead), *context.shape[-inner:])
        replacements = [vectors.expand_as(context).reshape(flat.shape) for vectors in deep]
        x, axis = self._tokens(flat, classes, position, class_specific)
        for number, block in enumerate(self.blocks[:-1]):
            x = self._layer(block, _entered(x, number, replacements), axis)
        x = _entered(x, len(self.blocks) - 1, replacements)
        features = self._project(self._last_layer(self.blocks[-1], x, axis))
        if classes.inverse is not None:
            features = features.index_select(1, classes.inverse)
        return features.reshape(*lead, len(classes), features.shape[-1])

    def _check_deep(self, context: Tensor, deep: Sequence[Tensor], position: Position, class_specific: bool) -> None:
        if class_specific or position != "end":
            raise ValueError("deep prompts go with a context that all classes share and that stands before the name")
        if len(deep) >= len(self.blocks):
            raise ValueError(f"{len(deep)} deep prompts, but only {len(self.blocks) - 1} layers follow the first")
        for vectors in deep:
            if vectors.ndim < 2 or vectors.shape[-2:] != context.shape[-2:]:
                raise ValueError(f"a deep prompt has shape {tuple(vectors.shape)}, the context {tuple(context.shape)}")

    def _tokens(
        self, context: Tensor, classes: ClassTokens, position: Position, class_specific: bool
    ) -> tuple[Tensor, Layout]:
        """Embed tokens and add positions, [N, T, W], for a context [N, M, W] or [N, C, M, W]."""
        vectors = context.shape[-2]
        split = {"end": vectors, "middle": vectors // 2, "front": 0}[position]
        before, after = context[..., :split, :], context[..., split:, :]
        start = self.token_embedding.weight[START].expand(len(context), 1, -1)
        prefix = start if class_specific else torch.cat([start, before], dim=1)
        shared = prefix.shape[1]
        parts, groups = [prefix + self.positions[:shared]], []
        for group in classes.groups:
            tokens = _suffix(group, before if class_specific else None, after, class_specific)
            count, length = tokens.shape[1:3]
            parts.append((tokens + self.positions[shared : shared + length]).flatten(1, 2))
            groups.append((count, length))
        return torch.cat(parts, dim=1), layout(shared, groups, context, self.dense_limit)

    def _layer(self, block: Any, x: Tensor, axis: Layout) -> Tensor:
        """Apply one transformer layer to all tokens, [N, T, W]."""
        attention = block.attn
        projected = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
        queries, keys, values = torch.unflatten(projected, -1, (3, self.heads, -1)).unbind(2)
        return finish(block, x, axis.attend(queries * queries.shape[-1] ** -0.5, keys, values))

    def _last_layer(self, block: Any, x: Tensor, axis: Layout) -> Tensor:
        """Apply the last layer to the [EOT] tokens alone. Maps x [N, T, W] to [N, C, W] in the order of the groups."""
        weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
        normed = block.ln_1(x)
        asked = F.linear(axis.last(normed), weight[: self.width], bias[: self.width])
        queries = torch.unflatten(asked, -1, (self.heads, -1))
        projected = F.linear(normed, weight[self.width :], bias[self.width :])
        keys, values = torch.unflatten(projected, -1, (2, self.heads, -1)).unbind(2)
        return finish(block, axis.last(x), axis.attend_last(queries * queries.shape[-1] ** -0.5, keys, values))

    def _project(self, x: Tensor) -> Tensor:
        x = self.ln_final(x)
        if self.projection is None:
            return x
        return self.projection(x) if isinstance(self.projection, nn.Module) else x @ self.projection


def _entered(x: Tensor, number: int, deep: Sequence[Tensor]) -> Tensor:
    """Insert the deep prompts [N, M, W] of layer `number`, if any, behind [SOS] in tokens [N, T, W]."""
    if not 1 <= number <= len(deep):
        return x
    vectors = deep[number - 1]
    return torch.cat([x[:, :1], vectors, x[:, 1 + vectors.shape[1] :]], dim=1)


def _suffix(group: TokenGroup, before: Tensor | None, after: Tensor, class_specific: bool) -> Tensor:
    """Return a group's tokens behind the shared prefix, [N, G, L, W]. Context parts are [N, m, W] or [N, C, m, W]."""
    count = len(group.classes)
    parts = []
    if before is not None:
        parts.append(before[:, group.classes])
    parts.append(group.name.expand(len(after), -1, -1, -1))
    if after.shape[-2]:
        parts.append(after[:, group.classes] if class_specific else after.unsqueeze(1).expand(-1, count, -1, -1))
    parts.append(group.tail.expand(len(after), -1, -1, -1))
    return torch.cat(parts, dim=2)


def _check(model: nn.Module, tower: Any) -> None:
    problem = _problem(model, tower)
    if problem:
        raise BenchError(
            f"the text tower of {type(model).__name__} {problem}; expected a causal CLIP transformer with CLIP's "
            "vocabulary, pooled at [EOT]: choose a backbone such as ViT-B-16/openai."
        )


def _problem(model: nn.Module, tower: Any) -> str | None:
    """Return why a text tower cannot be encoded here, or None."""
    from open_clip.transformer import ResidualAttentionBlock

    blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
    if not isinstance(blocks, nn.ModuleList) or not len(blocks) or not hasattr(tower, "positional_embedding"):
        return f"({type(tower).__name__}) is of another kind"
    if any(type(block) is not ResidualAttentionBlock for block in blocks):
        return f"is built of {type(blocks[0]).__name__}"
    if tower.token_embedding.num_embeddings != VOCABULARY:
        return f"has a vocabulary of {tower.token_embedding.num_embeddings} tokens instead of {VOCABULARY}"
    if getattr(tower, "cls_emb", None) is not None or getattr(tower, "use_pad_mask", False):
        return "has a class token or a padding mask"
    mask, length = tower.attn_mask, tower.positional_embedding.shape[0]
    if mask is None or not torch.equal(mask.cpu(), torch.full((length, length), -torch.inf).triu(1)):
        return "is not causal"
    pool = getattr(model, "text_pool_type", getattr(tower, "pool_type", None))
    end = getattr(model, "text_eos_id", getattr(tower, "eos_id", None))
    if pool != "argmax" and not (pool == "eos" and end == END):
        return f'pools "{pool}"'
    return None
