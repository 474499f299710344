"""Open-set noise: images that belong to none of the classes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bench import dataset_name
from bench.contracts.noise import (
    OUTSIDE,
    Foreign,
    Labels,
    Noise,
    NoiseOptions,
    NoisyLabels,
    Sampled,
    Scene,
    from_dataset,
)
from bench.contracts.reading import plain
from bench.errors import BenchError
from bench.noise.flip import floor_share, leading


class OpenSet(Noise):
    """⌊r·N⌋ samples keep their observed label and get an image from another data set. Its class is none of ours.

    Wang et al., "Iterative Learning with Open-set Noisy Labels", CVPR 2018 (arXiv 1804.00092), who fill CIFAR-10 with
    images of CIFAR-100 and ImageNet32. Foreign images come from the training split of `source`, each at most once, and
    only from classes whose name (lower case, `_` for a space) is none of this data set's. The true label is -1, so that
    no method can recover it. Nested over rates: the samples and their images stand in private orders; validation takes
    its images from the other end of the training scene's order, so that the two never share one.

    Pitfalls: names are compared, not meanings ("car" and "automobile" pass for different classes); a source that looks
    different throughout (other size, other colours) is found by its style, not by its content; the number of clean
    images per class varies, as with `symmetric`.
    """

    kind: ClassVar[str] = "open-set"

    class Options(NoiseOptions):
        """Source of foreign images."""

        source: str = from_dataset("letters", "data set whose training images stand in")

    options: OpenSet.Options

    def draw(self, scene: Scene, rate: float) -> Sampled:
        """Draw the usual few shots, and exchange some images for foreign ones."""
        source = dataset_name.canonical(self.options.source)
        guests = self._guests(scene, source)
        positions, short = scene.sample()
        observed = scene.split.labels[positions]
        chosen = leading(scene.stream(self.kind).permutation(len(positions)), rate)
        self._enough(scene, rate, source, len(chosen), len(guests))
        true, foreign = observed.copy(), np.full(len(positions), -1, dtype=np.int64)
        true[chosen] = OUTSIDE
        foreign[chosen] = guests[: len(chosen)]
        noisy = NoisyLabels(true, observed.copy(), scene.num_classes, scene.split.truth)
        return Sampled(positions, noisy, short, Foreign(source, foreign))

    def _guests(self, scene: Scene, source: str) -> Labels:
        """Return positions of foreign images in the source's training split, in the order they are used."""
        if scene.open_dataset is None:
            raise BenchError(f"noise {self.kind} needs another data set, and none can be opened here.")
        if dataset_name.base(source) == dataset_name.base(scene.dataset) != dataset_name.FOLDER:
            raise BenchError(f"noise {self.kind}: source {source} is the data set itself; name another one.")
        other = scene.open_dataset(source)
        ours = {plain(name) for name in scene.class_names}
        outside = np.array([plain(name) not in ours for name in other.class_names])
        found = np.flatnonzero(outside[other.splits["train"].labels])
        found = found[scene.origin.stream(self.kind, "images").permutation(len(found))]
        return found if scene.origin is scene else found[::-1]

    def _enough(self, scene: Scene, rate: float, source: str, count: int, found: int) -> None:
        taken = 0 if scene.origin is scene else floor_share(rate, len(scene.origin.sample()[0]))
        if count + taken > found:
            split = "" if not taken else f" and {taken} for training"
            raise BenchError(
                f"noise {self.kind}: rate {rate:g} needs {count} foreign images{split}, and "
                f"{dataset_name.shown(source)} has {found} of classes that {scene.dataset} lacks; "
                "use a larger source or a lower rate."
            )
