"""Folders of a user's images by class: `train/CLASS/`, `validation/CLASS/`, `test/CLASS/`, or only `CLASS/`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from bench.contracts.dataset import SplitName
from bench.data.own.parts import GIVEN, UNDERSTOOD, OwnSplit, like_split, split_of
from bench.errors import BenchError
from bench.images.walk import Walk
from bench.layout import few

NAMED = 4  # folders in a message
IF_CLASSES = "if these are classes, name all classes in classes.txt"


def read_tree(walk: Walk, classes: Collection[str] = ()) -> dict[SplitName, OwnSplit]:
    """Read the splits that are folders. All images are "train" where the classes are in the root.

    Args:
        walk: from the root on; counts what is left out.
        classes: all of them where they are known; folders of these names in the root are no splits.

    Raises:
        BenchError: there is no class, a class has no image, an image of a split is in no class, or folders look like
            splits and are none.
    """
    root = walk.root
    folders = walk.folders(root)
    for name in walk.loose(root):
        walk.leave("loose", root / name)
    if classes and {*classes} <= {folder.name for folder in folders}:
        return {"train": _part(walk, root)}
    found = _split_folders(walk, folders)
    _refuse(walk, folders, found)
    if not found:
        return {"train": _part(walk, root)}
    if "train" not in found:
        raise BenchError(f'"{root}" has a folder {next(iter(found.values())).name} and no folder train; add it.')
    for folder in folders:
        if folder not in found.values() and next(walk.images(folder), None) is not None:
            walk.leave("split", folder)
    return {split: _part(walk, folder) for split, folder in found.items()}


def read_beside(walk: Walk) -> dict[SplitName, OwnSplit]:
    """Read the validation and test splits that are folders, beside a list of training images.

    Raises:
        BenchError: as `read_tree`.
    """
    found = _split_folders(walk, walk.folders(walk.root))
    return {split: _part(walk, folder) for split, folder in found.items() if split != "train"}


def _split_folders(walk: Walk, folders: Sequence[Path]) -> dict[SplitName, Path]:
    """Find folders that are named after a split and contain folders. One without may be a class of that name."""
    found: dict[SplitName, Path] = {}
    for folder in folders:
        split = split_of(folder.name)
        if split is None or not walk.folders(folder):
            continue
        if split in found:
            both = f"{found[split].name} and {folder.name}"
            raise BenchError(f'"{walk.root}" has two folders of the {split} split, {both}; remove one.')
        found[split] = folder
    return found


def _refuse(walk: Walk, folders: Sequence[Path], found: Collection[SplitName]) -> None:
    """Reject folders that look like splits, but would be taken for classes or be left out.

    Raises:
        BenchError: one has a name like that of a split and the folders of classes; all have the same folders of
            classes; or all have names of splits and images in no folder of a class.
    """
    nested = {folder: inner for folder in folders if (inner := _inner(walk, folder))}
    for folder in nested:
        if split := like_split(folder.name):
            raise BenchError(
                f'"{walk.root}": the folder "{folder.name}" looks like a {split} split and is not called like one; '
                f"splits are called {UNDERSTOOD}; rename it, or {IF_CLASSES}."
            )
    if found or len(folders) < 2:
        return
    names = [folder.name for folder in folders]
    most: set[str] = max(nested.values(), key=len, default=set())
    if len(nested) == len(folders) and all(len(inner) > 1 and inner <= most for inner in nested.values()):
        raise BenchError(
            f'"{walk.root}": {few(names, NAMED)} have the same folders inside ({few(sorted(most), NAMED)}), as splits '
            f"have; splits are called {UNDERSTOOD}; rename them, or {IF_CLASSES}."
        )
    splits = {like_split(name) or split_of(name) for name in names}
    if len(splits) > 1 and None not in splits:
        raise BenchError(
            f'"{walk.root}": {few(names, NAMED)} are splits by their names and hold images in no folder of a class; '
            f"expected train/CLASS/*.jpg, or labels.csv; {IF_CLASSES}."
        )


def _inner(walk: Walk, folder: Path) -> set[str]:
    """Return the names of the folders in a folder that contains no image itself."""
    names = {inner.name for inner in walk.folders(folder)}
    return names if names and not walk.loose(folder) else set()


def _part(walk: Walk, folder: Path) -> OwnSplit:
    """Read the images of the class folders in a folder."""
    root = walk.root
    names, labels = [], []
    for member in walk.folders(folder):
        images = list(walk.images(member))
        if not images:
            why = "".join(f" {text}" for text in walk.left_out)
            raise BenchError(
                f'class folder "{member}" has no image (of an ending such as .jpg or .png); add some, or remove the '
                f"folder.{why}"
            )
        names += [image.relative_to(root).as_posix() for image in images]
        labels += [member.name] * len(images)
    if not names:
        expected = "train/CLASS/*.jpg, CLASS/*.jpg or labels.csv"
        raise BenchError(f'"{folder}" has no folders of images; expected {expected} in it.')
    loose = walk.loose(folder) if folder != root else []
    if loose:
        number = f"{len(loose)} images" if len(loose) > 1 else "an image"
        raise BenchError(f'"{folder}" holds {number} in no folder of a class, first "{loose[0]}"; move or remove them.')
    return OwnSplit(names, {GIVEN: labels}, [f'"{root / name}"' for name in names]).take(range(len(names)))
