"""Data sets, few-shot sampling and splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.registry import Registry, Row

if TYPE_CHECKING:
    from bench.data.base import Dataset

DATASETS: Registry[type[Dataset]] = Registry(
    "dataset",
    "noisy_prompt_bench.datasets",
    "bench.data.base:Dataset",
    (
        Row("digits", "bench.data.digits:Digits", "1,797 real handwritten digits of 8 x 8 pixels, 10 classes"),
        Row("letters", "bench.data.letters:Letters", "rendered letters in held-out fonts, 26 classes"),
        Row("caltech101", "bench.data.coop:Caltech101", "objects, 100 classes, CoOp's split"),
        Row("oxfordpets", "bench.data.coop:OxfordPets", "cats and dogs, 37 breeds", aliases=("oxford_pets",)),
        Row("flowers102", "bench.data.coop:Flowers102", "flowers, 102 classes", aliases=("oxford_flowers",)),
        Row("dtd", "bench.data.coop:DTD", "textures, 47 classes", aliases=("describabletextures",)),
        Row("eurosat", "bench.data.coop:EuroSAT", "land use from satellites, 10 classes"),
        Row("ucf101", "bench.data.coop:UCF101", "actions, 101 classes, middle frames of videos"),
        Row("stanfordcars", "bench.data.coop:StanfordCars", "cars, 196 models", aliases=("stanford_cars",)),
        Row("sun397", "bench.data.coop:SUN397", "scenes, 397 classes"),
        Row("fgvcaircraft", "bench.data.aircraft:FGVCAircraft", "aircraft, 100 variants", aliases=("fgvc_aircraft",)),
        Row("food101", "bench.data.coop:Food101", "dishes, 101 classes", aliases=("food-101",)),
        Row(
            "food101n",
            "bench.data.food101n:Food101N",
            "dishes with labels of the web, 101 classes",
            aliases=("food-101n",),
        ),
        Row("cifar10", "bench.data.cifar:CIFAR10", "10 classes at 32 x 32 pixels, human labels of CIFAR-10N"),
        Row("cifar100", "bench.data.cifar:CIFAR100", "100 classes at 32 x 32 pixels, human labels of CIFAR-100N"),
        Row("imagenet", "bench.data.imagenet:ImageNet", "1,000 classes under CLIP's names"),
        Row("folder", "bench.data.folder:Folder", "your own images: folder:PATH, by folders of classes or a CSV"),
    ),
)
