"""Real files, where the environment says that there are some: NOISY_PROMPT_BENCH_DATA names the folder."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from bench.contracts.dataset import SPLITS
from bench.data import catalogue
from bench.data.sets.coop import KEYS, read_split_file
from bench.data.sets.torchvision_sets import inner_first
from bench.errors import BenchError
from bench.plugins import DATASETS

ROOT = Path(os.environ.get(catalogue.ENVIRONMENT, ""))
SPLIT_FILES = ["caltech101", "dtd", "eurosat", "flowers102", "oxfordpets", "stanfordcars", "ucf101"]
IN_LIST = {"flowers102": "oxford_flowers", "oxfordpets": "oxford_pets", "stanfordcars": "stanford_cars"}


def there(*parts: str) -> Path:
    """A file or folder of the data, or a skipped test."""
    path = ROOT.joinpath(*parts)
    if not os.environ.get(catalogue.ENVIRONMENT) or not path.exists():
        pytest.skip(f"needs {'/'.join(parts)} in the folder that {catalogue.ENVIRONMENT} names")
    return path


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", SPLIT_FILES)
def test_a_split_file_has_the_sizes_of_the_record(name: str) -> None:
    entry = catalogue.entry(name)
    assert entry.split is not None
    file = there("coop_splits", f"{entry.split.name}.gz")
    content, sizes = read_split_file(file, entry.split.sha256), entry.sizes["coop"]
    assert [len(content[KEYS[split]]) for split in SPLITS] == [sizes.train, sizes.validation, sizes.test]
    names = {label: name for rows in content.values() for _, label, name in rows}
    assert len(names) == sizes.classes
    listed = json.loads(there("coop_splits", "classnames.json").read_text())
    assert [names[label] for label in range(sizes.classes)] == listed[IN_LIST.get(name, name)]


def test_scenes_are_called_as_coop_calls_them() -> None:
    few = json.loads(gzip.decompress(there("coop_splits", "sun397_shot_16-seed_1.json.gz").read_bytes()))
    rows = few["train"]["data"]
    assert len({row["label"] for row in rows}) == catalogue.entry("sun397").sizes["coop"].classes
    for row in rows:
        folders = row["impath"].partition("/SUN397/")[2].split("/")[1:-1]
        assert inner_first("/".join(folders)) == row["classname"]


@pytest.mark.slow
def test_caltech101_is_whole_and_decodes(own_cache: None) -> None:
    dataset = DATASETS.get("caltech101")(there("caltech-101"))
    assert dataset.missing() == []
    assert [len(dataset.splits[split]) for split in SPLITS] == [4128, 1649, 2465]
    assert len(dataset.class_names) == 100
    assert dataset.class_names[:3] == ("face", "leopard", "motorbike")
    for split in SPLITS:
        for image in dataset.splits[split].images:
            assert image.mode == "RGB"
            assert min(image.size) >= 20


def test_caltech101_without_the_background_is_not_torchvisions(own_cache: None) -> None:
    if there("caltech-101", "101_ObjectCategories").joinpath("BACKGROUND_Google").exists():
        pytest.skip("the folder has the background, as torchvision needs it")
    with pytest.raises(BenchError, match="BACKGROUND_Google, which torchvision needs"):
        DATASETS.get("caltech101")(there("caltech-101"), "tv").load("train")
