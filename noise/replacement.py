"""Images exchanged class by class, so that the observed labels stay balanced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from bench.contracts.noise import Labels, Noise, NoiseOptions, NoisyLabels, Sampled, Scene
from bench.errors import BenchError
from bench.noise.flip import floor_share, require_classes
from bench.seeds import Stream


class Replacement(Noise):
    """F = ⌊r·K⌋ of the K images of every observed class are images of other classes.

    PTNL (Wu et al., ICCV 2023, arXiv 2307.11978) and JoAPR (Guo and Gu, CVPR 2024) build their noise so. The n images
    of a class stand in a private permutation; the first ⌈n/2⌉ are its true pool, the rest its false pool. The class
    takes K images of its true pool, and F of these places get an image of another class's false pool:
    - `pattern=symmetric`: drawn uniformly from the unused images in the false pools of all other classes;
    - `pattern=pair`: of class y+1 (the last class takes from the first), so that images of y+1 are labelled y: the
      opposite direction to `asymmetric`.
    Nested over rates: which image takes which place is settled once, and rate r fills the first F places.

    Observed labels are balanced, true ones are not, half of the data never appears as a clean sample, and "no noise" is
    not its limit at r = 0, because that draws from whole classes. Do not compare its numbers with `symmetric`.

    No image occurs twice as long as the pools allow it: symmetric places are filled round by round, one for every
    class, with a draw that never leaves a class with its own images only. Beyond that false images are used again, at
    first never twice in one observed class; the record counts them (`repeated_images`).

    Where their code is left: it cuts a class in file order (ours is permuted); it draws the symmetric images of a class
    with replacement, so that some occur twice, and at the end of a pair's pool repeats the last image; a class with
    fewer than K images in its true pool is drawn from with replacement, here it keeps the K_c it has, with F = ⌊r·K_c⌋,
    and is recorded as short; it overwrites labels in place, which loses the true one, here both are kept; it puts
    wrong images first and goes class by class, here the order is permuted; it reseeds the global generators.
    """

    kind: ClassVar[str] = "replacement"

    class Options(NoiseOptions):
        """Source of the replacing images."""

        pattern: Literal["symmetric", "pair"] = Field(default="symmetric", description="whose images stand in")

    options: Replacement.Options

    def draw(self, scene: Scene, rate: float) -> Sampled:
        """Draw K images per observed class, F of them replaced."""
        require_classes(self.kind, scene)
        true_pool, false_pool = self._pools(scene)
        kept = [pool[: scene.shots] for pool in true_pool]
        present = [c for c in range(scene.num_classes) if len(kept[c])]
        wanted = np.array([max(len(images) - 1, 0) for images in kept])
        if self.options.pattern == "pair":
            guests = [np.resize(pool, count) if len(pool) else pool for pool, count in _next(false_pool, wanted)]
        else:
            guests = exchanged(false_pool, wanted, scene.stream(self.kind, "images"))
        images: list[Labels] = []
        for c in present:
            count = floor_share(rate, len(kept[c]))
            if count > len(guests[c]):
                raise BenchError(self._none_left(scene, c))
            images.append(np.concatenate([guests[c][:count], kept[c][count:]]))
        observed = np.repeat(present, [len(found) for found in images])
        order = scene.stream(self.kind).permutation(len(observed))
        positions, observed = np.concatenate(images)[order], observed[order]
        short = {c: len(images) for c, images in enumerate(kept) if len(images) < scene.shots}
        noisy = NoisyLabels(scene.split.labels[positions], observed, scene.num_classes, scene.split.truth)
        return Sampled(positions, noisy, short, facts={"repeated_images": len(positions) - len(np.unique(positions))})

    def _pools(self, scene: Scene) -> tuple[list[Labels], list[Labels]]:
        """Return true and false pool of every class, positions in the split."""
        pools: tuple[list[Labels], list[Labels]] = ([], [])
        for c in range(scene.num_classes):
            members = np.flatnonzero(scene.split.labels == c)
            members = members[scene.stream(self.kind, "pool", c).permutation(len(members))]
            for side, pool in zip(pools, np.split(members, [(len(members) + 1) // 2]), strict=True):
                side.append(pool)
        return pools

    def _none_left(self, scene: Scene, c: int) -> str:
        name, other = scene.class_names[c], scene.class_names[(c + 1) % scene.num_classes]
        if self.options.pattern == "pair":
            return (
                f'noise {self.kind}[pattern=pair]: class "{other}" has fewer than 2 images in {scene.split_name}, so '
                f'none can stand in for "{name}"; use pattern=symmetric, or give it more images.'
            )
        return (
            f'noise {self.kind}: no class but "{name}" has 2 images in {scene.split_name}, so none can stand in for '
            "its own; use symmetric noise, or more images."
        )


def _next(pools: Sequence[Labels], wanted: Labels) -> list[tuple[Labels, int]]:
    """Return the pool of the next class, and how many of its images each class needs."""
    return [(pools[(c + 1) % len(pools)], int(count)) for c, count in enumerate(wanted)]


def exchanged(pools: Sequence[Labels], wanted: Labels, stream: Stream) -> list[Labels]:
    """Draw images of other classes for every class, round by round from the pools.

    Args:
        pools: C vectors of images in random order, one for each class.
        wanted: how many images each class gets, [C].
        stream: where the draws come from.

    Returns:
        C vectors; that of a class is empty where no other class has an image. With s the largest number for which
        min(wanted, s) distinct images can be had by every class, the first s of each are distinct over all classes.
    """
    sizes = np.array([len(pool) for pool in pools])
    rounds = next(s for s in range(int(wanted.max(initial=0)), -1, -1) if _possible(np.minimum(wanted, s), sizes))
    left, due = sizes.copy(), np.minimum(wanted, rounds)
    found: list[list[int]] = [[] for _ in pools]
    for place in range(int(wanted.max(initial=0))):
        for c in stream.permutation(len(pools)):
            if place >= wanted[c] or sizes.sum() == sizes[c]:
                continue
            uniform = float(stream.uniform(1)[0])
            if place < rounds:
                giver = _giver(c, left, due, uniform)
                found[c].append(int(pools[giver][sizes[giver] - left[giver]]))
                left[giver] -= 1
                due[c] -= 1
            else:
                found[c].append(_again(c, pools, found[c], uniform))
    return [np.array(images, dtype=np.int64) for images in found]


def _possible(due: Labels, left: Labels) -> bool:
    """Return whether every class can have this many distinct images of other classes (Hall's condition)."""
    return bool(due.sum() <= left.sum() and (due <= np.where(due > 0, left.sum() - left, 0)).all())


def _giver(c: int, left: Labels, due: Labels, uniform: float) -> int:
    """Draw the class that gives class c its next image, by a uniformly drawn image of the others.

    But where another class is due as many images as are left outside its own, one of its own is taken, or it would
    later have to do with these; there is at most one such class.
    """
    bound = due + left == left.sum()
    bound[c] = False
    shares = np.where(bound & (due > 0), left, 0) if (bound & (due > 0)).any() else left.copy()
    shares[c] = 0
    ends = np.cumsum(shares)
    return int(np.searchsorted(ends, uniform * ends[-1], side="right"))


def _again(c: int, pools: Sequence[Labels], mine: Sequence[int], uniform: float) -> int:
    """Draw an image of another class that may be in use elsewhere.

    It is one that class c has itself only where it has all.
    """
    others = np.concatenate([pool for number, pool in enumerate(pools) if number != c])
    fresh = others[~np.isin(others, mine)]
    images = fresh if len(fresh) else others
    return int(images[int(uniform * len(images))])
