"""Symmetric noise with the true class excluded."""

from __future__ import annotations

from typing import ClassVar

from bench.contracts.noise import Labels, Scene
from bench.noise.flip import Flip
from bench.seeds import Stream


class Symmetric(Flip):
    """⌊r·N⌋ samples of the whole set get a label drawn uniformly from the C-1 other classes.

    As NLPrompt (CVPR 2025) and VisPrompt (arXiv 2604.09532) draw it. Pitfalls: the draw is over the whole set, so at
    high rates some class may keep no clean sample (the record has the rate of each class); DivideMix, ELR and DeFT
    include the true class, which makes their realised rate r·(1 - 1/C).
    """

    kind: ClassVar[str] = "symmetric"

    def wrong_labels(self, true: Labels, positions: Labels, scene: Scene, stream: Stream) -> Labels:
        """Draw a uniform other class: the true class plus 1 … C-1, modulo C."""
        return (true + 1 + stream.integers(scene.num_classes - 1, len(true))) % scene.num_classes
