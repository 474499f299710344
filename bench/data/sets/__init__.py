"""Registered data sets, one file for each or for a family. `bench.contracts.dataset` is the contract."""

from __future__ import annotations

from bench.rows import Row

ROWS = (
    Row(
        "digits",
        "bench.data.sets.digits:Digits",
        "1,797 real handwritten digits of 8 x 8 pixels, 10 classes",
        classes=10,
        images=898,
    ),
    Row(
        "letters",
        "bench.data.sets.letters:Letters",
        "rendered letters in held-out fonts, 26 classes",
        classes=26,
        images=832,
    ),
    Row(
        "cued-letters",
        "bench.data.sets.cued_letters:CuedLetters",
        "two rendered letters over each other, of which a colour says which is named, 10 classes",
        classes=10,
        images=320,
    ),
    Row("caltech101", "bench.data.sets.coop:Caltech101", "objects, 100 classes, CoOp's split"),
    Row("oxfordpets", "bench.data.sets.coop:OxfordPets", "cats and dogs, 37 breeds", aliases=("oxford_pets",)),
    Row("flowers102", "bench.data.sets.coop:Flowers102", "flowers, 102 classes", aliases=("oxford_flowers",)),
    Row("dtd", "bench.data.sets.coop:DTD", "textures, 47 classes", aliases=("describabletextures",)),
    Row("eurosat", "bench.data.sets.coop:EuroSAT", "land use from satellites, 10 classes"),
    Row("ucf101", "bench.data.sets.coop:UCF101", "actions, 101 classes, middle frames of videos"),
    Row("stanfordcars", "bench.data.sets.coop:StanfordCars", "cars, 196 models", aliases=("stanford_cars",)),
    Row("sun397", "bench.data.sets.coop:SUN397", "scenes, 397 classes"),
    Row("fgvcaircraft", "bench.data.sets.aircraft:FGVCAircraft", "aircraft, 100 variants", aliases=("fgvc_aircraft",)),
    Row("food101", "bench.data.sets.coop:Food101", "dishes, 101 classes", aliases=("food-101",)),
    Row(
        "food101n",
        "bench.data.sets.food101n:Food101N",
        "dishes with labels of the web, 101 classes",
        aliases=("food-101n",),
    ),
    Row("cifar10", "bench.data.sets.cifar:CIFAR10", "10 classes at 32 x 32 pixels, human labels of CIFAR-10N"),
    Row("cifar100", "bench.data.sets.cifar:CIFAR100", "100 classes at 32 x 32 pixels, human labels of CIFAR-100N"),
    Row("imagenet", "bench.data.sets.imagenet:ImageNet", "1,000 classes under CLIP's names"),
    Row("folder", "bench.data.own.folder:Folder", "your own images: folder:PATH, by folders of classes or a CSV"),
)
