"""CIFAR-10 and CIFAR-100 through torchvision's classes, with the label sets of CIFAR-N."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.contracts.dataset import SPLITS
from bench.data.sets.cifar import SUPERCLASSES
from bench.data.sets.cifar_n import CIFAR10N, CIFAR100N, human_labels
from bench.errors import BenchError
from bench.plugins import DATASETS
from tests.data.layouts import cifar_layout

TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
HUNDRED = tuple(sorted(name for names in SUPERCLASSES for name in names.split()))


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, classes: tuple[str, ...] = TEN) -> tuple[Any, Any]:
    place = "cifar-10-batches-py" if classes == TEN else "cifar-100-python"
    return cifar_layout(folder / place, classes, monkeypatch)


def labels_of(true: Any, sets: dict[str, str], classes: int) -> dict[str, Any]:
    """A file of label sets, each wrong at other places."""
    content = {"clean_label": true.copy()}
    for number, key in enumerate(sets.values(), start=1):
        wrong = np.arange(len(true)) % (number + 2) == 0
        content[key] = np.where(wrong, (true + number) % classes, true)
    return content


def written(file: Path, content: dict[str, Any], old: bool = False, archive: bool = True) -> Path:
    """The file as torch writes it; with `old`, as numpy 1 called its functions when CIFAR-N's files were made."""
    torch.save(content, file, _use_new_zipfile_serialization=archive)
    if old:
        raw = file.read_bytes()
        assert b"numpy._core" in raw
        file.write_bytes(raw.replace(b"numpy._core", b"numpy.core"))
    return file


def test_official_images_with_a_tenth_of_the_training_images_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = made(tmp_path, monkeypatch)
    dataset = DATASETS.get("cifar10")(tmp_path)
    assert dataset.missing() == []
    assert dataset.class_names == TEN
    assert [len(dataset.splits[split]) for split in SPLITS] == [180, 20, 30]
    assert np.bincount(dataset.splits["validation"].labels).tolist() == [2] * 10
    assert dataset.splits["test"].labels.tolist() == test.tolist()
    both = [name for split in ("train", "validation") for name in dataset.splits[split].names]  # type: ignore[index]
    assert sorted(both) == [f"train/{i:05d}" for i in range(200)]
    for split in ("train", "validation"):
        part = dataset.splits[split]  # type: ignore[index]
        places = [int(name.removeprefix("train/")) for name in part.names]
        assert part.labels.tolist() == train[places].tolist()
        assert part.annotations == {}
    assert dataset.superclasses is None
    assert dataset.digest == DATASETS.get("cifar10")(tmp_path).digest


def test_pixels_are_torchvisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    made(tmp_path, monkeypatch)
    official = torchvision.datasets.CIFAR10(tmp_path, train=True)
    part = DATASETS.get("cifar10")(tmp_path).splits["validation"]
    place = int(part.name(7).removeprefix("train/"))
    assert np.asarray(part.images[7]).shape == (32, 32, 3)
    assert (np.asarray(part.images[7]) == np.asarray(official[place][0])).all()


