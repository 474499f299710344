"""Text tower as the original authors run it: every prompt padded to all positions, through open_clip's own layers."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.clip.backbone import Backbone, ClassTokens, Position
from bench.clip.tokens import START


class FullLengthText(Backbone):
    """Backbone whose class texts take all positions (77 for CLIP), image after image where each has its own.

    Attributes:
        calls: how often texts were encoded so far.
    """

    calls: int
    _embedded: dict[tuple[int, int, str], tuple[Tensor, Tensor, Tensor]]

    @classmethod
    def of(cls, backbone: Backbone) -> FullLengthText:
        """Return a backbone that shares all weights with another."""
        found: Any = copy.copy(backbone)
        found.__class__ = cls
        vars(found).update(calls=0, _embedded={})
        return found  # type: ignore[no-any-return] # a Backbone until the line above

    def text(
        self,
        context: Tensor,
        classes: ClassTokens,
        position: Position = "end",
        class_specific: bool = False,
        deep: Sequence[Tensor] = (),
    ) -> Tensor:
        """Encode class texts as `Backbone.text` does, features [..., C, D], equal but for rounding."""
        self.calls += 1
        inner = 3 if class_specific else 2
        lead = context.shape[:-inner]
        flat = context.reshape(math.prod(lead), *context.shape[-inner:])
        layers = [vectors.expand_as(context).reshape(flat.shape) for vectors in deep]
        found = [
            self._encode_one(vectors, classes, position, [layer[number] for layer in layers])
            for number, vectors in enumerate(flat)
        ]
        return torch.stack(found).reshape(*lead, len(classes), found[0].shape[-1])

    def _encode_one(self, context: Tensor, classes: ClassTokens, position: Position, deep: Sequence[Tensor]) -> Tensor:
        """Encode for one context, [M, W] or [C, M, W]."""
        tower = getattr(self._model, "text", self._model)
        table, source, ends = self._prompts(classes, context.shape[-2], position)
        own = context.expand(len(classes), *context.shape[-2:])
        x = torch.cat([own, table], dim=1).gather(1, source[..., None].expand(-1, -1, table.shape[-1]))
        x = x + tower.positional_embedding
        for number, block in enumerate(tower.transformer.resblocks):
            if 1 <= number <= len(deep):
                vectors = deep[number - 1].expand(len(classes), -1, -1)
                x = torch.cat([x[:, :1], vectors, x[:, 1 + vectors.shape[1] :]], dim=1)
            x = block(x, attn_mask=tower.attn_mask)
        picked: Tensor = tower.ln_final(x)[torch.arange(len(classes), device=x.device), ends]
        projection = tower.text_projection
        if projection is None:
            return picked
        features: Tensor = projection(picked) if isinstance(projection, torch.nn.Module) else picked @ projection
        return features

    def _prompts(self, classes: ClassTokens, vectors: int, position: Position) -> tuple[Tensor, Tensor, Tensor]:
        """Return embeddings of all prompts [C, T, W], where each token is taken from [C, T], and the ends [C].

        The first `vectors` sources are the context's. They are made once for class names, as CoOp buffers them.
        """
        key = (id(classes), vectors, position)
        if key not in self._embedded:
            before = {"end": vectors, "middle": vectors // 2, "front": 0}[position]
            ids = torch.zeros(len(classes), self.context_length, dtype=torch.long)
            source = torch.arange(self.context_length).repeat(len(classes), 1) + vectors
            ends = []
            for row, (name, tail) in enumerate(zip(classes.ids, classes.tails, strict=True)):
                places = [1 + number if number < before else 1 + number + len(name) for number in range(vectors)]
                ends.append(vectors + len(name) + len(tail))
                source[row, places] = torch.arange(vectors)
                free = [place for place in range(ends[-1] + 1) if place not in places]
                ids[row, free] = torch.tensor([START, *name, *tail])
            moved = [tensor.to(self.device) for tensor in (ids, source, torch.tensor(ends))]
            self._embedded[key] = self.token_embedding[moved[0]].detach(), moved[1], moved[2]
        return self._embedded[key]
