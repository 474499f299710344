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

DENSE_LIMIT = 128


def finish(block: Any, x: Tensor, attended: Tensor) -> Tensor:
    """Apply what follows attention in an open_clip block: output projection, both residuals and the perceptron.

    Args:
        block: `open_clip.transformer.ResidualAttentionBlock`.
        x: what entered the block, [N, T, W].
        attended: [N, H, T, d].
    """
    x = x + block.ls_1(block.attn.out_proj(attended.transpose(1, 2).flatten(2)))
    result: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return result


class Layout(ABC):
    """Division of the token axis into prefix and classes.

    Args:
        prefix: P.
        groups: G and L of each group.
        like: gives device and type of the masks.
    """

    def __init__(self, prefix: int, groups: Sequence[tuple[int, int]], like: Tensor) -> None:
        self.prefix = prefix
        ends: list[int] = []
        start = prefix
        for count, length in groups:
            ends.extend(range(start + length - 1, start + count * length, length))
            start += count * length
        self.ends = torch.tensor(ends, device=like.device)

    def last(self, x: Tensor) -> Tensor:
        """Select the last token of each class: [N, T, ...] to [N, C, ...]."""
        return x.index_select(1, self.ends)

    @abstractmethod
    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Compute attention of all tokens.

        Takes three times [N, T, H, d], queries already scaled; returns [N, H, T, d].
        """

    @abstractmethod
    def attend_last(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Compute attention of the classes' last tokens.

        Queries are [N, C, H, d], the others as above; returns [N, H, C, d].
        """


def layout(prefix: int, groups: Sequence[tuple[int, int]], like: Tensor, dense_limit: int = DENSE_LIMIT) -> Layout:
    """Choose the cheaper layout for this division of the axis, the dense one for up to `dense_limit` tokens."""
    tokens = prefix + sum(count * length for count, length in groups)
    return (Dense if tokens <= dense_limit else Grouped)(prefix, groups, like)


class Dense(Layout):
    """Attention over all tokens at once, under a mask."""

    def __init__(self, prefix: int, groups: Sequence[tuple[int, int]], like: Tensor) -> None:
        super().__init__(prefix, groups, like)
        owners = [-1] * prefix
        for count, length in groups:
            first = owners[-1] + 1
            owners.extend(number for number in range(first, first + count) for _ in range(length))
        owner = torch.tensor(owners, device=like.device)
        seen = ((owner[:, None] == owner) | (owner == -1)).tril()
        self.mask = torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill(~seen, -torch.inf)

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Layout`."""
        return _attention(queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), self.mask)

    def attend_last(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Layout`."""
        mask = self.mask.index_select(0, self.ends)
        return _attention(queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), mask)


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
        super().__init__(prefix, groups, like)
        self.mask = _causal(prefix, like)
        self.spans: list[Span] = []
        start, first = prefix, 0
        for count, length in groups:
            self.spans.append(Span(start, first, count, length, _causal(length, like)))
            start, first = start + count * length, first + count

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Layout`."""
        shared_keys, shared_values = self._shared(keys).contiguous(), self._shared(values)  # bits of few keys: strides
        scores = queries.transpose(1, 2) @ shared_keys.mT
        outputs = [(scores[:, :, : self.prefix] + self.mask).softmax(-1) @ shared_values]
        for span in self.spans:
            asked = scores.narrow(2, span.start, span.classes * span.length)
            own = span.rows(queries) @ span.rows(keys).mT + span.mask
            outputs.append(_mixed(asked, shared_values, own, span.rows(values)))
        return torch.cat(outputs, dim=2)

    def attend_last(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Layout`."""
        shared_keys, shared_values = self._shared(keys).contiguous(), self._shared(values)  # bits of few keys: strides
        queries = queries.transpose(1, 2)
        scores = queries @ shared_keys.mT
        outputs = []
        for span in self.spans:
            own = queries.narrow(2, span.first, span.classes).unsqueeze(3) @ span.rows(keys).mT
            asked = scores.narrow(2, span.first, span.classes)
            outputs.append(_mixed(asked, shared_values, own, span.rows(values)))
        return torch.cat(outputs, dim=2)

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


def _attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    return (queries @ keys.mT + mask).softmax(-1) @ values


def _causal(length: int, like: Tensor) -> Tensor:
    return torch.full((length, length), -torch.inf, dtype=like.dtype, device=like.device).triu(1)
