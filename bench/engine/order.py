"""Order of the samples: which positions each step of a phase takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.contracts.method import Phase
from bench.seeds import Stream


def positions_of(phase: Phase, size: int, order: Stream, drop_last: bool) -> NDArray[np.int64]:
    """Return the positions of each step, [steps, size], -1 on padding; [steps, 2·size] for a paired cycle.

    A paired cycle has group 0 first, then group 1. With `drop_last` the last batch of a pass is left out where it is
    not full, unless it is the only one: as the loader of Dassl does, which CoOp builds on.
    """
    group = phase.group.cpu().numpy()
    if phase.policy == "single":
        permutation = order.permutation(len(group))
        return _chunks(permutation[group[permutation] >= 0], size, drop_last)
    return np.concatenate(_cycles([np.flatnonzero(group == number) for number in (0, 1)], size, order, drop_last), 1)


def _trained(count: int, size: int, drop_last: bool) -> int:
    return count - count % size if drop_last and count >= size else count


def _chunks(positions: NDArray[np.int64], size: int, drop_last: bool) -> NDArray[np.int64]:
    kept = positions[: _trained(len(positions), size, drop_last)]
    padded = np.full(math.ceil(len(kept) / size) * size, -1, dtype=np.int64)
    padded[: len(kept)] = kept
    return padded.reshape(-1, size)


def _cycles(groups: Sequence[NDArray[np.int64]], size: int, order: Stream, drop_last: bool) -> list[NDArray[np.int64]]:
    """Return as many padded chunks of each group as the largest has, reshuffled at every pass.

    Padding alone where a group has no member.
    """
    steps = max(math.ceil(_trained(len(members), size, drop_last) / size) for members in groups)
    found = []
    for members in groups:
        chunks = np.empty((0, size), dtype=np.int64)
        while len(chunks) < steps and len(members):
            chunks = np.concatenate([chunks, _chunks(members[order.permutation(len(members))], size, drop_last)])
        rest = np.full((max(steps - len(chunks), 0), size), -1, dtype=np.int64)
        found.append(np.concatenate([chunks, rest])[:steps])
    return found
