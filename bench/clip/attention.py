"""Causal attention of many classes behind one shared prefix, without padding on the token axis.

The axis holds P prefix tokens, then the tokens of one class after the other, classes of equal length together. A token
sees the prefix and what precedes it in its own class. Two exact ways to compute it: group by group, which does no
unneeded work, and all at once under a mask, which takes far fewer operations where the axis is short.

Shapes: N batch, H heads of d, T tokens, C classes in groups of G with L tokens each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

QUICK = 1.702  # factor of open_clip's QuickGELU


def finish(block: Any, x: Tensor, attended: Tensor) -> Tensor:
    """Apply what follows attention in an open_clip block: output projection, both residuals and the perceptron.

    Args:
        block: `open_clip.transformer.ResidualAttentionBlock`.
        x: what entered the block, [N, T, W].
        attended: [N, T, W].
    """
    from open_clip.transformer import QuickGELU  # with torchvision: a second and a half that plans need not wait

    x = x + block.ls_1(block.attn.out_proj(attended))
    normed, quick = block.ln_2(x), type(block.mlp.gelu) is QuickGELU
    result: Tensor = x + block.ls_2(_quick_perceptron(block.mlp, normed) if quick else block.mlp(normed))
    return result


def _quick_perceptron(mlp: Any, x: Tensor) -> Tensor:
    """Apply a perceptron with x sigmoid(1.702 x) between its layers.

    That is silu(1.702 x) / 1.702: the factor enters and leaves with the products, so that one pass over the hidden
    units is left of three, and of five backward.
    """
    hidden, out = mlp.c_fc, mlp.c_proj
    flat = x.flatten(0, -2)
    activated = F.silu(torch.addmm(hidden.bias, flat, hidden.weight.mT, beta=QUICK, alpha=QUICK))
    result: Tensor = torch.add(out.bias, F.linear(activated, out.weight), alpha=1 / QUICK)
    return result.view_as(x)


class Layout(ABC):
    """Division of the token axis into prefix and classes.

    Args:
        prefix: P.
        ends: position of each class's last token.
        like: gives the device.
    """

    def __init__(self, prefix: int, ends: Sequence[int], like: Tensor) -> None:
        self.prefix = prefix
        self.ends = torch.tensor(ends, device=like.device)

    def last(self, x: Tensor) -> Tensor:
        """Select the last token of each class: [N, T, ...] to [N, C, ...]."""
        return x.index_select(1, self.ends)

    @abstractmethod
    def attend(self, projected: Tensor) -> Tensor:
        """Compute attention of all tokens, [N, T, W], from queries, keys and values [N, T, 3, H, d]."""

    @abstractmethod
    def attend_last(self, queries: Tensor, projected: Tensor) -> Tensor:
        """Compute attention of the classes' last tokens, [N, C, W].

        Takes their queries [N, C, H, d], and keys and values of all tokens [N, T, 2, H, d].
        """


def _ends(prefix: int, groups: Sequence[tuple[int, int]]) -> list[int]:
    """Return the position of each class's last token, for G classes of L tokens in each group."""
    ends: list[int] = []
    start = prefix
    for count, length in groups:
        ends.extend(range(start + length - 1, start + count * length, length))
        start += count * length
    return ends


class Dense(Layout):
    """Attention over all tokens at once, under a mask."""

    def __init__(self, prefix: int, groups: Sequence[tuple[int, int]], like: Tensor) -> None:
        super().__init__(prefix, _ends(prefix, groups), like)
        owners = [-1] * prefix
        for count, length in groups:
            first = owners[-1] + 1
            owners.extend(number for number in range(first, first + count) for _ in range(length))
        owner = torch.tensor(owners, device=like.device)
        seen = ((owner[:, None] == owner) | (owner == -1)).tril()
        self.mask = torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill(~seen, -torch.inf)
        self.last_mask = self.mask.index_select(0, self.ends)

    def attend(self, projected: Tensor) -> Tensor:
        """See `Layout`."""
        queries, keys, values = projected.unbind(2)
        return merged(attend(scaled(queries).transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), self.mask))

    def attend_last(self, queries: Tensor, projected: Tensor) -> Tensor:
        """See `Layout`."""
        keys, values = projected.unbind(2)
        return merged(
            attend(scaled(queries).transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), self.last_mask)
        )


