"""Noise that affects some classes more than others."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench.contracts.noise import Labels, NoiseOptions, Scene
from bench.errors import BenchError
from bench.noise.flip import Relabel, changed, floor_share, require_classes


class Imbalanced(Relabel):
    """Symmetric noise (true class excluded) of overall rate r, at a rate r_c that differs between classes.

    Classes stand in a private random order, the same for both splits.
    - `shape=linear`: r_c = r + r·(1-r)·z_c, where z_c rises evenly from -1 to 1 along that order. So r_c lies between
      r² and 1-(1-r)², averages r, grows with r, and no class is wrong throughout.
    - `shape=half`: the first ⌈C/2⌉ classes share all the noise, the others stay clean. DeFT (arXiv 2409.19696) calls
      this structured noise and counts its rate inside ⌊C/2⌋ noisy classes and with the true class among the targets:
      its rate q is about q/2·(1 - 1/C) here. A rate that needs more samples than these classes have is refused.

    Exactly ⌊r·N⌋ samples are flipped: the j-th sample (from 0) of class c, in a private order, is due at the rate
    where r_c = (j+½)/n_c, and samples are taken as they fall due. So class counts are r_c·n_c up to rounding, and the
    noise is nested over rates. Pitfalls: the observed classes are of unequal size; with few shots the steps of r_c are
    coarse (the validation twin has at most four samples of a class). The rate of every class is in the record.
    """

    kind: ClassVar[str] = "imbalanced"

    class Options(NoiseOptions):
        """Distribution of the rates over the classes."""

        shape: Literal["linear", "half"] = Field(default="linear", description="how rates differ between classes")

    options: Imbalanced.Options

    def corrupt(self, true: Labels, positions: Labels, scene: Scene, rate: float) -> Labels:
        """Replace the labels of the ⌊r·N⌋ samples that flip first as the rate rises."""
        require_classes(self.kind, scene)
        stream = scene.stream(self.kind)
        order = stream.permutation(len(true))
        wrong = (true + 1 + stream.integers(scene.num_classes - 1, len(true))) % scene.num_classes
        due = self._due(true, order, scene)
        count, able = floor_share(rate, len(true)), int(np.isfinite(due).sum())
        if count > able:
            raise BenchError(
                f"noise {self.kind}[shape=half]: rate {rate:g} asks for {count} wrong labels and the noisy half has "
                f"{able} samples; use a rate up to {1000 * able // len(true) / 1000:g}, or shape=linear."
            )
        return changed(true, wrong, order[np.argsort(due[order], kind="stable")][:count])

    def _due(self, true: Labels, order: Labels, scene: Scene) -> NDArray[np.float64]:
        """Return the rate at which each sample flips, [N]; infinite where it never does."""
        share = _shares(true, order)
        classes = scene.origin.stream(self.kind, "classes").permutation(scene.num_classes)
        rank = np.empty(scene.num_classes, dtype=np.int64)
        rank[classes] = np.arange(scene.num_classes)
        if self.options.shape == "half":
            return np.where(rank[true] < (scene.num_classes + 1) // 2, share, np.inf)
        slope = 2 * rank[true] / (scene.num_classes - 1) - 1
        due: NDArray[np.float64] = 2 * share / (1 + slope + np.sqrt((1 + slope) ** 2 - 4 * slope * share))
        return due


def _shares(true: Labels, order: Labels) -> NDArray[np.float64]:
    """Compute (j+½)/n_c for the j-th sample of class c in this order, [N]."""
    share = np.empty(len(true))
    for label in np.unique(true):
        members = order[true[order] == label]
        share[members] = (np.arange(len(members)) + 0.5) / len(members)
    return share
