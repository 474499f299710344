"""A user's own images: folders by class, or a CSV that lists them."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bench.contracts.dataset import SPLITS, Dataset, Split, SplitName
from bench.data.files.digests import broken, listing_digest, reading_notes, readings, stamps
from bench.data.own.parts import TRUE, OwnSplit, hold_out, read_classes, text_of, unknown_class
from bench.data.own.table import read_table, write_table
from bench.data.own.tree import read_beside, read_tree
from bench.errors import BenchError
from bench.images.decode import FileImages
from bench.images.walk import Walk
from bench.toml_text import parse_toml
from bench.validation import complaint, first_problem

CLASSES, ABOUT, TABLE = "classes.txt", "dataset.toml", "labels.csv"
# Percent of each class that is held out of the training images where a split is missing; both give CoOp's 50/20/30.
HELD_OUT: dict[SplitName, int] = {"validation": 20, "test": 30}


def _template(text: str) -> str:
    if text.count("{}") != 1 or text.count("{") + text.count("}") != 2:
        raise ValueError('a text with "{}" once, for the name of the class')
    return text


class About(BaseModel):
    """`dataset.toml` beside the images; all keys are optional.

    Attributes:
        labels: "true" where the labels of training and validation images are known to be right, else "given".
        templates: texts with `{}` for the name of the class.
        names: how prompts call a class, by its name in folders or CSV; else that name with spaces for "_".
        title: what the data are.
        licence: of the images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: Literal["true", "given"] = "given"
    templates: tuple[Annotated[str, AfterValidator(_template)], ...] = Field(
        default=("a photo of a {}.",), min_length=1
    )
    names: dict[str, str] = Field(default_factory=dict)
    title: str = "a user's own images"
    licence: str = "unknown"


