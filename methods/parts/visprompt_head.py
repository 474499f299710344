"""The visual path of our reading of VisPrompt's figure: cross attention, gate, FiLM, feed-forward."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.lockstep import LayerNorm, one_by_one
from bench.methods.parts.linear import empty_layer, linear_layer


@dataclass(frozen=True)
class HeadShape:
    """Shape of the head; widths in channels, `gate_bias` the gate's start before the sigmoid.

    `gate`, `film` and `image` switch parts off for the controls; without `image` there is neither of the
    other two.
    """

    width: int
    visual: int
    heads: int
    ffn: int
    form: Literal["literal", "identity"]
    gate_bias: float
    gate: bool = True
    film: bool = True
    image: bool = True


class CrossAttention(nn.Module):
    """Multi-head attention written out, so that it runs under vmap with the same bits; torch's initialisation.

    Args:
        width: of queries and of the result.
        visual: of keys and values; another width is mapped by the key and value projections themselves.
        heads: must divide `width`.
        generator: of the initial weights.
    """

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear

    def __init__(self, width: int, visual: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.heads = heads
        for name, inputs in (("query", width), ("key", visual), ("value", visual)):
            layer = empty_layer(inputs, width)
            # nn.MultiheadAttention draws one stacked [3W, W] matrix where the widths agree, three where they do not
            bound = math.sqrt(6 / (4 * width if visual == width else inputs + width))
            nn.init.uniform_(layer.weight, -bound, bound, generator)
            nn.init.zeros_(layer.bias)
            setattr(self, name, layer)
        self.out = linear_layer(width, width, generator)
        nn.init.zeros_(self.out.bias)

    def forward(self, queries: Tensor, visual: Tensor) -> Tensor:
        """Compute [B, M, W] from queries [M, W] shared by all images and visual [B, T, D]."""
        query = self.query(queries).unflatten(-1, (self.heads, -1))
        value = self.value(visual).unflatten(-1, (self.heads, -1))
        scores = _scores(query, visual, self.key.weight, self.key.bias) / math.sqrt(query.shape[-1])
        mixed: Tensor = torch.einsum("bhmt,bthd->bmhd", scores.softmax(-1), value).flatten(-2)
        result: Tensor = self.out(mixed)
        return result


@one_by_one
def _scores(query: Tensor, visual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute queries [M, H, d] times keys of visual [B, T, D], as [B, H, M, T].

    Both in one function, since the sum over a gradient, the bias's, depends on its strides.
    """
    key = torch.unflatten(F.linear(visual, weight, bias), -1, query.shape[1:])
    return torch.einsum("mhd,bthd->bhmt", query, key)


class VisualPromptHead(nn.Module):
    """Context vectors in, context vectors per image out.

    N_C = LN(C); Q = Linear(N_C); K, V = LN(visual); H = MHA(Q, K, V); g = sigmoid(Linear H); gamma, beta =
    Linear H.
    literal: C~ = (1 + gamma) * N_C + beta; Z = C + g * (C~ - C); C^ = Z + FFN(LN Z), FFN = Linear, GELU, Linear.
    identity: C~ = (1 + gamma) * C + beta with gamma = beta = 0 at the start; C^ = Z, without FFN, so C^ = C
    exactly then.
    """

    def __init__(self, shape: HeadShape, generator: torch.Generator) -> None:
        super().__init__()
        self.shape, width = shape, shape.width
        if shape.image:
            self.norm_visual = LayerNorm(shape.visual)
            self.query = linear_layer(width, width, generator)
            self.attention = CrossAttention(width, shape.visual, shape.heads, generator)
        if shape.gate and shape.image:
            self.gate = linear_layer(width, width, generator)
            nn.init.constant_(self.gate.bias, shape.gate_bias)
        if shape.film and shape.image:
            self.gamma, self.beta = (linear_layer(width, width, generator) for _ in range(2))
            if shape.form == "identity":
                for parameter in (*self.gamma.parameters(), *self.beta.parameters()):
                    nn.init.zeros_(parameter)
        if shape.form == "literal" or shape.image:
            self.norm_context = LayerNorm(width)
        if shape.form == "literal":
            self.norm_ffn = LayerNorm(width)
            self.ffn_in = linear_layer(width, shape.ffn, generator)
            self.ffn_out = linear_layer(shape.ffn, width, generator)

    def forward(self, context: Tensor, visual: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute C^ and the gate, both [B, M, W], from context [M, W] and visual [B, T, D].

        Without an image (`visual` None) C^ is [M, W] and the gate the constant, 0-dimensional.
        """
        literal = self.shape.form == "literal"
        start = self.norm_context(context) if literal else context
        film, gate = start, torch.as_tensor(self.shape.gate_bias, device=context.device).sigmoid()
        if visual is not None:
            evidence = self.attention(self.query(self.norm_context(context)), self.norm_visual(visual))
            if self.shape.gate:
                gate = self.gate(evidence).sigmoid()
            if self.shape.film:
                film = (1 + self.gamma(evidence)) * start + self.beta(evidence)
        mixed = context + gate * (film - context)
        if literal:
            mixed = mixed + self.ffn_out(F.gelu(self.ffn_in(self.norm_ffn(mixed))))
        return mixed, gate
