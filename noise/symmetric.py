"""Symmetric noise with the true class excluded."""

from __future__ import annotations

from bench.errors import BenchError
from bench.seeds import Stream
from noise.base import Flip, Labels


class Symmetric(Flip):
    """⌊r·N⌋ samples of the whole set get a label drawn uniformly from the C-1 other classes.

    As NLPrompt (CVPR 2025) and VisPrompt (arXiv 2604.09532) draw it. Pitfalls: the draw is over the whole set, so at
    high rates some class may keep no clean sample (the record has the rate of each class); DivideMix, ELR and DeFT
    include the true class, which makes their realised rate r·(1 - 1/C).
    """

    def wrong_labels(self, true: Labels, num_classes: int, stream: Stream) -> Labels:
        """A uniform other class: the true class plus 1 … C-1, modulo C."""
        if num_classes < 2:
            raise BenchError(f"symmetric noise needs at least 2 classes, found {num_classes}; use noise none.")
        return (true + 1 + stream.integers(num_classes - 1, len(true))) % num_classes
