"""ImageNet in folders by WordNet number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts.dataset import SPLITS
from bench.data import catalogue
from bench.data.sets.imagenet import ImageNet, held_out
from bench.plugins import DATASETS
from tests.data.layouts import change, colour, picture, shown, sizes

CLASSES = {"n01440764": "tench", "n01530575": "brambling", "n03000684": "chain saw"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ImageNet, "validation_per_class", 2)
    change(monkeypatch, "imagenet", sizes=sizes("official", 3, 12, 6, 6))
    for number in CLASSES:
        for i in range(6, 0, -1):
            picture(tmp_path, f"images/train/{number}/{number}_{i}.JPEG")
        for i in (2, 1):
            picture(tmp_path, f"images/val/{number}/ILSVRC2012_val_{i}{number}.JPEG")
    lines = [f"{number} {name}" for number, name in reversed(CLASSES.items())]
    (tmp_path / "classnames.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_validation_images_are_training_images_and_the_official_ones_the_test_split(root: Path) -> None:
    dataset = DATASETS.get("imagenet")(root)
    assert dataset.missing() == []
    assert dataset.class_names == tuple(CLASSES.values())
    assert [len(dataset.splits[split]) for split in SPLITS] == [12, 6, 6]
    assert np.bincount(dataset.splits["validation"].labels).tolist() == [2, 2, 2]
    assert all(name.startswith("train/") for name in dataset.splits["validation"].names)
    assert all(name.startswith("val/") for name in dataset.splits["test"].names)
    assert set(dataset.splits["train"].names).isdisjoint(dataset.splits["validation"].names)
    for split in SPLITS:
        part = dataset.splits[split]
        assert [shown(image) for image in part.images] == [colour(f"images/{name}") for name in part.names]
        assert [list(CLASSES)[label] for label in part.labels] == [name.split("/")[1] for name in part.names]


def test_the_folders_may_lie_beside_the_folder_of_images(root: Path) -> None:
    before = DATASETS.get("imagenet")(root)
    names, digest = list(before.splits["train"].names), before.digest
    for part in ("train", "val"):
        (root / "images" / part).rename(root / part)
    (root / "images").rmdir()
    after = DATASETS.get("imagenet")(root)
    assert list(after.splits["train"].names) == names
    assert after.digest == digest


def test_every_part_that_is_missing_has_its_own_step(tmp_path: Path) -> None:
    lines = DATASETS.get("imagenet")(tmp_path).missing()
    assert len(lines) == 3
    assert any("bench data prepare imagenet" in line and "classnames.txt" in line for line in lines)
    assert all("image-net.org" in line for line in lines if "images/" in line)


@pytest.mark.parametrize("problem", ["unnamed", "unsorted", "lost"])
def test_folders_that_are_not_as_expected_are_one_line(problem: str, root: Path) -> None:
    if problem == "unnamed":
        (root / "classnames.txt").write_text("n01440764 tench\n")
    elif problem == "unsorted":
        for file in (root / "images" / "val" / "n03000684").iterdir():
            file.rename(root / "images" / "val" / file.name)
        (root / "images" / "val" / "n03000684").rmdir()
    else:
        next((root / "images" / "train" / "n03000684").iterdir()).unlink()
    expected = {
        "unnamed": "no name for the folder n01530575",
        "unsorted": 'no folder "n03000684"',
        "lost": "expected 12",
    }
    (line,) = DATASETS.get("imagenet")(root).missing()
    assert expected[problem] in line
    assert "\n" not in line


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), count=st.integers(1, 12))
def test_held_out_positions(counts: list[int], count: int) -> None:
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    held = held_out(labels, "imagenet", count)
    assert (np.diff(held) > 0).all()
    assert np.bincount(labels[held], minlength=len(counts)).tolist() == [min(count, n // 2) for n in counts]
    assert held.tolist() == held_out(labels, "imagenet", count).tolist()


def test_the_record_is_of_the_official_sizes() -> None:
    sizes = catalogue.entry("imagenet").sizes["official"]
    assert sizes.train + sizes.validation == 1_281_167
    assert sizes.validation == 1000 * ImageNet.validation_per_class
