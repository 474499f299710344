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
from collections.abc import Hashable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.clip.attention import Layout, finish
from bench.clip.prompts import POSITIONS, Form, Position, Prompts, Shape, lay_out, project
from bench.clip.tokens import END, VOCABULARY, ClassTokens
from bench.errors import BenchError
from bench.lockstep import apart


class TextTower:
    """Text half of an open_clip model.

    Args:
        model: `open_clip.CLIP` or `open_clip.CustomTextCLIP`.
        form: how prompts are laid out; None is what costs least.

    Raises:
        BenchError: the text half is not a causal CLIP transformer pooled at [EOT].
    """

    def __init__(self, model: nn.Module, form: Form | None = None) -> None:
        tower: Any = getattr(model, "text", model)
        _check(model, tower)
        self.form = form
        self.blocks: list[Any] = list(tower.transformer.resblocks)
        self.token_embedding: nn.Embedding = tower.token_embedding
        self.positions: Tensor = tower.positional_embedding
        self.ln_final: nn.Module = tower.ln_final
        self.projection: nn.Linear | Tensor | None = tower.text_projection
        self.heads: int = self.blocks[0].attn.num_heads
        self.width: int = self.token_embedding.embedding_dim
        self.context_length: int = self.positions.shape[0]
        self._prompts: WeakKeyDictionary[ClassTokens, dict[Hashable, Prompts]] = WeakKeyDictionary()

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
        laid = self._laid(classes, Shape(context.shape[-2], position, class_specific))
        prefix = laid.prefix(flat)
        x = laid.tokens(flat, prefix)
        for number, block in enumerate(self.blocks[:-1]):
            x = _entered(x, number, replacements)
            projected = project(block, x) if number else laid.first(block, x, prefix)
            x = self._layer(block, x, projected, laid.axis)
        x = _entered(x, len(self.blocks) - 1, replacements)
        features = self._last_layer(self.blocks[-1], x, laid.axis)
        if laid.inverse is not None:
            features = features.index_select(1, laid.inverse)
        return features.reshape(*lead, len(classes), features.shape[-1])

    def _check_deep(self, context: Tensor, deep: Sequence[Tensor], position: Position, class_specific: bool) -> None:
        if class_specific or position != "end":
            raise ValueError("deep prompts go with a context that all classes share and that stands before the name")
        if len(deep) >= len(self.blocks):
            raise ValueError(f"{len(deep)} deep prompts, but only {len(self.blocks) - 1} layers follow the first")
        for vectors in deep:
            if vectors.ndim < 2 or vectors.shape[-2:] != context.shape[-2:]:
                raise ValueError(f"a deep prompt has shape {tuple(vectors.shape)}, the context {tuple(context.shape)}")

    def _laid(self, classes: ClassTokens, shape: Shape) -> Prompts:
        """Return the layout of prompts, kept as long as the class tokens are.

        What is kept is computed outside of the caller's transformations, whose tensors would not outlive them.
        """
        device = self.positions.device
        reduced = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type)
        known, key = self._prompts.setdefault(classes, {}), (shape, device, reduced)
        if key not in known:
            with torch._C._DisableFuncTorch(), torch.inference_mode(False), torch.no_grad():  # noqa: SLF001
                known[key] = lay_out(shape, classes, self.token_embedding.weight, self.positions, self.form)
                if shape.constant:
                    known[key].keep(self.blocks[0])
        return known[key]

    def _layer(self, block: Any, x: Tensor, projected: Tensor, axis: Layout) -> Tensor:
        """Apply one transformer layer to all tokens, [N, T, W], whose queries, keys and values are [N, T, 3W]."""
        return finish(block, x, axis.attend(torch.unflatten(projected, -1, (3, self.heads, -1))))

    def _last_layer(self, block: Any, x: Tensor, axis: Layout) -> Tensor:
        """Apply the last layer to the [EOT] tokens alone, and project them.

        Maps x [N, T, W] to [N, C, D] in the order of the groups.
        """
        weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
        normed = block.ln_1(x)
        asked = apart(lambda rows: F.linear(rows, weight[: self.width], bias[: self.width]), axis.last(normed))
        queries = torch.unflatten(asked, -1, (self.heads, -1))
        projected = F.linear(normed, weight[self.width :], bias[self.width :])
        attended = axis.attend_last(queries, torch.unflatten(projected, -1, (2, self.heads, -1)))
        return apart(lambda rows, seen: self._project(finish(block, rows, seen)), axis.last(x), attended)

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
