"""CIFAR-10 and CIFAR-100, with human label sets where their files exist."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.contracts.dataset import Split, SplitName
from bench.data.files.catalogued import Catalogued
from bench.data.sets.cifar_n import CIFAR10N, CIFAR100N, human_labels
from bench.data.splits import ArrayImages, stratified
from bench.errors import BenchError

# The 20 superclasses of CIFAR-100 (Krizhevsky, 2009), five classes each.
SUPERCLASSES = (
    "beaver dolphin otter seal whale",
    "aquarium_fish flatfish ray shark trout",
    "orchid poppy rose sunflower tulip",
    "bottle bowl can cup plate",
    "apple mushroom orange pear sweet_pepper",
    "clock keyboard lamp telephone television",
    "bed chair couch table wardrobe",
    "bee beetle butterfly caterpillar cockroach",
    "bear leopard lion tiger wolf",
    "bridge castle house road skyscraper",
    "cloud forest mountain plain sea",
    "camel cattle chimpanzee elephant kangaroo",
    "fox porcupine possum raccoon skunk",
    "crab lobster snail spider worm",
    "baby boy girl man woman",
    "crocodile dinosaur lizard snake turtle",
    "hamster mouse rabbit shrew squirrel",
    "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "bicycle bus motorcycle pickup_truck train",
    "lawn_mower rocket streetcar tank tractor",
)


class Cifar(Catalogued):
    """Official training and test images. A tenth of every class's training images is held out for validation.

    Images are called by their place in torchvision's order ("train/00042"), which is the order of the human labels.
    """

    torchvision: ClassVar[str]
    files: ClassVar[str]
    labels: ClassVar[str]
    sets: ClassVar[Mapping[str, str]]

    def load(self, split: SplitName) -> Split:
        """Load one split. Training images come with the human label sets if their file exists."""
        pixels, labels = self._arrays(split != "test")
        index = np.arange(len(labels)) if split == "test" else self._held[split]
        part = "test" if split == "test" else "train"
        annotations = {} if split == "test" else {name: found[index] for name, found in self._human.items()}
        names = [f"{part}/{position:05d}" for position in index]
        return Split(ArrayImages(pixels[index]), labels[index], names, annotations)

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override] # known once the files are read
        """C names in the order of the labels."""
        return tuple(self._official[False].classes)

    @cached_property
    def _official(self) -> dict[bool, Any]:
        """Torchvision's training (True) and test (False) images. It checks every file before it reads it."""
        from torchvision import datasets

        absent = self.absent()
        if absent:
            raise BenchError(absent[0])
        base = self.base(self.files)
        try:
            return {train: getattr(datasets, self.torchvision)(base, train=train) for train in (True, False)}
        except (RuntimeError, OSError, ValueError, LookupError, EOFError) as error:
            raise self.unreadable(error) from error

    def _arrays(self, train: bool) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        images = self._official[train]
        return images.data, np.array(images.targets, dtype=np.int64)

    @cached_property
    def _held(self) -> dict[SplitName, NDArray[np.int64]]:
        return stratified(self._arrays(True)[1], self.name, (0.9, 0.1))

    @cached_property
    def _human(self) -> dict[str, NDArray[np.int64]]:
        file = self.place(self.labels)
        return human_labels(file, self.sets, self._arrays(True)[1], len(self.class_names)) if file else {}


class CIFAR10(Cifar):
    """CIFAR-10, 10 classes of 32 x 32 pixels; with CIFAR-10N's five label sets as annotations."""

    name = "cifar10"
    torchvision, files, labels, sets = "CIFAR10", "cifar-10-batches-py", "CIFAR-10_human.pt", CIFAR10N


class CIFAR100(Cifar):
    """CIFAR-100, 100 classes of 32 x 32 pixels in 20 superclasses. CIFAR-100N's label set is the annotation "fine"."""

    name = "cifar100"
    torchvision, files, labels, sets = "CIFAR100", "cifar-100-python", "CIFAR-100_human.pt", CIFAR100N

    @cached_property
    def superclasses(self) -> tuple[int, ...]:  # type: ignore[override] # known once the files are read
        """Superclass of each class, 0 to 19."""
        group = {name: number for number, names in enumerate(SUPERCLASSES) for name in names.split()}
        return tuple(group[name] for name in self.class_names)
