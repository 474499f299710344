"""Attention of many classes as the tree of their distinct beginnings.

A causal token depends on nothing but what precedes it, so that names which begin alike ("2012 Audi S5 Coupe", "2012
Audi S4 Sedan") share the tokens up to where they part. The axis holds the P prefix tokens, then every distinct
beginning once, parents before children, and padding up to whole chunks. All chunks are computed at once: what a chunk
asks sees the prefix, the ancestors of the chunk's first token, which are the only ones outside, and the chunk itself.

Shapes: N batch, H heads of d, T tokens, C classes, K chunks of B tokens, A the most ancestors outside a chunk, E the
most ends of classes in one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.clip.attention import Layout, attend, causal, scaled

CHUNK_SIZES = range(24, 41)  # as fast as each other at width 512, within a tenth; the least padding decides


class Tree(Layout):
    """Attention over the tree of distinct beginnings.

    Args:
        prefix: P.
        sequences: of each class, what identifies its tokens behind the prefix.
        like: gives device and type of the masks.

    Attributes:
        symbols: what identifies the tokens behind the prefix, [K·B]; padding is as the last token.
        depths: their places behind the prefix, from 0, [K·B].
    """

    def __init__(self, prefix: int, sequences: Sequence[tuple[int, ...]], like: Tensor) -> None:
        beginnings = {sequence[:length] for sequence in sequences for length in range(1, len(sequence) + 1)}
        nodes = sorted(beginnings)  # parents before children
        number = {node: index for index, node in enumerate(nodes)}
        ends = [number[sequence] for sequence in sequences]
        super().__init__(prefix, [prefix + end for end in ends], like)
        self.size = min(len(nodes), min(CHUNK_SIZES, key=lambda size: (-len(nodes) % size, size)))
        padded = nodes + nodes[-1:] * (-len(nodes) % self.size)
        self.symbols = [node[-1] for node in padded]
        self.depths = [len(node) - 1 for node in padded]
        firsts = nodes[:: self.size]
        self.chunks = len(firsts)
        most = max(len(node) for node in firsts) - 1
        outside = np.zeros((self.chunks, most), dtype=np.int64)
        for chunk, first in enumerate(firsts):
            outside[chunk, : len(first) - 1] = [number[first[:length]] for length in range(1, len(first))]
        self.outside = torch.from_numpy(outside.reshape(-1)).to(like.device)
        seen = self._seen(nodes, number, most)
        self.mask = _added(seen, like)
        self.causal = causal(prefix, like)
        self._place_ends(np.array(ends), seen, like)

    def _seen(
        self, nodes: Sequence[tuple[int, ...]], number: dict[tuple[int, ...], int], most: int
    ) -> NDArray[np.bool_]:
        """Return which keys of its chunk each token sees.

        Shape [K, B, P + A + B]: of the prefix, of the ancestors outside, of the chunk itself.
        """
        seen = np.zeros((self.chunks, self.size, self.prefix + most + self.size), dtype=np.bool_)
        seen[..., : self.prefix] = True
        for index, node in enumerate(nodes):
            chunk, row = divmod(index, self.size)
            for length in range(1, len(node) + 1):
                within = number[node[:length]] - chunk * self.size
                seen[chunk, row, self.prefix + (most + within if within >= 0 else length - 1)] = True
        return seen

    def _place_ends(self, ends: NDArray[np.int64], seen: NDArray[np.bool_], like: Tensor) -> None:
        """Collect the ends of the classes by chunk, [K, E] with padding."""
        chunk, row = np.divmod(ends, self.size)
        order = np.argsort(chunk, kind="stable")
        counts = np.bincount(chunk, minlength=self.chunks)
        place = np.arange(len(ends)) - np.repeat(np.cumsum(counts) - counts, counts)
        asked = np.zeros((self.chunks, counts.max()), dtype=np.int64)
        asked[chunk[order], place] = order
        self.asked = torch.from_numpy(asked.reshape(-1)).to(like.device)
        answers = np.empty(len(ends), dtype=np.int64)
        answers[order] = chunk[order] * counts.max() + place
        self.answers = torch.from_numpy(answers).to(like.device)
        self.last_mask = _added(seen[np.arange(self.chunks)[:, None], row[asked]], like)

    def attend(self, projected: Tensor) -> Tensor:
        """See `Layout`."""
        prefix, rest = self._parts(projected)
        queries, keys, values = prefix.transpose(1, 3).unbind(2)
        first = attend(scaled(queries), keys.contiguous(), values, self.causal).transpose(
            1, 2
        )  # bits of few keys: strides
        own, others = torch.split(rest, [1, 2], dim=2)
        asked = torch.unflatten(scaled(own.squeeze(2)), 1, (self.chunks, self.size)).transpose(2, 3)
        keys, values = self._shared(prefix[:, :, 1:], others)
        found = attend(asked, keys, values, self.mask)
        return torch.cat([first, found.transpose(2, 3).flatten(1, 2)], dim=1).flatten(2)

    def attend_last(self, queries: Tensor, projected: Tensor) -> Tensor:
        """See `Layout`."""
        asked = torch.unflatten(scaled(queries).index_select(1, self.asked), 1, (self.chunks, -1)).transpose(2, 3)
        keys, values = self._shared(*self._parts(projected))
        found = attend(asked, keys, values, self.last_mask)
        return found.transpose(2, 3).flatten(1, 2).index_select(1, self.answers).flatten(2)

    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        return torch.split(x, [self.prefix, self.chunks * self.size], dim=1)

    def _shared(self, prefix: Tensor, rest: Tensor) -> tuple[Tensor, ...]:
        """Collect keys and values that each chunk sees, twice [N, K, H, P + A + B, d].

        Takes those of the prefix, [N, P, 2, H, d], and of the tokens behind it, [N, K·B, 2, H, d].
        """
        shared = prefix[:, None].expand(-1, self.chunks, -1, -1, -1, -1)
        outside = torch.unflatten(rest.index_select(1, self.outside), 1, (self.chunks, -1))
        own = torch.unflatten(rest, 1, (self.chunks, self.size))
        return torch.cat([part.permute(3, 0, 1, 4, 2, 5) for part in (shared, outside, own)], dim=4).unbind(0)


def _added(seen: NDArray[np.bool_], like: Tensor) -> Tensor:
    """Return the mask that is added to scores of all heads, [K, 1, ...]."""
    mask = torch.from_numpy(np.where(seen, 0.0, -np.inf)[:, None])
    return mask.to(like.device, like.dtype)
