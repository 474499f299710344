"""Miniature copies of the data sets' layouts: a few classes, images of one colour that says which image it is."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from bench.data import catalogue

Rows = dict[str, list[tuple[str, int, str]]]
Sizes = tuple[int, int, int, int]


def colour(name: str) -> tuple[int, int, int]:
    """The colour of the image of this name."""
    value = hashlib.sha256(name.encode()).digest()
    return value[0], value[1], value[2]


def picture(root: Path, name: str) -> None:
    """An image of one colour, stored without loss whatever its name ends in."""
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (5, 4), colour(name)).save(file, format="PNG")


def pictures(root: Path, names: Sequence[str]) -> None:
    for name in names:
        picture(root, name)


def shown(image: Image.Image) -> tuple[int, int, int]:
    """The colour of an image of one colour."""
    pixels = np.asarray(image).reshape(-1, 3)
    assert (pixels == pixels[0]).all()
    return int(pixels[0, 0]), int(pixels[0, 1]), int(pixels[0, 2])


def change(patch: pytest.MonkeyPatch, name: str, **changes: Any) -> catalogue.CatalogueEntry:
    """Give a data set another record than the catalogue's."""
    true = catalogue.entry
    made = true(name).model_copy(update=changes)
    patch.setattr(catalogue, "entry", lambda asked: made if asked == name else true(asked))
    return made


def sizes(mode: str, classes: int, train: int, validation: int, test: int) -> dict[str, catalogue.Sizes]:
    return {mode: catalogue.Sizes(classes=classes, train=train, validation=validation, test=test)}


# --- CoOp's split files ---------------------------------------------------------------------------------------------

NAMES: Mapping[str, Callable[[int, int], str]] = {
    "caltech101": lambda c, i: f"{['Faces', 'Leopards', 'anchor'][c]}/image_{i:04d}.jpg",
    "oxfordpets": lambda c, i: f"{['Abyssinian', 'beagle', 'pug'][c]}_{i}.jpg",
    "flowers102": lambda c, i: f"image_{c * 50 + i:05d}.jpg",
    "dtd": lambda c, i: f"{['banded', 'blotchy', 'woven'][c]}/x_{i:04d}.jpg",
    "eurosat": lambda c, i: f"{['AnnualCrop', 'Forest', 'SeaLake'][c]}/x_{i}.jpg",
    "stanfordcars": lambda c, i: f"{'cars_test' if i > 6 else 'cars_train'}/{c * 50 + i:05d}.jpg",
    "sun397": lambda c, i: f"{['a/abbey', 'c/church/outdoor', 'y/yard'][c]}/sun_{i}.jpg",
    "food101": lambda c, i: f"{['apple_pie', 'pho', 'waffles'][c]}/{i}.jpg",
    "ucf101": lambda c, i: f"{['Archery', 'Yo_Yo', 'Mixing'][c]}/v_{i}.jpg",
}


def split_file(name: str) -> Rows:
    """Four training, two validation and three test images of each of three classes, in no order."""
    rows: Rows = {"train": [], "val": [], "test": []}
    for label in (2, 0, 1):
        for number in range(1, 10):
            part = "train" if number < 5 else "val" if number < 7 else "test"
            rows[part].append((NAMES[name](label, number), label, f"class_{label}"))
    return rows


def coop_layout(folder: Path, name: str, patch: pytest.MonkeyPatch) -> Rows:
    """The folder as CoOp describes it, and a record that fits it."""
    split = catalogue.entry(name).split
    assert split is not None
    rows = split_file(name)
    fits = split.model_copy(update={"sha256": catalogue.split_digest(rows)})
    change(patch, name, sizes=sizes("coop", 3, 12, 6, 9), split=fits)
    for path, _, _ in (row for part in rows.values() for row in part):
        picture(folder, f"{split.images}/{path}" if split.images else path)
    (folder / split.name).write_text(json.dumps(rows))
    return rows


# --- torchvision's layouts ------------------------------------------------------------------------------------------


def tv_layout(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Sizes:
    """The files that torchvision's class reads, with a record that fits them; returns classes and sizes of the splits.

    Files are made in descending order of their names, so that a listing is not sorted by chance.
    """
    made = LAYOUTS[name](folder, patch)
    change(patch, name, sizes=sizes("tv", *made))
    return made


def _caltech101(folder: Path, patch: pytest.MonkeyPatch) -> Sizes:
    for category in ("anchor", "Faces_easy", "Faces", "BACKGROUND_Google"):
        pictures(folder, [f"101_ObjectCategories/{category}/image_{i:04d}.jpg" for i in range(10, 0, -1)])
    return 3, 15, 6, 9


def _oxfordpets(folder: Path, patch: pytest.MonkeyPatch) -> Sizes:
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for number, breed in enumerate(("Abyssinian", "american_bulldog", "pug"), start=1):
        for i in range(8, 0, -1):
            picture(folder, f"images/{breed}_{i}.jpg")
            lists["test" if i > 5 else "trainval"].append(f"{breed}_{i} {number} 1 1")
    for part, lines in lists.items():
        _text(folder / "annotations" / f"{part}.txt", lines)
    return 3, 12, 3, 9


def _flowers102(folder: Path, patch: pytest.MonkeyPatch) -> Sizes:
    import torchvision

    kind = torchvision.datasets.Flowers102
    pictures(folder, [f"jpg/image_{i:05d}.jpg" for i in range(18, 0, -1)])
    # scipy writes the time into the heading, and torchvision checks the md5
    for file, content in (
        ("imagelabels.mat", {"labels": (np.arange(18) % 3) + 1}),
        ("setid.mat", {"trnid": np.arange(1, 4), "valid": np.arange(4, 7), "tstid": np.arange(7, 19)}),
    ):
        savemat(folder / file, content)
        raw = (folder / file).read_bytes()
        (folder / file).write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + raw[116:])
    names = {key: kind._file_dict[key][0] for key in ("image", "label", "setid")}
    sums = {key: hashlib.md5((folder / name).read_bytes()).hexdigest() for key, name in names.items() if key != "image"}
    patch.setattr(kind, "_file_dict", {key: (name, sums.get(key, "")) for key, name in names.items()})
    patch.setattr(kind, "classes", ["pink primrose", "sweet pea", "pink-yellow dahlia?"])
    return 3, 3, 3, 12


