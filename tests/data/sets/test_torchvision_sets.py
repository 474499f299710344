"""Mode `tv`: torchvision's own classes on miniature copies of what they read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.contracts.dataset import SPLITS
from bench.data import catalogue
from bench.data.files.catalogued import Catalogued
from bench.data.sets.torchvision_sets import SOURCES
from bench.errors import BenchError
from bench.plugins import DATASETS
from tests.data.layouts import LAYOUTS, colour, shown, tv_layout

CLASSES = {
    "caltech101": ("face", "Faces_easy", "anchor"),
    "oxfordpets": ("abyssinian", "american_bulldog", "pug"),
    "flowers102": ("pink primrose", "sweet pea", "pink-yellow dahlia"),
    "dtd": ("banded", "woven"),
    "eurosat": ("Annual Crop Land", "River", "Sea or Lake"),
    "stanfordcars": ("2000 AM General Hummer SUV", "2012 Acura RL Sedan"),
    "sun397": ("abbey", "outdoor church", "yard"),
    "food101": ("apple_pie", "pho", "waffles"),
    "fgvcaircraft": ("737-200", "707-320", "Yak-42"),
}
# Drawn once; they may change for no user.
VALIDATION = ["sun_a01.jpg", "sun_a06.jpg", "sun_c03.jpg", "sun_c08.jpg", "sun_y07.jpg", "sun_y10.jpg"]
CLEAN = {"caltech101": 30, "eurosat": 60, "sun397": 30}


def opened(name: str, folder: Path) -> Catalogued:
    dataset = DATASETS.get(name)(folder, "tv")
    assert isinstance(dataset, Catalogued)
    return dataset


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_torchvisions_files_become_three_splits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, *sizes = tv_layout(name, tmp_path / "set", monkeypatch)
    dataset = opened(name, tmp_path / "set")
    assert dataset.missing() == []
    assert [len(dataset.splits[split]) for split in SPLITS] == sizes
    assert dataset.class_names == CLASSES[name]
    names = [name for split in SPLITS for name in dataset.splits[split].names]
    assert len(set(names)) == len(names)
    for split in SPLITS:
        part = dataset.splits[split]
        assert set(part.labels.tolist()) == set(range(len(dataset.class_names)))
        assert [shown(image) for image in part.images] == [colour(name) for name in part.names]


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"caltech101"}))
def test_images_and_labels_are_those_of_torchvisions_class(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision

    source = SOURCES[name]
    folder = tmp_path / source.folder if source.folder else tmp_path
    tv_layout(name, folder, monkeypatch)
    kind = getattr(torchvision.datasets, catalogue.entry(name).torchvision)
    official = [kind(tmp_path, split=split) for split in source.official.values()] or [kind(tmp_path)]
    theirs = sorted((shown(image), int(label)) for part in official for image, label in part)
    dataset = opened(name, folder)
    ours = sorted(
        (shown(image), int(label))
        for split in SPLITS
        for image, label in zip(dataset.splits[split].images, dataset.splits[split].labels, strict=True)
    )
    assert ours == theirs
    if source.official:
        test = kind(tmp_path, split=source.official["test"])
        assert [(shown(image), int(label)) for image, label in test] == [
            (shown(image), int(label))
            for image, label in zip(dataset.splits["test"].images, dataset.splits["test"].labels, strict=True)
        ]


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_and_order_of_a_listing_gives_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the data set's own folder, in the folder of torchvision's making below it, and in one of that name."""
    tv_layout(name, tmp_path / "own", monkeypatch)
    first = opened(name, tmp_path / "own")
    nested = catalogue.entry(name).nested
    folders = [tmp_path / "a", tmp_path / "b" / (SOURCES[name].folder or "set")]
    below = [folders[0] / (nested[0] if nested else ""), folders[1]]
    for folder, place in zip(folders, below, strict=True):
        LAYOUTS[name](place, monkeypatch)
        dataset = opened(name, folder)
        assert dataset.digest == first.digest
        for split in SPLITS:
            assert list(dataset.splits[split].names) == list(first.splits[split].names)
            assert (dataset.splits[split].labels == first.splits[split].labels).all()


