"""Clean labels."""

from __future__ import annotations

from typing import ClassVar

from bench.contracts.noise import AsStored, Labels, Scene
from bench.noise.flip import Relabel


class NoNoise(Relabel):
    """Stored labels, unchanged; rate 0 of every kind is this one.

    Where a data set has true labels these are used, even if noisy ones stand beside them (kinds "given" and "human").
    """

    kind: ClassVar[str] = "none"
    takes_rate: ClassVar[bool] = False
    on_true: ClassVar[bool] = False
    Options = AsStored

    def corrupt(self, true: Labels, positions: Labels, scene: Scene, rate: float) -> Labels:
        """Return a copy of the labels."""
        return true.copy()
