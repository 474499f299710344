"""Data sets with a fixed split by the authors of CoOp (Zhou et al., 2022, arXiv:2109.01134).

Mode `coop` is their split file: {"train" | "val" | "test": [[path, label, class name], ...]}. Mode `tv` is what
`bench.data.sets.torchvision_sets` makes of torchvision's files. Their test sets differ, so numbers of the two modes are
never compared.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from bench.contracts.dataset import SplitName
from bench.data.catalogue import split_digest
from bench.data.files.indexed import Index, Indexed, IndexedSplit
from bench.data.sets.torchvision_sets import torchvision_index
from bench.errors import BenchError

MOST_BYTES = 2**28  # of a split file; CoOp's have at most some millions

KEYS: dict[SplitName, str] = {"train": "train", "validation": "val", "test": "test"}


class Coop(Indexed):
    """Data set with a split file of CoOp, or with torchvision's splits."""

    modes: ClassVar[tuple[str, ...]] = ("coop", "tv")

    def read(self) -> Index:
        """Read the index of the mode."""
        return split_file_index(self) if self.mode == "coop" else torchvision_index(self)


def split_file_index(dataset: Indexed) -> Index:
    """Build the index that CoOp's split file describes.

    Raises:
        BenchError: the file is not the one expected or not well formed.
    """
    split = dataset.entry.split
    assert split is not None  # noqa: S101 - every data set of this module has one
    file = dataset.place(split.name)
    if file is None:
        raise BenchError(f'dataset {dataset.full_name}: "{dataset.folder}" has no "{split.name}".')
    content = read_split_file(file, split.sha256)
    first = PurePosixPath(split.images) / content["train"][0][0]
    root = dataset.base(str(first)) or dataset.base(split.images) or dataset.folder
    classes = {label: name for part in content.values() for _, label, name in part}
    parts = {
        name: IndexedSplit.of(
            root, [(str(PurePosixPath(split.images) / path), label) for path, label, _ in content[key]]
        )
        for name, key in KEYS.items()
    }
    return Index(tuple(classes[label] for label in range(len(classes))), parts)


def read_split_file(file: Path, sha256: str = "") -> dict[str, list[tuple[str, int, str]]]:
    """Read a split file: [path, label, class name] of every image under "train", "val" and "test".

    Args:
        file: JSON, also compressed with gzip.
        sha256: what `split_digest` must give, or empty where it is not known.

    Raises:
        BenchError: the file cannot be read, is another one, or is not well formed.
    """
    try:
        content = json.loads(_bytes_of(file))
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise BenchError(f'split file "{file}" cannot be read: {reason}; fetch it again.') from error
    found = split_digest(content)
    if sha256 and found != sha256:
        raise BenchError(
            f'split file "{file}" is not CoOp\'s: its content has sha256 {found}, expected {sha256}; fetch it again.'
        )
    problem = _malformed(content)
    if problem:
        raise BenchError(f'split file "{file}" is not as CoOp writes it: {problem}; fetch it again.')
    return {key: [(path, label, name) for path, label, name in content[key]] for key in KEYS.values()}


def _bytes_of(file: Path) -> bytes:
    """Read a file, unpacked where it is compressed; raises ValueError where that gives more than `MOST_BYTES`."""
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it holds more than {MOST_BYTES:,} bytes")
    return content


def _malformed(content: Any) -> str:
    """Return what is wrong with the content of a split file; empty where it is well formed."""
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in KEYS.values()):
        return 'it has no lists "train", "val" and "test"'
    classes: dict[int, str] = {}
    for row in (row for key in KEYS.values() for row in content[key]):
        if not isinstance(row, list) or [type(value) for value in row] != [str, int, str]:
            return f"{json.dumps(row)} is no path, label and class name"
        path, label, name = row
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            return f'the path "{path}" leaves the folder of images'
        if classes.setdefault(label, name) != name:
            return f'label {label} is both "{classes[label]}" and "{name}"'
    if not content["train"] or sorted(classes) != list(range(len(classes))):
        return "its labels are not 0, 1, 2 and so on"
    return ""


class Caltech101(Coop):
    """Caltech101, 100 classes. The folders BACKGROUND_Google and Faces_easy are dropped, four names are singular.

    Mode `tv` keeps Faces_easy, so it has 101 classes.
    """

    name = "caltech101"


class OxfordPets(Coop):
    """Oxford-IIIT Pet, 37 breeds: the official trainval split in 80/20, the official test split."""

    name = "oxfordpets"


class Flowers102(Coop):
    """Oxford Flowers, 102 classes: 50/20/30 of all images per class.

    Mode `tv` has the official splits, 1,020 images to train on and 6,149 to test.
    """

    name = "flowers102"


class DTD(Coop):
    """Describable Textures, 47 classes: 50/20/30 of all images per class.

    Mode `tv` has the first of the ten official partitions.
    """

    name = "dtd"


class EuroSAT(Coop):
    """EuroSAT in RGB, 10 land-use classes seen from satellites: 50/20/30 per class, class names written out."""

    name = "eurosat"


class StanfordCars(Coop):
    """Stanford Cars, 196 models: the official train split in 80/20, the official test split, the year first."""

    name = "stanfordcars"


class SUN397(Coop):
    """SUN397, 397 scenes: the official training images of partition 1 in 80/20, and its test images.

    Mode `tv` splits all 108,754 images, because torchvision has no partitions.
    """

    name = "sun397"


class Food101(Coop):
    """Food-101, 101 dishes: 50/20/30 of all images per class, whatever the official split.

    CoOp's test split therefore holds official training images, which nobody has cleaned. Mode `tv` has the official
    test split.
    """

    name = "food101"


class UCF101(Coop):
    """UCF101, 101 actions, as the middle frame of every video. Official first partition, its training part in 80/20.

    There is no mode `tv`: torchvision reads the videos.
    """

    name = "ucf101"
    modes: ClassVar[tuple[str, ...]] = ("coop",)
