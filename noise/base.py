"""The contract of a kind of label noise, and the flips that are nested over rates.

Labels are numpy vectors of int64, [N], with C classes. A kind draws from one private stream, which the engine keys by
data set, split, shots, kind and seed, never by the rate, the method or the order of runs.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.seeds import Stream

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class NoisyLabels:
    """Observed labels beside the true ones, with what a record says of them.

    Attributes:
        true: [N].
        observed: [N].
        num_classes: C.
    """

    true: Labels
    observed: Labels
    num_classes: int

    @cached_property
    def mislabeled(self) -> NDArray[np.bool_]:
        """[N], where the observed label is not the true one."""
        wrong: NDArray[np.bool_] = self.true != self.observed
        return wrong

    @property
    def realised_rate(self) -> float:
        """Share of mislabeled samples."""
        return float(self.mislabeled.mean()) if len(self.true) else 0.0

    @property
    def per_class_rate(self) -> list[float]:
        """Share of mislabeled samples among those of each true class, [C]; 0 for an absent class."""
        count = np.bincount(self.true, minlength=self.num_classes)
        wrong = np.bincount(self.true[self.mislabeled], minlength=self.num_classes)
        return [float(share) for share in wrong / np.maximum(count, 1)]

    @property
    def digest(self) -> str:
        """sha256 of the observed labels as little-endian 64-bit integers, in index order."""
        return hashlib.sha256(self.observed.astype("<i8").tobytes()).hexdigest()

    def summary(self) -> dict[str, Any]:
        """The entries of a record."""
        return {
            "digest": self.digest,
            "realised_rate": self.realised_rate,
            "per_class_rate": self.per_class_rate,
            "mislabeled": int(self.mislabeled.sum()),
        }


class Noise(ABC):
    """A kind of label noise."""

    takes_rate: ClassVar[bool] = True

    @abstractmethod
    def corrupt(self, true: Labels, num_classes: int, rate: float, stream: Stream) -> Labels:
        """Observed labels [N] for true labels [N].

        Raises:
            BenchError: the kind cannot be applied to these labels.
        """


class Flip(Noise):
    """Noise that replaces labels of a share of the whole set, nested over rates.

    Once per stream every sample gets a place in one permutation and one wrong label; rate r takes the first ⌊r·N⌋
    places (decimal arithmetic, so that 0.29 of 100 is 29), and a sample keeps its wrong label at every higher rate.
    """

    @abstractmethod
    def wrong_labels(self, true: Labels, num_classes: int, stream: Stream) -> Labels:
        """One label other than the true one for each sample, [N]."""

    def corrupt(self, true: Labels, num_classes: int, rate: float, stream: Stream) -> Labels:
        """Replace the labels of the first ⌊r·N⌋ samples of the permutation."""
        order = stream.permutation(len(true))
        wrong = self.wrong_labels(true, num_classes, stream)
        chosen = order[: int(Decimal(str(rate)) * len(true))]
        observed = true.copy()
        observed[chosen] = wrong[chosen]
        return observed