class Folder(Dataset):
    """A user's own images with labels that may be unchecked.

    Two layouts. Folders: `train/CLASS/`, optional `validation/CLASS/` and `test/CLASS/` (for other names see
    `bench.data.own.parts.split_of`), or `CLASS/` alone. A CSV: its path, or a folder with `labels.csv` or a single file
    whose name ends so. `classes.txt`, one name a line, fixes the classes and their order. A split that is missing is
    held out of the training images.

    The truth of training and validation labels is unknown unless the CSV has `true_label` or `dataset.toml` says
    `labels = "true"`. Labels of a test split that the user gives are taken as true. Images are turned upright as their
    EXIF orientation says.

    Args:
        root: the folder or the CSV.
        mode: there is one alone.
        skip_broken: whether images that cannot be decoded are left out and recorded.
    """

    def missing(self) -> list[str]:
        """Return one line where the path does not exist or cannot be read."""
        if self.root is None:
            return ["dataset folder needs a path; write folder:PATH."]
        if not os.access(self.root, os.F_OK):  # which a name that is too long does not trouble
            return [f"dataset folder:{self.root} does not exist; change the path."]
        if not os.access(self.root, os.R_OK | os.X_OK if self.root.is_dir() else os.R_OK):
            return [f"dataset folder:{self.root} cannot be read; change its permissions."]
        return []

    def load(self, split: SplitName) -> Split:
        """Load one split, in the order of the images' paths."""
        part, index = self._parts[split], {name: label for label, name in enumerate(self._classes)}
        sets = {key: np.array([index[value] for value in values], np.int64) for key, values in part.labels.items()}
        labels = sets.pop(part.known)
        checked = part.known == TRUE or self._about.labels == "true"
        return Split(
            images=FileImages(self._folder, part.names, upright=True, stamps=self._stamps[split]),
            labels=labels,
            names=part.names,
            annotations=sets,
            truth=checked or (split == "test" and split not in self.held_out),
        )

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override] # the files decide, nobody sets it
        """Names of the C classes for prompts, in the order of `classes.txt`, else sorted."""
        given = self._about.names
        if unknown := [name for name in given if name not in self._classes]:
            raise unknown_class(f'"{self._folder / ABOUT}" [names]', "class", unknown[0], set(self._classes))
        names = tuple(given.get(name, name.replace("_", " ")) for name in self._classes)
        if alike := [name for name, count in Counter(names).items() if count > 1]:
            raise BenchError(
                f'"{self._folder}": two classes are "{alike[0]}" in prompts; tell them apart under [names] in {ABOUT}.'
            )
        return names

    @cached_property
    def templates(self) -> tuple[str, ...]:  # type: ignore[override] # as above
        """Prompt texts with `{}` for the name of the class."""
        return self._about.templates

    @cached_property
    def licence(self) -> str:  # type: ignore[override] # as above
        """Licence in `dataset.toml`."""
        return self._about.licence

    @cached_property
    def source(self) -> str:  # type: ignore[override] # as above
        """Title in `dataset.toml`."""
        return self._about.title

    @cached_property
    def skipped(self) -> tuple[str, ...]:  # type: ignore[override] # as above
        """Images left out because they cannot be decoded."""
        if not self.skip_broken:
            return ()
        return tuple(name for part in self._listed.values() for name in broken(self._folder, part.names))

    @cached_property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override] # as above
        """Sentences on splits that the user did not give, and on images that are scaled or turned."""
        names = [name for part in self._parts.values() for name in part.names]
        held_out = [
            f"The {split} split is {HELD_OUT[split]} % of the training images of every class, held out by a hash of "
            "their paths."
            for split in self.held_out
        ]
        return (*held_out, *reading_notes(readings(self._folder, names, upright=True)))

    @cached_property
    def left_out(self) -> tuple[str, ...]:  # type: ignore[override] # as above
        """Sentences on files that are not part of the data set, one for each reason."""
        self._listed  # noqa: B018 - the walk counts
        return self._walk.left_out

    @cached_property
    def class_labels(self) -> tuple[str, ...]:  # type: ignore[override] # as above
        """Spelling of the C classes in folders or CSV, in the order of `class_names`."""
        return self._classes

    @cached_property
    def images_digest(self) -> str:
        """SHA-256 of the bytes and paths of the images of each split."""
        self._stamps  # noqa: B018 - taken before any byte is read
        parts = {name: (part.names, np.zeros(len(part.names), np.int64)) for name, part in self._parts.items()}
        return listing_digest(self._folder, parts, upright=True)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the images, every set of labels, the classes and the templates."""
        labels = {
            name: [
                split.truth,
                split.labels.tolist(),
                {key: v.tolist() for key, v in sorted(split.annotations.items())},
            ]
            for name, split in self.splits.items()
        }
        said = [self.images_digest, self.class_names, self.templates, labels]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    @cached_property
    def _stamps(self) -> dict[SplitName, NDArray[np.int64]]:
        """Sizes and times that reveal a file changed after its digest was taken."""
        return {split: stamps(self._folder, part.names) for split, part in self._parts.items()}

    @cached_property
    def held_out(self) -> tuple[SplitName, ...]:
        """Splits that the files lack and that are held out of the training images."""
        return tuple(split for split in SPLITS if split not in self._listed)

    @cached_property
    def listing(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows of a CSV that is this data set; held-out images stand as training images."""
        return write_table(self._listed)

    @cached_property
    def listed_names(self) -> tuple[str, ...]:
        """Paths of the images in the rows of `listing`."""
        return tuple(name for part in self._listed.values() for name in part.names)

    @cached_property
    def _folder(self) -> Path:
        """Folder of images and lists.

        Raises:
            BenchError: it is missing or cannot be read.
        """
        if (missing := self.missing()) or self.root is None:
            raise BenchError(missing[0])
        return self.root if self.root.is_dir() else self.root.parent

    @cached_property
    def _walk(self) -> Walk:
        return Walk(self._folder)

    @cached_property
    def _about(self) -> About:
        return read_about(self._folder / ABOUT)

    @cached_property
    def _fixed(self) -> tuple[str, ...] | None:
        """Classes in `classes.txt`, None where there is no such file."""
        file = self._folder / CLASSES
        return read_classes(file) if file.is_file() else None

    @cached_property
    def _listed(self) -> dict[SplitName, OwnSplit]:
        """Splits that the files contain."""
        folder = self._folder
        table = table_of(self.root or folder)
        if table is None:
            return read_tree(self._walk, self._fixed or ())
        parts = read_table(table, self._fixed)
        if self._about.labels == "true" and parts["train"].known == TRUE:
            raise BenchError(
                f'"{table}" has true labels, and {ABOUT} beside it says labels = "true"; remove one of them.'
            )
        beside, named = read_beside(self._walk), {name for part in parts.values() for name in part.names}
        for name in (name for split, part in beside.items() if split in parts for name in part.names):
            if name not in named:
                self._walk.leave("unlisted", self._folder / name)
        return {**beside, **parts}

    @cached_property
    def _whole(self) -> dict[SplitName, OwnSplit]:
        """Splits that the files contain, without skipped images."""
        gone = set(self.skipped)
        parts = {
            split: part.take([i for i, name in enumerate(part.names) if name not in gone]) if gone else part
            for split, part in self._listed.items()
        }
        if empty := [split for split, part in parts.items() if not part.names]:
            raise BenchError(f'"{self._folder}": no image of the {empty[0]} split can be decoded; put them right.')
        if lost := sorted(self._listed["train"].classes - parts["train"].classes):
            raise BenchError(f'"{self._folder}": no image of class "{lost[0]}" can be decoded; put them right.')
        return parts

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """Spelling of the training images' classes, in the order of the file that fixes them."""
        used = self._whole["train"].classes
        classes = self._fixed or tuple(sorted(used))
        if idle := [name for name in classes if name not in used]:
            raise BenchError(
                f'"{self._folder}": class "{idle[0]}" of {CLASSES} has no training image; add some, or remove the line.'
            )
        if len(classes) < 2:
            raise BenchError(f'"{self._folder}" has images of one class alone, {classes[0]}; expected two or more.')
        known = set(classes)
        for split, part in self._whole.items():
            for label, where in zip(part.labels[part.known], part.where, strict=True):
                if label not in known:
                    raise unknown_class(where, f"{split} class", label, known)
        return classes

    @cached_property
    def _parts(self) -> dict[SplitName, OwnSplit]:
        """All three splits, the missing ones held out."""
        whole, shares = self._whole, {split: HELD_OUT[split] for split in self.held_out}
        parts = {**whole, **hold_out(whole["train"], shares)}
        if empty := [split for split in SPLITS if not parts[split].names]:
            raise BenchError(
                f'"{self._folder}" has too few training images to hold out a {empty[0]} split; add some, or the split.'
            )
        return parts


