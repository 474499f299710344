"""Noise inside groups of similar classes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bench.contracts.noise import Scene
from bench.errors import BenchError
from bench.noise.class_map import Mapped


class Superclass(Mapped):
    """⌊r·n_c⌋ samples of every class get the next class of its superclass. The order is the stored one, around its end.

    As ELR (arXiv 2007.00151) does on CIFAR-100 with its 20 superclasses of five; there each sample is drawn by itself,
    so the rate varies, here it is exact. Nested over rates. A class that is alone in its group has no similar class to
    be mistaken for and stays clean, which lowers the realised rate of the set. Pitfalls: as `asymmetric` above one
    half; with s samples of a class, rates below 1/s flip none of them.
    """

    kind: ClassVar[str] = "superclass"

    def targets(self, scene: Scene) -> dict[int, tuple[int, ...]]:
        """Return the next class of the group, for every class that is not alone."""
        if scene.superclasses is None:
            raise BenchError(
                f"noise {self.kind} needs a data set with superclasses, which {scene.dataset} does not have; "
                "use class-map[file=PATH] with pairs of similar classes."
            )
        groups = np.asarray(scene.superclasses)
        members = [np.flatnonzero(groups == group).tolist() for group in np.unique(groups)]
        found: dict[int, tuple[int, ...]] = {
            start: (end,)
            for group in members
            if len(group) > 1
            for start, end in zip(group, [*group[1:], group[0]], strict=True)
        }
        if not found:
            raise BenchError(
                f"noise {self.kind} finds no superclass with two classes in {scene.dataset}; use another kind."
            )
        return found
