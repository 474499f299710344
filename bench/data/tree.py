"""A user's images in folders by class: `train/CLASS/`, `validation/CLASS/`, `test/CLASS/`, or `CLASS/` alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bench.data.base import SplitName
from bench.data.parts import GIVEN, SPLIT_NAMES, Part
from bench.errors import BenchError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


def read_tree(root: Path) -> dict[SplitName, Part]:
    """The splits that are there as folders; all images as "train" where the classes lie in the root.

    Raises:
        BenchError: there is no class, a class has no image, or an image of a split is in no class.
    """
    found = _split_folders(root)
    if not found:
        return {"train": _part(root, root)}
    if "train" not in found:
        raise BenchError(f'"{root}" has a folder {next(iter(found.values())).name} and no folder train; add it.')
    return {split: _part(root, folder) for split, folder in found.items()}


def read_beside(root: Path) -> dict[SplitName, Part]:
    """The validation and test splits that are there as folders, beside a list of training images.

    Raises:
        BenchError: as `read_tree`.
    """
    return {split: _part(root, folder) for split, folder in _split_folders(root).items() if split != "train"}


def _split_folders(root: Path) -> dict[SplitName, Path]:
    """Folders with the name of a split that have folders inside: one without may be a class of that name."""
    found: dict[SplitName, Path] = {}
    for folder in _folders(root):
        split = SPLIT_NAMES.get(folder.name.casefold())
        if split is None or not _folders(folder):
            continue
        if split in found:
            both = f"{found[split].name} and {folder.name}"
            raise BenchError(f'"{root}" has two folders of the {split} split, {both}; remove one.')
        found[split] = folder
    return found


def _part(root: Path, folder: Path) -> Part:
    """The images of the class folders in a folder."""
    names, labels = [], []
    for member in _folders(folder):
        images = list(_images(member))
        if not images:
            kinds = ", ".join(sorted(SUFFIXES))
            raise BenchError(f'class folder "{member}" has no image ({kinds}); add some, or remove the folder.')
        names += [image.relative_to(root).as_posix() for image in images]
        labels += [member.name] * len(images)
    if not names:
        expected = "train/CLASS/*.jpg, CLASS/*.jpg or labels.csv"
        raise BenchError(f'"{folder}" has no folders of images; expected {expected} in it.')
    loose = sorted(file.name for file in folder.iterdir() if _is_image(file))
    if loose and folder != root:
        number = f"{len(loose)} images" if len(loose) > 1 else "an image"
        raise BenchError(f'"{folder}" holds {number} in no folder of a class, first "{loose[0]}"; move or remove them.')
    return Part(names, {GIVEN: labels}, [f'"{root / name}"' for name in names]).take(range(len(names)))


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones and what macOS leaves in archives."""
    members = sorted(folder.iterdir())
    return [m for m in members if m.is_dir() and not m.name.startswith(".") and m.name != "__MACOSX"]


def _images(folder: Path) -> Iterator[Path]:
    """All images below a folder, through links too; a folder that is reached twice counts once."""
    seen = set()
    for path, folders, files in os.walk(folder, followlinks=True):
        real = Path(path).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (image for name in files if _is_image(image := Path(path, name)))


def _is_image(file: Path) -> bool:
    return file.suffix.casefold() in SUFFIXES and not file.name.startswith(".") and file.is_file()