@pytest.mark.parametrize(("old", "archive"), [(False, True), (False, False), (True, False)])
def test_human_labels_follow_the_images(
    old: bool, archive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, _ = made(tmp_path, monkeypatch)
    content = labels_of(train, CIFAR10N, 10)
    written(tmp_path / "CIFAR-10_human.pt", content, old, archive)
    dataset = DATASETS.get("cifar10")(tmp_path)
    for split in ("train", "validation"):
        part = dataset.splits[split]  # type: ignore[index]
        places = [int(name.removeprefix("train/")) for name in part.names]
        assert list(part.annotations) == ["aggregate", "random1", "random2", "random3", "worst"]
        for name, key in CIFAR10N.items():
            assert part.annotations[name].tolist() == content[key][places].tolist()
    assert dataset.splits["test"].annotations == {}


def test_other_human_labels_are_another_data_set_of_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, _ = made(tmp_path, monkeypatch)
    found = [DATASETS.get("cifar10")(tmp_path)]
    assert found[0].splits["train"].annotations == {}
    content = labels_of(train, CIFAR10N, 10)
    for worse in (content["worse_label"], (content["worse_label"] + 1) % 10):
        written(tmp_path / "CIFAR-10_human.pt", {**content, "worse_label": worse})
        found.append(DATASETS.get("cifar10")(tmp_path))
        assert "worst" in found[-1].splits["train"].annotations
    assert len({one.digest for one in found}) == 3
    assert len({one.images_digest for one in found}) == 1, "features outlive them"
    assert found[0].digest == found[0].images_digest


def test_the_hundred_classes_have_superclasses_and_one_label_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, _ = made(tmp_path, monkeypatch, HUNDRED)
    written(tmp_path / "CIFAR-100_human.pt", labels_of(train, CIFAR100N, 100))
    dataset = DATASETS.get("cifar100")(tmp_path)
    assert list(dataset.splits["train"].annotations) == ["fine"]
    groups = dataset.superclasses
    assert groups is not None
    assert np.bincount(groups).tolist() == [5] * 20
    group = dict(zip(dataset.class_names, groups, strict=True))
    assert group["shark"] == group["trout"] != group["whale"]


def test_labels_in_another_order_are_refused_though_their_sum_is_the_same(tmp_path: Path) -> None:
    """The reference compares sums: it takes the labels of TensorFlow's order for torchvision's."""
    true = np.arange(100) % 10
    other = true[::-1].copy()
    assert other.sum() == true.sum()
    file = written(tmp_path / "labels.pt", {**labels_of(other, CIFAR10N, 10)})
    with pytest.raises(BenchError) as error:
        human_labels(file, CIFAR10N, true, 10)
    for part in ("another order", "differs at 100 of 100", "first at 0 (9, expected 0)"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"worse_label": None}, "have nothing as worse_label"),
        ({"worse_label": np.arange(50)}, r"an array of shape \[50\] as worse_label"),
        ({"worse_label": np.full(100, 10)}, "worse_label is not of 0 to 9"),
        ({"worse_label": np.full(100, -1)}, "worse_label is not of 0 to 9"),
    ],
)
def test_a_label_set_that_does_not_fit_is_refused(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    true = np.arange(100) % 10
    file = written(tmp_path / "labels.pt", {**labels_of(true, CIFAR10N, 10), **change})
    with pytest.raises(BenchError, match=reason):
        human_labels(file, CIFAR10N, true, 10)


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.sprung),)


@pytest.mark.parametrize("kind", ["pickle", "torch", "text", "empty"])
def test_nothing_but_arrays_is_unpickled(kind: str, tmp_path: Path) -> None:
    file, sprung = tmp_path / "labels.pt", tmp_path / "sprung"
    if kind == "torch":
        torch.save({"clean_label": Trap(sprung)}, file)
    else:
        file.write_bytes({"pickle": pickle.dumps(Trap(sprung)), "text": b"no labels", "empty": b""}[kind])
    with pytest.raises(BenchError, match="cannot be read as arrays of labels") as error:
        human_labels(file, CIFAR10N, np.arange(10), 10)
    assert "\n" not in str(error.value)
    assert not sprung.exists()


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_missing_files_are_one_line_and_the_human_labels_no_reason_to_stop(name: str, tmp_path: Path) -> None:
    dataset = DATASETS.get(name)(tmp_path)
    (line,) = dataset.missing()
    assert f"bench data prepare {name}" in line
    assert "human" not in line
    with pytest.raises(BenchError) as error:
        dataset.load("train")
    assert str(error.value) == line


def test_an_altered_batch_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, monkeypatch)
    sprung = tmp_path / "sprung"
    (tmp_path / "cifar-10-batches-py" / "data_batch_2").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(BenchError, match="Dataset not found or corrupted") as error:
        DATASETS.get("cifar10")(tmp_path).load("train")
    assert "download=True" not in str(error.value)
    assert not sprung.exists()
