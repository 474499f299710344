"""Miniature folders and CSVs of a user's own images."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contracts.dataset import SPLITS, Split
from bench.data.own.folder import Folder
from bench.errors import BenchError


def picture(file: Path) -> None:
    """A small image that differs from every other."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(list(file.as_posix().encode()[-40:])).integers(0, 256, (6, 5, 3), np.uint8)
    Image.fromarray(pixels).save(file)


def pictures(root: Path, *folders: str, count: int = 3) -> Path:
    for folder in folders:
        for index in range(count):
            picture(root / folder / f"{index}.png")
    return root


def listed(root: Path, text: str, name: str = "labels.csv", absent: Sequence[str] = ()) -> Path:
    """A CSV, and the images that it names."""
    for row in csv.reader(text.splitlines()[1:]):
        if row and row[0] not in ("", *absent):
            picture(root / row[0])
    (root / name).write_text(text, encoding="utf-8")
    return root


def labels(split: Split, dataset: Folder) -> dict[str, str]:
    return {name: dataset.class_names[label] for name, label in zip(split.names, split.labels, strict=True)}


def sizes(dataset: Folder) -> list[int]:
    return [len(dataset.splits[split]) for split in SPLITS]


def fails(root: Path, message: str, **options: bool) -> str:
    dataset = Folder(root, **options)
    with pytest.raises(BenchError) as error:
        _ = dataset.class_names, dataset.splits
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)
