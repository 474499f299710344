"""Semantic map of CIFAR-10."""

from __future__ import annotations

from typing import ClassVar

from bench.contracts.noise import Scene
from bench.contracts.reading import plain
from bench.errors import BenchError
from bench.noise.class_map import Mapped

AUTOMOBILE, AIRPLANE = ("automobile", "car"), ("airplane", "plane")
PAIRS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("truck",), AUTOMOBILE),
    (("bird",), AIRPLANE),
    (("deer",), ("horse",)),
    (("cat",), ("dog",)),
    (("dog",), ("cat",)),
)


class Cifar10Map(Mapped):
    """truck → automobile, bird → airplane, deer → horse, cat ↔ dog: ⌊r·n_c⌋ of each of these five classes.

    The map of Patrini et al. (CVPR 2017, arXiv 1609.03683), as DivideMix (arXiv 2002.07394) and ELR (arXiv 2007.00151)
    use it. Classes are found by name ("automobile" or "car", "airplane" or "plane"), so it fits any data set that has
    all eight. Nested over rates.

    Pitfalls: five of ten classes are noisy, so the realised rate is r/2 on CIFAR-10. ELR flips class after class in the
    very array it reads, so that cats which became dogs are met again among the dogs and may flip back; here every label
    is read from the true ones. DivideMix draws ⌊r·N⌋ of the whole set and leaves the unmapped classes in place, so its
    rate of a class varies; here it is exact.
    """

    kind: ClassVar[str] = "cifar10-map"

    def targets(self, scene: Scene) -> dict[int, tuple[int, ...]]:
        """Return the five pairs by class number."""
        numbers = {plain(name): number for number, name in enumerate(scene.class_names)}
        wanted = dict.fromkeys(names for pair in PAIRS for names in pair)
        found = {names: numbers[name] for names in wanted for name in names if name in numbers}
        missing = [" or ".join(names) for names in wanted if names not in found]
        if missing:
            raise BenchError(
                f"noise {self.kind} needs the classes of CIFAR-10 and finds no {', '.join(missing)}; "
                "use class-map[file=PATH] with pairs of this data set."
            )
        return {found[start]: (found[end],) for start, end in PAIRS}
