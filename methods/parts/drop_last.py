"""A training loader that drops its last incomplete batch: what it leaves unscored, and what untrained.

For references that score the training set, or train on a part of it, through such a loader (Dassl's, shuffled).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from bench.contracts import method
from bench.contracts.objective import CleanSplit
from bench.seeds import Stream

SplitScored: TypeAlias = Callable[[Tensor, Tensor], CleanSplit]


class DropLast:
    """The samples that a shuffled loader with `drop_last` reaches, drawn anew for every pass and every epoch.

    A set smaller than one batch is not cut, and then neither are its parts: the switch is set once, by the whole set.

    Args:
        context: of the set-up; its stream `method` seeds the draws.
    """

    def __init__(self, context: method.Context) -> None:
        self.samples, self.device = len(context.observed), context.observed.device
        self.batch_size = context.batch_size if self.samples >= context.batch_size else 1
        self.seeds = context.method.integers(2**31, context.epochs)

    def scored(self, epoch: int) -> Tensor:
        """Draw the positions that an epoch's scoring pass reaches, [n] in its order; n = floor(N/B) B."""
        return self._whole_batches(self._order(epoch, "scored"))

    def split(self, epoch: int, logits: Tensor, observed: Tensor, split: SplitScored) -> CleanSplit:
        """Split the samples that are scored; the others have label 0, confidence 0, and are never selected.

        Args:
            epoch: from 1.
            logits: [N, C].
            observed: [N] long.
            split: of the n scored samples, from their logits [n, C] and observed labels [n], in the pass's order.
        """
        order = self.scored(epoch)
        part = split(logits[order], observed[order])

        def spread(values: Tensor) -> Tensor:
            whole = values.new_zeros(self.samples)
            whole[order] = values
            return whole

        return replace(
            part,
            clean=spread(part.clean),
            pseudo=spread(part.pseudo),
            confidence=None if part.confidence is None else spread(part.confidence),
            selected=None if part.selected is None else spread(part.selected),
            scored=spread(torch.ones_like(part.clean)),
        )

    def phases(self, epoch: int, phases: Sequence[method.Phase]) -> tuple[method.Phase, ...]:
        """Drop the remainder of each phase of an epoch, a random one: below one batch nothing is left."""
        order = self._order(epoch, "trained")
        kept = [self._whole_batches(order[phase.group[order] >= 0]) for phase in phases]
        groups = [torch.full_like(phase.group, -1) for phase in phases]
        for phase, group, positions in zip(phases, groups, kept, strict=True):
            group[positions] = phase.group[positions]
        return tuple(replace(phase, group=group) for phase, group in zip(phases, groups, strict=True))

    def _order(self, epoch: int, use: str) -> Tensor:
        stream = Stream(int(self.seeds[epoch - 1]), "method", "drop_last", use)
        return torch.from_numpy(stream.permutation(self.samples)).to(self.device)

    def _whole_batches(self, positions: Tensor) -> Tensor:
        return positions[: len(positions) // self.batch_size * self.batch_size]
