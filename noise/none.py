"""Labels as they are."""

from __future__ import annotations

from typing import ClassVar

from bench.seeds import Stream
from noise.base import Labels, Noise


class NoNoise(Noise):
    """The stored labels, unchanged; rate 0 of every kind is this one."""

    takes_rate: ClassVar[bool] = False

    def corrupt(self, true: Labels, num_classes: int, rate: float, stream: Stream) -> Labels:
        """A copy of the true labels."""
        return true.copy()