@dataclass(frozen=True)
class Span:
    """Group of G classes on the token axis, with a causal mask [L, L].

    They start at token `start` with class `first`.
    """

    start: int
    first: int
    classes: int
    length: int
    mask: Tensor

    def rows(self, x: Tensor) -> Tensor:
        """Select the group's part of [N, T, H, d], as [N, H, G, L, d]."""
        part = x.narrow(1, self.start, self.classes * self.length)
        return torch.unflatten(part, 1, (self.classes, self.length)).permute(0, 3, 1, 2, 4)


class Grouped(Layout):
    """Attention with prefix scores for all tokens at once, and scores within the classes group by group."""

    def __init__(self, prefix: int, groups: Sequence[tuple[int, int]], like: Tensor) -> None:
        super().__init__(prefix, _ends(prefix, groups), like)
        self.mask = causal(prefix, like)
        self.spans: list[Span] = []
        start, first = prefix, 0
        for count, length in groups:
            self.spans.append(Span(start, first, count, length, causal(length, like)))
            start, first = start + count * length, first + count

    def attend(self, projected: Tensor) -> Tensor:
        """See `Layout`."""
        queries, keys, values = projected.unbind(2)
        queries = scaled(queries)
        shared_keys, shared_values = self._shared(keys).contiguous(), self._shared(values)  # bits of few keys: strides
        scores = queries.transpose(1, 2) @ shared_keys.mT
        outputs = [(scores[:, :, : self.prefix] + self.mask).softmax(-1) @ shared_values]
        for span in self.spans:
            asked = scores.narrow(2, span.start, span.classes * span.length)
            own = span.rows(queries) @ span.rows(keys).mT + span.mask
            outputs.append(_mixed(asked, shared_values, own, span.rows(values)))
        return merged(torch.cat(outputs, dim=2))

    def attend_last(self, queries: Tensor, projected: Tensor) -> Tensor:
        """See `Layout`."""
        keys, values = projected.unbind(2)
        shared_keys, shared_values = self._shared(keys).contiguous(), self._shared(values)  # bits of few keys: strides
        queries = scaled(queries).transpose(1, 2)
        scores = queries @ shared_keys.mT
        outputs = []
        for span in self.spans:
            own = queries.narrow(2, span.first, span.classes).unsqueeze(3) @ span.rows(keys).mT
            asked = scores.narrow(2, span.first, span.classes)
            outputs.append(_mixed(asked, shared_values, own, span.rows(values)))
        return merged(torch.cat(outputs, dim=2))

    def _shared(self, x: Tensor) -> Tensor:
        """Select the prefix of [N, T, H, d], as [N, H, P, d]."""
        return x.narrow(1, 0, self.prefix).transpose(1, 2)


def _mixed(shared: Tensor, shared_values: Tensor, own: Tensor, values: Tensor) -> Tensor:
    """Apply one softmax over prefix and own class, [N, H, G·Q, d].

    Args:
        shared: scores against the prefix, [N, H, G·Q, P].
        shared_values: [N, H, P, d].
        own: scores within the class, [N, H, G, Q, L].
        values: [N, H, G, L, d].
    """
    weights = torch.cat([shared, own.flatten(2, 3)], dim=-1).softmax(-1)
    prefix = shared.shape[-1]
    within = torch.unflatten(weights[..., prefix:], 2, own.shape[2:4]) @ values
    return weights[..., :prefix] @ shared_values + within.flatten(2, 3)


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Compute attention over the last two dimensions, queries already scaled, under a mask that is added."""
    return (queries @ keys.mT + mask).softmax(-1) @ values


def scaled(queries: Tensor) -> Tensor:
    """Divide queries [..., d] by the root of d."""
    result: Tensor = queries * queries.shape[-1] ** -0.5
    return result


def merged(attended: Tensor) -> Tensor:
    """Join the heads: [N, H, T, d] to [N, T, W]."""
    return attended.transpose(1, 2).flatten(2)


def causal(length: int, like: Tensor) -> Tensor:
    """Return the mask [L, L] under which a token sees itself and what precedes it."""
    return torch.full((length, length), -torch.inf, dtype=like.dtype, device=like.device).triu(1)