def table_of(path: Path) -> Path | None:
    """Return the CSV that lists the images; None for folders by class.

    Raises:
        BenchError: the path is a file and no CSV, or a folder with several lists of labels.
    """
    if path.is_file():
        if path.suffix.casefold() != ".csv":
            raise BenchError(f'dataset folder:{path} is a file; expected a folder, or a CSV that ends in ".csv".')
        return path
    if (path / TABLE).is_file():
        return path / TABLE
    files = sorted(file for file in path.glob(f"*{TABLE}") if not file.name.startswith("."))
    if len(files) > 1:
        shown = ", ".join(file.name for file in files)
        raise BenchError(f"dataset folder:{path} has several lists of labels ({shown}); name one: folder:{files[0]}.")
    return files[0] if files else None


def read_about(file: Path) -> About:
    """Read the user's description of the data.

    Raises:
        BenchError: the file is no TOML, a key is unknown, or a value is not as expected.
    """
    if not file.is_file():
        return About()
    try:
        return About.model_validate(parse_toml(text_of(file)))
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f'"{file}" is not valid TOML: {error}; put it right.') from error
    except ValidationError as error:
        problem, steps = first_problem(error)
        raise BenchError(f'"{file}": {complaint(problem, ".".join(steps), About.model_fields)}') from error
