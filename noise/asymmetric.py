"""Asymmetric noise: the next class in the stored order."""

from __future__ import annotations

from typing import ClassVar

from bench.contracts.noise import Labels, Scene
from bench.noise.flip import Flip
from bench.seeds import Stream


class Asymmetric(Flip):
    """⌊r·N⌋ samples of the whole set get the label (y + 1) mod C.

    As NLPrompt (CVPR 2025) and the released code of VisPrompt (arXiv 2604.09532) draw it. Pitfalls: the partner is the
    next index of the stored class order, not a similar class (VisPrompt's README says otherwise); above a rate of one
    half the wrong label is the majority of every observed class, so labels alone cannot identify the truth; JoAPR's
    pair noise goes the other way round.
    """

    kind: ClassVar[str] = "asymmetric"

    def wrong_labels(self, true: Labels, positions: Labels, scene: Scene, stream: Stream) -> Labels:
        """Return the next class; the stream is not needed."""
        return (true + 1) % scene.num_classes
