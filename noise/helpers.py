"""Random draws shared by several kinds: normal numbers, and one class from a row of shares.

Both invert distribution functions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.contracts.noise import Labels
from bench.seeds import Stream


def normal(stream: Stream, size: int) -> NDArray[np.float64]:
    """Draw standard normal numbers, shape [size], from one uniform number each."""
    from scipy.special import ndtri

    drawn: NDArray[np.float64] = ndtri(np.maximum(stream.uniform(size), 2.0**-54))
    return drawn


def by_row(shares: NDArray[np.float64], uniform: NDArray[np.float64]) -> Labels:
    """Draw one class for each sample, by inverting the distribution of its row.

    A label depends on rounding only where a uniform number falls within 1e-15 of a boundary, so processors agree.

    Args:
        shares: [N, C], not negative, with a positive sum; a share of zero is never drawn.
        uniform: [N], in [0, 1).
    """
    bounds = np.cumsum(shares, axis=1)
    bounds /= bounds[:, -1:]
    drawn: Labels = (uniform[:, None] >= bounds).sum(1).astype(np.int64)
    return drawn
