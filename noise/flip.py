"""Noise that leaves the images unchanged, and flips that are nested over rates."""

from __future__ import annotations

from abc import abstractmethod
from decimal import Decimal

import numpy as np
from pydantic import Field

from bench.contracts.noise import Labels, Noise, NoiseOptions, NoisyLabels, Sampled, Scene
from bench.errors import BenchError
from bench.seeds import Stream


class Relabel(Noise):
    """Noise that changes labels only. The few shots are balanced by true label, then labels change."""

    def draw(self, scene: Scene, rate: float) -> Sampled:
        """Draw the same shots as without noise, with the labels of `corrupt`."""
        positions, short = scene.sample()
        true = scene.split.labels[positions]
        observed = self.corrupt(true, positions, scene, rate)
        return Sampled(positions, NoisyLabels(true, observed, scene.num_classes, scene.split.truth), short)

    @abstractmethod
    def corrupt(self, true: Labels, positions: Labels, scene: Scene, rate: float) -> Labels:
        """Return observed labels [N] of samples at these positions of the split, whose true labels are `true`."""


class Flip(Relabel):
    """Noise that replaces labels of a share of the whole set, nested over rates.

    Once per stream every sample gets a place in one permutation and one wrong label; rate r takes the first ⌊r·N⌋
    places (decimal arithmetic, so that 0.29 of 100 is 29), and a sample keeps its wrong label at every higher rate.
    With `per_class` the first ⌊r·n_c⌋ places of every class are taken instead, so that each keeps a clean sample.
    """

    class Options(NoiseOptions):
        """Scope in which the share is counted."""

        per_class: bool = Field(default=False, description="exactly ⌊r·n⌋ of every class, instead of ⌊r·N⌋ of the set")

    options: Flip.Options

    def corrupt(self, true: Labels, positions: Labels, scene: Scene, rate: float) -> Labels:
        """Replace the labels of the first ⌊r·N⌋ samples of the permutation."""
        require_classes(self.kind, scene)
        stream = scene.stream(self.kind)
        order = stream.permutation(len(true))
        wrong = self.wrong_labels(true, positions, scene, stream)
        return changed(true, wrong, leading(order, rate, true if self.options.per_class else None))

    @abstractmethod
    def wrong_labels(self, true: Labels, positions: Labels, scene: Scene, stream: Stream) -> Labels:
        """Return the label each sample gets if it is chosen, [N]. `stream` is the kind's own, after the permutation."""


def floor_share(rate: float, count: int) -> int:
    """Compute ⌊rate·count⌋ in decimal arithmetic.

    >>> floor_share(0.29, 100)
    29
    """
    return int(Decimal(str(rate)) * count)


def leading(order: Labels, rate: float, groups: Labels | None = None) -> Labels:
    """Select the first ⌊rate·N⌋ of a permutation [N]. With `groups` [N] it is the first ⌊rate·n⌋ of every group."""
    if groups is None:
        return order[: floor_share(rate, len(order))]
    ordered = groups[order]
    members = [order[ordered == group] for group in np.unique(groups)]
    return np.concatenate([found[: floor_share(rate, len(found))] for found in members])


def changed(true: Labels, wrong: Labels, chosen: Labels) -> Labels:
    """Return a copy of `true` [N] with the labels `wrong` [N] at the places `chosen`."""
    observed = true.copy()
    observed[chosen] = wrong[chosen]
    return observed


def require_classes(kind: str, scene: Scene) -> None:
    """Reject a data set in which no label can be wrong.

    Raises:
        BenchError: there are fewer than two classes.
    """
    if scene.num_classes < 2:
        raise BenchError(f"{kind} noise needs at least 2 classes, found {scene.num_classes}; use noise none.")