def _dtd(folder: Path, patch: pytest.MonkeyPatch) -> Sizes:
    for start, part in enumerate(("train", "val", "test")):
        lines = [f"{texture}/{texture}_{3 * start + i:04d}.jpg" for i in range(3) for texture in ("woven", "banded")]
        pictures(folder, [f"images/{line}" for line in lines])
        _text(folder / "labels" / f"{part}1.txt", lines)
    return 2, 6, 6, 6


def _eurosat(folder: Path, patch: pytest.MonkeyPatch) -> Sizes:
    for use in ("SeaLake", "River", "AnnualCrop"):
        pictures(folder, [f"2750/{use}/{use}_{i}.jpg" for i in range(20, 0, -1)])
    return 3, 30, 12, 18


def _stanfordcars(folder: Path, patch: pytest.MonkeyPatch) -> Sizes:
    (folder / "devkit").mkdir(parents=True)
    kinds = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], dtype=object)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": kinds})
    for part, count, place in (("train", 20, "devkit/cars_train_annos"), ("test", 6, "cars_test_annos_withlabels")):
        rows = np.array(
            [(f"{i:05d}.jpg", i % 2 + 1) for i in range(1, count + 1)], dtype=[("fname", object), ("class", object)]
        )
        savemat(folder / f"{place}.mat", {"annotations": rows})
        pictures(folder, [f"cars_{part}/{i:05d}.jpg" for i in range(count, 0, -1)])
    return 2, 16, 4, 6


def _sun397(folder: Path, patch: pytest.MonkeyPatch) -> Sizes:
    for scene in ("y/yard", "c/church/outdoor", "a/abbey"):
        pictures(folder, [f"SUN397/{scene}/sun_{scene[0]}{i:02d}.jpg" for i in range(10, 0, -1)])
    _text(folder / "SUN397" / "ClassName.txt", ["/a/abbey", "/c/church/outdoor", "/y/yard"])
    return 3, 15, 6, 9


def _food101(folder: Path, patch: pytest.MonkeyPatch) -> Sizes:
    meta: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for dish in ("waffles", "apple_pie", "pho"):
        meta["train"][dish] = [f"{dish}/{i}" for i in range(15, 5, -1)]
        meta["test"][dish] = [f"{dish}/{i}" for i in range(5)]
        pictures(folder, [f"images/{name}.jpg" for part in meta.values() for name in part[dish]])
    for part, table in meta.items():
        _text(folder / "meta" / f"{part}.json", [json.dumps(table)])
    return 3, 24, 6, 15


def _fgvcaircraft(folder: Path, patch: pytest.MonkeyPatch) -> Sizes:
    variants = ("737-200", "707-320", "Yak-42")
    _text(folder / "variants.txt", variants)
    for start, part in enumerate(("train", "val", "test")):
        numbers = [f"{1000 * start + i:07d}" for i in (5, 3, 1, 4, 2, 0)]
        _text(
            folder / f"images_variant_{part}.txt",
            [f"{number} {variants[int(number) % 3]}" for number in numbers],
        )
        pictures(folder, [f"images/{number}.jpg" for number in numbers])
    return 3, 6, 6, 6


LAYOUTS: Mapping[str, Callable[[Path, pytest.MonkeyPatch], Sizes]] = {
    "caltech101": _caltech101,
    "oxfordpets": _oxfordpets,
    "flowers102": _flowers102,
    "dtd": _dtd,
    "eurosat": _eurosat,
    "stanfordcars": _stanfordcars,
    "sun397": _sun397,
    "food101": _food101,
    "fgvcaircraft": _fgvcaircraft,
}


def cifar_layout(folder: Path, classes: Sequence[str], patch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The pickles of CIFAR-10 or CIFAR-100 with 20 training and 3 test images per class; returns both sets' labels."""
    import torchvision

    ten = len(classes) == 10
    kind = torchvision.datasets.CIFAR10 if ten else torchvision.datasets.CIFAR100
    rng, labels = np.random.default_rng(0), {}
    for part, count, files in (("train", 20, kind.train_list), ("test", 3, kind.test_list)):
        labels[part] = rng.permutation(np.repeat(np.arange(len(classes)), count))
        pixels = rng.integers(0, 256, (len(labels[part]), 3072), dtype=np.uint8)
        shares = np.array_split(np.arange(len(pixels)), len(files))
        listed = []
        for (file, _), share in zip(files, shares, strict=True):
            key = "labels" if ten else "fine_labels"
            listed.append([file, _pickled(folder / file, {"data": pixels[share], key: labels[part][share].tolist()})])
        patch.setattr(kind, f"{part}_list", listed)
    meta = dict(kind.meta)
    meta["md5"] = _pickled(folder / meta["filename"], {meta["key"]: list(classes)})
    patch.setattr(kind, "meta", meta)
    return labels["train"], labels["test"]


def _pickled(file: Path, content: Any) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(content))
    return hashlib.md5(file.read_bytes()).hexdigest()


def _text(file: Path, lines: Sequence[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))
