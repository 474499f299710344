"""A CSV of a user's images: its columns, what they are taken for, and every mistake in one line."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from bench.contracts.dataset import SPLITS
from bench.data.own.folder import Folder
from tests.data.own.files import fails, labels, listed, picture, pictures, sizes

CIFAR = "path,true_label,aggre_label,worse_label,random_label1,random_label2,random_label3"


def test_a_table_with_the_truth_and_further_labels(tmp_path: Path) -> None:
    text = (
        "Path, label ,true_label,split,alice_label,label:bob,carol,confidence\n"
        "i/1.png,cat,dog,train,dog,cat,cat,0.9\n"
        'i/0.png,cat,cat,train,"cat",cat,cat,0.2\n'
        "i/2.png,dog,dog,val,dog,cat,cat,0.3\n\n"
        "i/3.png,,dog,test,,,,\n"
        "i/4.png,,cat,test,,,,\n"
    )
    dataset = Folder(listed(tmp_path, text))
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert list(train.names) == ["i/0.png", "i/1.png"]
    assert [dataset.splits[split].truth for split in SPLITS] == [True] * 3
    assert labels(train, dataset) == {"i/0.png": "cat", "i/1.png": "dog"}
    assert {name: found.tolist() for name, found in train.annotations.items()} == {
        "given": [0, 0], "alice": [0, 1], "bob": [0, 0], "carol": [0, 0],
    }  # fmt: skip
    assert dict(test.annotations) == {}
    assert test.labels.tolist() == [1, 0]
    lines = text.splitlines()
    (tmp_path / "labels.csv").write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    assert Folder(tmp_path).digest == dataset.digest, "the order of the rows says nothing"


def test_a_table_without_the_truth(tmp_path: Path) -> None:
    text = "path,label\n" + "".join(f"{split}/{i}.png,{'ab'[i % 2]}\n" for split in ("train", "test") for i in range(8))
    listed(tmp_path, text, "my.csv")
    dataset = Folder(tmp_path / "my.csv")
    assert [dataset.splits[split].truth for split in SPLITS] == [False, False, True]
    assert sizes(dataset) == [6, 2, 8]
    (tmp_path / "dataset.toml").write_text('labels = "true"')
    assert all(Folder(tmp_path / "my.csv").splits[split].truth for split in SPLITS)


def test_cifar_n_as_it_comes_with_test_images_in_folders(tmp_path: Path) -> None:
    rows = [f"train/{name}/{i}.jpg,{name},{name},{'truck' if i < 2 else name},{name},{name},{name}"
            for name in ("bird", "truck") for i in range(5)]  # fmt: skip
    root = listed(tmp_path, "\n".join([CIFAR, *rows]), "human_labels.csv")
    pictures(root, "test/bird", "test/truck", count=2)
    dataset = Folder(root)
    assert set(dataset.splits["train"].annotations) == {"aggregate", "worst", "random1", "random2", "random3"}
    assert sizes(dataset) == [8, 2, 4]
    both = [dataset.splits[split] for split in ("train", "validation")]
    assert sum((split.annotations["worst"] != split.labels).sum() for split in both) == 2
    assert dataset.digest == Folder(root / "human_labels.csv").digest


@pytest.mark.parametrize(
    "text",
    [
        "path,label,,\n{}",
        ",path,,label,\n{}",
        "path,label\n{},,,\n,,,\n,\n",
        "path,label,,\n{},,\n",
    ],
)
def test_empty_columns_and_rows_of_a_spreadsheet_say_nothing(text: str, tmp_path: Path) -> None:
    head, _, tail = text.partition("{}")
    columns = head.splitlines()[0].split(",")
    values = {"path": [f"{i}.png" for i in range(8)], "label": list("abababab")}
    rows = [",".join(values[name][i] if name else "" for name in columns) for i in range(8)]
    for i in range(8):
        picture(tmp_path / f"{i}.png")
    (tmp_path / "labels.csv").write_text(head + "\n".join(row + tail.partition("\n")[0] for row in rows) + "\n" + tail)
    dataset = Folder(tmp_path)
    assert dataset.class_names == ("a", "b")
    assert sizes(dataset) == [4, 2, 2]
    assert dict(dataset.splits["train"].annotations) == {}


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (("Training", "Dev", "Testing"), [4, 4, 4]),
        (("train_set", "VAL", "evaluation"), [4, 4, 4]),
        (("trainset", "valid", "test data"), [4, 4, 4]),
    ],
)
def test_splits_are_called_as_folders_are(split: tuple[str, ...], expected: list[int], tmp_path: Path) -> None:
    rows = [(f"{name}/{i}.png", "ab"[i % 2], name) for name in split for i in range(4)]
    column = listed(tmp_path / "column", "path,label,split\n" + "".join(f"i{a},{b},{c}\n" for a, b, c in rows))
    assert sizes(Folder(column)) == expected
    prefix = listed(tmp_path / "prefix", "path,label\n" + "".join(f"{a},{b}\n" for a, b, _ in rows))
    assert sizes(Folder(prefix)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'has no column "path"; found none'),
        ("file,label\n", 'has no column "path"; found file, label'),
        ("path;label\n1.png;a\n", 'has no column "path"; found path;label'),
        ("path,class\n1.png,a\n", 'has no column "label"; found path, class'),
        ("path,label,label\n1.png,a,a\n", 'columns "label" and "label" are one set of labels'),
        ("path,true,true_label\n1.png,a,a\n", 'columns "true" and "true_label" are one set of labels, true'),
        ("path,label\n", "lists no image"),
        ("path,label\n1.png,a\n2.png,b,c\n", "line 3: found 3 values, expected 2"),
        ('path,label\n1.png,"a\n', "line 2 is not CSV: unexpected end of data"),
        ("path,label,,\n1.png,a,,x\n", 'line 2: column 4 holds "x" and has no name in the first line; name it'),
        ("path,,label\n1.png,b,a\n", 'line 2: column 2 holds "b" and has no name'),
        ("path,label,,\n1.png\n", "line 2: found 1 values, expected 4"),
        (",,\n", 'has no column "path"; found none'),
        ("path,label\n1.png,a\n,b\n", "line 3: path is empty"),
        (f"path,label\n1.png,a\n{'x' * 300}.png,b\n", "names 1 of 2 images that are not there"),
        ("path,label\n1.png,a\n../2.png,b\n", 'line 3: path "../2.png" leads out of the folder'),
        ("path,label\n/etc/2.png,b\n", 'line 2: path "/etc/2.png" leads out of the folder'),
        ("path,label\n1.png,a\n./1.png,b\n", 'line 3: path "1.png" is in line 2 too'),
        ("path,label\n1.png,a\n2.png,\n", "line 3: label is empty"),
        ("path,label\n1.png,\n2.png,\n", "line 2: the label is empty"),
        (
            "path,label\n1.png,a\ngone/1.png,b\ngone/2.png,b\n",
            'names 2 of 3 images that are not there, first "gone/1.png"',
        ),
        ("path,label,split\n1.png,a,train\n2.png,b,tset\n", 'line 3: split "tset" is unknown; did you mean "test"?'),
        ("path,label,split\n1.png,a,tran\n2.png,b,test\n", 'line 2: split "tran" is unknown; did you mean "train"?'),
        ("path,label,split\n1.png,a,test\n2.png,b,test\n", "lists no training image"),
        ("path,label\ntrain/1.png,a\nrest/2.png,b\n", 'line 3: "rest/2.png" is in no folder of a split'),
        ("path,label\ntrain/1.png,a\n2.png,b\n", 'line 3: "2.png" is in no folder of a split, as others are'),
        (
            "path,label\ntrain2017/1.png,a\nval2017/2.png,b\n",
            'line 2: "train2017/1.png" is in no folder of a split; splits are called train or training',
        ),
        (
            "path,label,split\n1.png,cat,train\n2.png,dog,train\n3.png,cta,test\n",
            'line 4: label "cta" is none of the 2',
        ),
        (
            "path,label,ann_label\n1.png,cat,cat\n2.png,dog,dgo\n",
            'line 3: ann_label "dgo" is none of the 2 classes; did you',
        ),
        ("path,label,ann_label\n1.png,cat,cat\n2.png,dog,\n", "line 3: ann_label is empty"),
    ],
)
def test_mistakes_in_a_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    for name in ("1.png", "2.png", "3.png", "train/1.png", "rest/2.png", "train2017/1.png", "val2017/2.png"):
        picture(tmp_path / name)
    fails(tmp_path, message)


def test_more_mistakes_in_a_table(tmp_path: Path) -> None:
    listed(tmp_path, "path,label,true\n1.png,cat,cat\n2.png,bird,dog\n3.png,dog,dog\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    fails(tmp_path, 'labels.csv" line 3: label "bird" is none of the 2 classes')
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "dataset.toml").write_text('labels = "true"')
    fails(tmp_path, 'has true labels, and dataset.toml beside it says labels = "true"')
    (tmp_path / "labels.csv").write_bytes("path,label\n1.png,café\n".encode("latin-1"))
    fails(tmp_path, 'labels.csv" is not UTF-8 (byte 20)')
    (tmp_path / "labels.csv").write_text("path,label\n1.png,cat\n2\0.png,dog\n")
    fails(tmp_path, 'labels.csv" line 3 has a null character')
    (tmp_path / "labels.csv").rename(tmp_path / "x_labels.csv")
    (tmp_path / "y_labels.csv").write_text("path,label\n")
    fails(tmp_path, "several lists of labels (x_labels.csv, y_labels.csv)")


def test_the_human_labels_of_cifar_10n(tmp_path: Path) -> None:
    place = os.environ.get("NOISY_PROMPT_BENCH_DATA")
    archive = Path(place or "") / "cifar10n-small.tar"
    if place is None or not archive.is_file():
        pytest.skip("NOISY_PROMPT_BENCH_DATA names no folder with cifar10n-small.tar")
    with tarfile.open(archive) as stream:
        stream.extractall(tmp_path, filter="data")
    dataset = Folder(tmp_path / "cifar10n-small")
    assert sizes(dataset) == [4000, 1000, 2000]
    both = [dataset.splits[split] for split in ("train", "validation")]
    rates = {
        name: np.concatenate([split.annotations[name] != split.labels for split in both]).mean()
        for name in both[0].annotations
    }
    expected = {"aggregate": 0.092, "random1": 0.1692, "random2": 0.1804, "random3": 0.18, "worst": 0.4002}
    assert rates == pytest.approx(expected)
