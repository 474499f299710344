"""Sample few-shot training positions, in an order independent of the labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.seeds import Stream


def sample(
    labels: NDArray[np.int64], shots: int, seed: int, dataset: str, split: str
) -> tuple[NDArray[np.int64], dict[int, int]]:
    """Draw `shots` samples of every class; a class with fewer keeps all it has.

    A smaller number of shots is a subset of a larger one. The chosen positions are permuted once, because sampling
    class by class would leave the true label readable in the order.

    Args:
        labels: true labels of the split, [n].
        shots: samples per class, at least 1.
        seed: the cell's seed.
        dataset: name of the data set.
        split: name of the split.

    Returns:
        Positions in the split, [N], and the classes that fall short with the number they have.
    """
    chosen, short = [], {}
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = Stream(seed, "shots", dataset, split, int(label)).permutation(len(members))
        chosen.append(members[order[:shots]])
        if len(members) < shots:
            short[int(label)] = len(members)
    positions = np.concatenate(chosen)
    return positions[Stream(seed, "shots", dataset, split, "order", shots).permutation(len(positions))], short
