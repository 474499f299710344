"""Symmetric noise with the true class included."""

from __future__ import annotations

from typing import ClassVar

from bench.contracts.noise import Labels, Scene
from bench.noise.flip import Flip
from bench.seeds import Stream


class SymmetricInclusive(Flip):
    """⌊r·N⌋ samples of the whole set get a uniformly drawn label, the true class included.

    As DivideMix (arXiv 2002.07394) and DeFT (arXiv 2409.19696) draw it, and ELR (arXiv 2007.00151) but for its ⌈r·N⌉
    samples, one more where r·N is not whole. Pitfalls: the realised rate is r·(1 - 1/C) in expectation and varies from
    seed to seed, so a column "50 %" of these papers is 45 % with ten classes; compare it with `symmetric` only at the
    realised rate, which stands in the record.
    """

    kind: ClassVar[str] = "symmetric-inclusive"

    def wrong_labels(self, true: Labels, positions: Labels, scene: Scene, stream: Stream) -> Labels:
        """Draw a uniform class, which may be the true one."""
        return stream.integers(scene.num_classes, len(true))
