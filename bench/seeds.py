"""Named random streams: private generators derived by hashing, so that no draw affects another.

A stream is identified by (seed, name, axes). Raw words of the counter-based Philox generator are turned into
permutations and integers here, because numpy guarantees the words of a bit generator over versions but not the
algorithms of its distributions; torch distributions are used only for parameter initialisation and dropout masks.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

STREAMS: Final = ("shots", "noise", "init", "order", "augment", "method", "eval")


class Stream:
    """Private source of randomness.

    Args:
        seed: the cell's seed, any integer (0 is a seed like every other).
        name: one of `STREAMS`.
        axes: what the stream may depend on, for example ("digits", "train", "16", "symmetric").

    Raises:
        ValueError: the name is not one of `STREAMS`.
    """

    def __init__(self, seed: int, name: str, *axes: str | int) -> None:
        if name not in STREAMS:
            raise ValueError(f"unknown random stream {name!r}; known: {', '.join(STREAMS)}")
        text = json.dumps([int(seed), name, *map(str, axes)])
        self._digest = hashlib.sha256(text.encode()).digest()
        self._words = np.random.Philox(key=int.from_bytes(self._digest[:16], "little"))

    def permutation(self, size: int) -> NDArray[np.int64]:
        """Draw a uniform permutation of 0 … size-1, shape [size]."""
        return np.argsort(self._words.random_raw(size), kind="stable").astype(np.int64)

    def integers(self, high: int, size: int) -> NDArray[np.int64]:
        """Draw `size` integers in [0, high), shape [size]; the modulo bias is below high / 2**64."""
        return (self._words.random_raw(size) % np.uint64(high)).astype(np.int64)

    def uniform(self, size: int) -> NDArray[np.float64]:
        """Draw `size` numbers in [0, 1), shape [size]."""
        return (self._words.random_raw(size) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def torch(self) -> torch.Generator:
        """Return a CPU generator of torch, seeded from this stream (the same at every call)."""
        import torch

        return torch.Generator().manual_seed(int.from_bytes(self._digest[16:24], "little") >> 1)