@pytest.mark.parametrize("backwards", [False, True])
def test_the_order_in_which_a_folder_is_listed_does_not_matter(
    backwards: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torchvision takes SUN397's images as the file system lists them."""
    tv_layout("sun397", tmp_path, monkeypatch)
    listed = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda folder, pattern: iter(sorted(listed(folder, pattern), reverse=backwards)))
    dataset = opened("sun397", tmp_path)
    assert [name.rpartition("/")[2] for name in dataset.splits["validation"].names] == VALIDATION


@pytest.mark.parametrize("name", sorted(CLEAN))
def test_without_official_splits_every_class_is_split_50_20_30(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes, *_ = tv_layout(name, tmp_path, monkeypatch)
    dataset = opened(name, tmp_path)
    counts = [np.bincount(dataset.splits[split].labels, minlength=classes) for split in SPLITS]
    each = CLEAN[name] // classes
    assert [set(count.tolist()) for count in counts] == [{each // 2}, {each // 5}, {each * 3 // 10}]


def test_both_modes_of_the_aircraft_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tv_layout("fgvcaircraft", tmp_path, monkeypatch)
    entry = catalogue.entry("fgvcaircraft")
    both = entry.model_copy(update={"sizes": {**entry.sizes, "coop": entry.sizes["tv"]}})
    monkeypatch.setattr(catalogue, "entry", lambda name: both)
    coop, tv = DATASETS.get("fgvcaircraft")(tmp_path), opened("fgvcaircraft", tmp_path)
    assert coop.class_names == tv.class_names
    assert coop.digest == tv.digest
    assert [len(coop.splits[split]) for split in SPLITS] == list(made[1:])
    for split in SPLITS:
        assert list(coop.splits[split].names) == list(tv.splits[split].names)


def test_an_aircraft_of_an_unknown_variant_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tv_layout("fgvcaircraft", tmp_path, monkeypatch)
    with (tmp_path / "images_variant_val.txt").open("a") as stream:
        stream.write("0000000 Zeppelin\n")
    with pytest.raises(BenchError, match="0000000 Zeppelin"):
        DATASETS.get("fgvcaircraft")(tmp_path).load("train")
    with pytest.raises(BenchError, match="torchvision cannot read"):
        opened("fgvcaircraft", tmp_path).load("train")


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("caltech101", "101_ObjectCategories/anchor/image_0010.jpg"),
        ("eurosat", "2750/River/River_7.jpg"),
        ("sun397", "SUN397/y/yard/sun_y03.jpg"),
    ],
)
def test_an_incomplete_folder_is_not_split_otherwise(
    name: str, lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Splits are drawn from listings here, so one lost image would silently give other splits."""
    tv_layout(name, tmp_path, monkeypatch)
    (tmp_path / lost).unlink()
    (line,) = opened(name, tmp_path).missing()
    assert f"{name}[mode=tv]" in line
    assert "expected" in line
    assert "\n" not in line


def test_an_empty_class_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tv_layout("eurosat", tmp_path, monkeypatch)
    for file in (tmp_path / "2750" / "River").iterdir():
        file.unlink()
    with pytest.raises(BenchError, match="River") as error:
        opened("eurosat", tmp_path).load("train")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_files_that_torchvision_does_not_take_are_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tv_layout(name, tmp_path, monkeypatch)
    listed = [file for kind in ("*.txt", "*.mat", "*.json") for file in tmp_path.rglob(kind)]
    for file in listed:
        file.write_text("nothing of use\n")
    if not listed:
        shutil.rmtree(next(path for path in tmp_path.iterdir() if path.is_dir() and path.name != "cache"))
    (line,) = opened(name, tmp_path).missing()
    assert f"dataset {name}[mode=tv]" in line
    assert "\n" not in line
    assert "download=True" not in line


def test_the_two_modes_are_two_data_sets(tmp_path: Path) -> None:
    from bench.data.library import identity
    from bench.dataset_name import canonical

    assert canonical("dtd[mode=coop]") == "dtd"
    assert canonical("oxford_pets[mode=tv]") == "oxfordpets[mode=tv]"
    assert identity("dtd") != identity("dtd[mode=tv]")
    with pytest.raises(BenchError, match='no mode "tv"'):
        canonical("ucf101[mode=tv]")
