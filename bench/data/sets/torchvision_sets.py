"""Mode `tv`: torchvision's files, read by its classes, in official splits or drawn ones where none exist.

Without an official test split every class is split 50/20/30; with one but without validation images, 80/20 of the
official training images; by `bench.data.splits.stratified` over the images in the order of their names, because the
order of a directory listing differs from machine to machine. Class names are written as CoOp writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from bench.contracts.dataset import SPLITS, SplitName
from bench.data.files.indexed import Index, Indexed, IndexedSplit
from bench.data.splits import stratified
from bench.errors import BenchError

Pairs = list[tuple[str, int]]
CALTECH: Final = {"Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike", "airplanes": "airplane"}
EUROSAT: Final = {
    "AnnualCrop": "Annual Crop Land",
    "HerbaceousVegetation": "Herbaceous Vegetation Land",
    "Highway": "Highway or Road",
    "Industrial": "Industrial Buildings",
    "Pasture": "Pasture Land",
    "PermanentCrop": "Permanent Crop Land",
    "Residential": "Residential Buildings",
    "SeaLake": "Sea or Lake",
}


def year_first(name: str) -> str:
    """Move the year to the front: "Acura TL Sedan 2012" becomes "2012 Acura TL Sedan"."""
    words, _, year = name.rpartition(" ")
    return f"{year} {words}"


def inner_first(name: str) -> str:
    """Put the inner part first: "church/outdoor" becomes "outdoor church"."""
    return " ".join(reversed(name.split("/")))


@dataclass(frozen=True)
class TorchvisionQuery:
    """How to query torchvision's class of a data set.

    Attributes:
        folder: what the class looks for under its root; "" where the data set's folder is the root.
        marker: a path in that folder that must be there.
        official: torchvision's name of each split that it has.
        named: a class name as CoOp writes it.
    """

    folder: str
    marker: str
    official: Mapping[SplitName, str] = field(default_factory=dict)
    named: Callable[[str], str] = str


_ALL: Final[Mapping[SplitName, str]] = {"train": "train", "validation": "val", "test": "test"}
_TWO: Final[Mapping[SplitName, str]] = {"train": "train", "test": "test"}
SOURCES: Final[Mapping[str, TorchvisionQuery]] = {
    "caltech101": TorchvisionQuery(
        "caltech101", "101_ObjectCategories/BACKGROUND_Google", named=lambda name: CALTECH.get(name, name)
    ),
    "oxfordpets": TorchvisionQuery(
        "oxford-iiit-pet",
        "annotations",
        {"train": "trainval", "test": "test"},
        lambda name: name.lower().replace(" ", "_"),
    ),
    "flowers102": TorchvisionQuery("flowers-102", "setid.mat", _ALL, lambda name: name.rstrip("?")),
    "dtd": TorchvisionQuery("dtd/dtd", "labels", _ALL),
    "eurosat": TorchvisionQuery("eurosat", "2750", named=lambda name: EUROSAT.get(name, name)),
    "stanfordcars": TorchvisionQuery("stanford_cars", "devkit", _TWO, year_first),
    "sun397": TorchvisionQuery("", "SUN397", named=inner_first),
    "food101": TorchvisionQuery("food-101", "meta", _TWO),
    "fgvcaircraft": TorchvisionQuery("fgvc-aircraft-2013b/data", "variants.txt", _ALL),
}


def torchvision_index(dataset: Indexed) -> Index:
    """Build the index of a data set's `tv` mode.

    Raises:
        BenchError: torchvision cannot read the files.
    """
    source = SOURCES[dataset.name]
    base = dataset.base(source.marker)
    if base is None:
        raise BenchError(
            f'dataset {dataset.full_name}: "{dataset.folder}" has no {source.marker}, which torchvision needs; '
            "fetch its files again."
        )
    found: dict[SplitName, Pairs] = {}
    with _torchvision_root(base, source.folder) as root:
        for split, official in (source.official or {"train": ""}).items():
            classes, pairs = _asked(dataset, root, official)
            below = root / source.folder
            found[split] = [(Path(path).relative_to(below).as_posix(), label) for path, label in pairs]
    if "test" not in found:
        found = _drawn(dataset.name, found["train"], (0.5, 0.2))
    elif "validation" not in found:
        found |= {**_drawn(dataset.name, found["train"], (0.8, 0.2)), "test": found["test"]}
    return Index(tuple(map(source.named, classes)), {split: IndexedSplit.of(base, found[split]) for split in SPLITS})


def _drawn(name: str, pairs: Pairs, shares: tuple[float, float]) -> dict[SplitName, Pairs]:
    """Draw a stratified split of images in the order of their names."""
    ordered = sorted(pairs)
    labels = np.array([label for _, label in ordered], dtype=np.int64)
    return {split: [ordered[i] for i in index] for split, index in stratified(labels, name, shares).items()}


@contextmanager
def _torchvision_root(base: Path, folder: str) -> Iterator[Path]:
    """Return a root under which torchvision's class finds `base` as `folder`.

    That is its parent, or one made of a link.
    """
    parts = PurePosixPath(folder).parts
    if not parts or base.absolute().parts[-len(parts) :] == parts:
        yield base.absolute().parents[len(parts) - 1] if parts else base.absolute()
        return
    with TemporaryDirectory() as made:
        link = Path(made, folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            link.symlink_to(base.absolute(), target_is_directory=True)
        except OSError as error:
            raise BenchError(
                f'"{base}" cannot be linked as "{folder}", where torchvision looks for it: {error.strerror}; '
                f'rename it to "{parts[-1]}".'
            ) from error
        yield Path(made)


def _asked(dataset: Indexed, root: Path, official: str) -> tuple[Sequence[str], Pairs]:
    """Return class names, paths and labels from torchvision's class. No image is opened."""
    import torchvision
    from scipy.io.matlab import MatReadError

    kind = getattr(torchvision.datasets, dataset.entry.torchvision)
    split = {"split": official} if official else {}
    try:
        if dataset.name == "caltech101":
            return _caltech(kind(root), root)
        if dataset.name == "oxfordpets":
            pets = kind(root, **split)
            return pets.classes, list(zip(map(str, pets._images), pets._labels, strict=True))  # noqa: SLF001 - no loader
        asked = kind(root, **split, loader=str)
        return asked.classes, [asked[position] for position in range(len(asked))]
    except (RuntimeError, OSError, ValueError, LookupError, TypeError, AttributeError, MatReadError) as error:
        raise dataset.unreadable(error) from error


def _caltech(images: Any, root: Path) -> tuple[Sequence[str], Pairs]:
    """List the images of Caltech101.

    Torchvision numbers the images of a folder from 1, and has no public list of them.
    """
    folder = root / "caltech101" / "101_ObjectCategories"
    numbered = zip(images.y, images.index, strict=True)
    return images.categories, [(str(folder / images.categories[y] / f"image_{i:04d}.jpg"), y) for y, i in numbered]
