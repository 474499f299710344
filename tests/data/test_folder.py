"""A user's own images: both layouts, what is held out, what is known to be true, and every mistake in one line."""

from __future__ import annotations

import csv
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.data import named
from bench.data.base import SPLITS, Split
from bench.data.folder import Folder
from bench.data.parts import GIVEN, Part, hold_out
from bench.errors import BenchError

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
CIFAR = "path,true_label,aggre_label,worse_label,random_label1,random_label2,random_label3"


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
    with pytest.raises(BenchError) as error:
        dataset = Folder(root, **options)
        assert dataset.class_names
        assert dataset.splits
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("validation", ["validation", "val", "valid", "Val"])
def test_folders_of_three_splits(tmp_path: Path, validation: str) -> None:
    pictures(tmp_path, *(f"{split}/{name}" for split in ("train", validation, "test") for name in ("tabby_cat", "dog")))
    dataset = Folder(tmp_path)
    assert dataset.missing() == []
    assert dataset.class_names == ("dog", "tabby cat")
    assert dataset.templates == ("a photo of a {}.",)
    assert sizes(dataset) == [6, 6, 6]
    assert [dataset.splits[split].truth for split in SPLITS] == [False, False, True]
    assert labels(dataset.splits["test"], dataset) == {
        f"test/{folder}/{i}.png": name
        for folder, name in (("dog", "dog"), ("tabby_cat", "tabby cat"))
        for i in range(3)
    }
    train = dataset.splits["train"]
    stored = np.asarray(Image.open(tmp_path / train.name(4)))
    assert (np.asarray(train.images[4]) == stored).all()
    assert (dataset.notes, dataset.skipped) == ((), ())


def test_what_is_in_a_class_folder_and_what_is_not(tmp_path: Path) -> None:
    pictures(tmp_path, "train/a/deep/er", "train/b", "test/a", "test/b", count=1)
    picture(tmp_path / "elsewhere" / "linked.png")
    picture(tmp_path / "train" / "a" / "LOUD.png")
    (tmp_path / "train" / "a" / "LOUD.png").rename(tmp_path / "train" / "a" / "LOUD.PNG")
    (tmp_path / "train" / "a" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "train" / "a" / "loop").symlink_to(tmp_path / "train" / "a")
    picture(tmp_path / "train" / "a" / ".hidden" / "x.png")
    picture(tmp_path / "train" / "a" / ".hidden.png")
    picture(tmp_path / "train" / "__MACOSX" / "x.png")
    (tmp_path / "train" / "a" / "notes.txt").write_text("not an image")
    whole = {name for split in ("train", "validation") for name in Folder(tmp_path).splits[split].names}
    assert whole == {"train/a/LOUD.PNG", "train/a/deep/er/0.png", "train/a/link/linked.png", "train/b/0.png"}


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    pictures(tmp_path, "train", "bus", count=10)
    assert Folder(tmp_path).class_names == ("bus", "train")
    paths = "\n".join(f"{name}/{i}.png,{name}" for name in ("train", "bus") for i in range(10))
    listed(tmp_path, f"path,label\n{paths}\n")
    assert Folder(tmp_path).class_names == ("bus", "train")


@pytest.mark.parametrize(
    ("present", "expected", "held_out"),
    [
        ((), [10, 4, 6], ("validation", "test")),
        (("train",), [10, 4, 6], ("validation", "test")),
        (("train", "test"), [16, 4, 20], ("validation",)),
        (("train", "validation"), [14, 20, 6], ("test",)),
    ],
)
def test_missing_splits_are_held_out(
    tmp_path: Path, present: tuple[str, ...], expected: list[int], held_out: tuple[str, ...]
) -> None:
    prefixes = [f"{split}/" for split in present] or [""]
    pictures(tmp_path, *(f"{prefix}{name}" for prefix in prefixes for name in "ab"), count=10)
    dataset = Folder(tmp_path)
    assert sizes(dataset) == expected
    assert dataset.held_out == held_out
    assert [note.split()[1] for note in dataset.notes] == list(held_out)
    assert dataset.splits["test"].truth is ("test" in present)
    for split in SPLITS:
        counts = Counter(dataset.splits[split].labels.tolist())
        assert counts[0] == counts[1]
    names = [name for split in SPLITS for name in dataset.splits[split].names]
    assert len(set(names)) == len(names) == 20 * len(prefixes)


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=4), data=st.data())
@settings(max_examples=40, deadline=None)
def test_holding_out_rests_on_paths_alone(counts: list[int], data: st.DataObject) -> None:
    names = [f"{label}/{i}" for label, count in enumerate(counts) for i in range(count)]
    shares = data.draw(st.sampled_from([{"validation": 20}, {"test": 30}, {"validation": 20, "test": 30}]))

    def split(chosen: Sequence[str]) -> dict[str, str]:
        part = Part(chosen, {GIVEN: [name.partition("/")[0] for name in chosen]}, chosen)
        parts = hold_out(part, shares)
        assert all(list(p.names) == sorted(p.names) for p in parts.values())
        return {name: where for where, p in parts.items() for name in p.names}

    whole = split(names)
    assert set(whole) == set(names)
    assert split(data.draw(st.permutations(names))) == whole
    for label, count in enumerate(counts):
        got = Counter(where for name, where in whole.items() if name.startswith(f"{label}/"))
        assert got["train"] >= 1
        for where, percent in shares.items():
            assert abs(got[where] - count * percent / 100) <= 1
        assert not ("test" in shares and count > 1) or got["test"]
    more = split([*names, "0/new"])
    assert sum(more[name] != whole[name] for name in names) <= len(shares)


def test_a_copy_elsewhere_is_the_same_data_set(tmp_path: Path) -> None:
    pictures(tmp_path / "one", "cat", "dog", count=8)
    shutil.copytree(tmp_path / "one", tmp_path / "two" / "deeper")
    one, two = Folder(tmp_path / "one"), Folder(tmp_path / "two" / "deeper")
    assert one.digest == two.digest
    for split in SPLITS:
        assert list(one.splits[split].names) == list(two.splits[split].names)
    names = [f"folder:{tmp_path / place}" for place in ("one", "two/deeper")]
    assert named.identity(names[0]) == named.identity(names[1])
    assert str(tmp_path) not in named.identity(names[0])


def test_whatever_changes_a_number_changes_the_digest(tmp_path: Path) -> None:
    rows = "path,label,true_label,ann_label\n" + "".join(f"{i}.png,{'ab'[i % 2]},a,b\n" for i in range(6))
    root = listed(tmp_path, f"{rows}6.png,b,b,b\n7.png,b,b,b\n8.png,b,b,b\n")
    base = Folder(root)
    seen, images = {base.digest}, {base.images_digest}

    def changed() -> Folder:
        found = Folder(root)
        assert found.digest not in seen
        seen.add(found.digest)
        return found

    for old, new in (("1.png,b,a,b", "1.png,a,a,b"), ("2.png,a,a,b", "2.png,a,b,b"), ("3.png,b,a,b", "3.png,b,a,a")):
        (root / "labels.csv").write_text((root / "labels.csv").read_text().replace(old, new))
        changed()
    for about in ('templates = ["{}"]', '[names]\na = "ant"'):
        (root / "dataset.toml").write_text(about)
        images.add(changed().images_digest)
    assert len(images) == 1, "features outlive a change of labels and names"
    picture(root / "x" / "other.png")
    shutil.copy(root / "x" / "other.png", root / "7.png")
    images.add(changed().images_digest)
    assert len(images) == 2


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


def test_a_file_of_classes_fixes_their_order(tmp_path: Path) -> None:
    pictures(tmp_path, "a", "b", "c")
    (tmp_path / "classes.txt").write_text("\ufeffc\r\na\r\n\r\nb\r\n", encoding="utf-8")
    dataset = Folder(tmp_path)
    assert dataset.class_names == ("c", "a", "b")
    assert labels(dataset.splits["test"], dataset).items() >= {
        (name, name[0]) for name in dataset.splits["test"].names
    }  # fmt: skip


def test_what_a_user_says_of_the_data(tmp_path: Path) -> None:
    pictures(tmp_path, "n01", "n02")
    about = (
        'labels = "true"\ntemplates = ["{} here.", "a {}"]\ntitle = "Ours"\nlicence = "CC0"\n[names]\nn01 = "fish"\n'
    )
    (tmp_path / "dataset.toml").write_text(about)
    dataset = Folder(tmp_path)
    assert all(dataset.splits[split].truth for split in SPLITS)
    assert dataset.class_names == ("fish", "n02")
    assert (dataset.templates, dataset.source, dataset.licence) == (("{} here.", "a {}"), "Ours", "CC0")


def test_broken_images_are_named_or_left_out(tmp_path: Path) -> None:
    pictures(tmp_path, "train/a", "train/b", "test/a", "test/b", count=6)
    for name in ("train/a/3.png", "test/b/0.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:40])
    strict = Folder(tmp_path)
    position = list(strict.splits["test"].names).index("test/b/0.png")
    with pytest.raises(BenchError, match=r"test/b/0\.png.* cannot be decoded"):
        strict.splits["test"].images[position]
    lenient = Folder(tmp_path, skip_broken=True)
    assert sizes(lenient) == [9, 2, 11]
    assert sorted(lenient.skipped) == ["test/b/0.png", "train/a/3.png"]
    assert lenient.digest != strict.digest
    for index in range(6):
        (tmp_path / f"test/a/{index}.png").write_bytes(b"x")
        (tmp_path / f"test/b/{index}.png").write_bytes(b"x")
    fails(tmp_path, "no image of the test split can be decoded", skip_broken=True)


def test_a_path_that_is_not_there() -> None:
    assert Folder(Path("no/such")).missing() == ["dataset folder:no/such does not exist; change the path."]
    assert len(Folder().missing()) == 1
    fails(Path("no/such"), "does not exist")
    for name in ("folder", "folder:", " folder: "):
        with pytest.raises(BenchError, match="write folder:PATH"):
            named.canonical(name)


def test_mistakes_in_folders(tmp_path: Path) -> None:
    def case(name: str, *folders: str, count: int = 3) -> Path:
        (tmp_path / name).mkdir()
        return pictures(tmp_path / name, *folders, count=count)

    fails(case("empty"), "has no folders of images")
    fails(case("one", "a"), "images of one class alone, a")
    fails(case("few", "a", "b", count=1), "too few training images to hold out a validation split")
    fails(case("no train", "test/a", "test/b"), "has a folder test and no folder train")
    both = case("both", "train/a", "train/b", "val/a", "valid/a")
    fails(both, "two folders of the validation split, val and valid")
    bare = case("bare", "train/a", "train/b")
    (bare / "train" / "c").mkdir()
    fails(bare, f'class folder "{bare}/train/c" has no image')
    loose = case("loose", "train/a", "train/b")
    picture(loose / "train" / "lost.png")
    fails(loose, 'holds an image in no folder of a class, first "lost.png"')
    other = case("other", "train/cat", "train/dog", "test/cat", "test/dgo")
    assert f'"{other}/test/dgo/0.png"' in fails(other, 'did you mean "dog"?')
    alike = case("alike", "a_b", "a b")
    fails(alike, 'two classes are "a b" in prompts')
    fixed = case("fixed", "cat", "dgo")
    (fixed / "classes.txt").write_text("cat\ndog\n")
    fails(fixed, 'class "dog" of classes.txt has no training image')
    (fixed / "classes.txt").write_text("cat\ncat\n")
    fails(fixed, 'names class "cat" twice')
    (fixed / "classes.txt").write_text("\n")
    fails(fixed, "names no class")
    (fixed / "classes.txt").write_bytes(b"caf\xe9\n")
    fails(fixed, 'classes.txt" is not UTF-8 (byte 3)')
    (tmp_path / "file.txt").write_text("")
    fails(tmp_path / "file.txt", "is a file; expected a folder")


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ('lables = "true"', 'unknown key "lables"; did you mean "labels"?'),
        ('labels = "yes"', "labels = 'yes': expected 'true' or 'given'"),
        ("templates = []", "templates = []: expected"),
        ('templates = ["a photo"]', "templates = 'a photo': expected a text with \"{}\" once"),
        ('templates = ["a {} {x}"]', 'expected a text with "{}" once'),
        ("labels = true", "labels = True: expected"),
        ('[names]\nct = "cat"', 'class "ct" is none of the 2 classes; did you mean "cat"?'),
        ("labels = ", "is not valid TOML"),
    ],
)
def test_mistakes_in_dataset_toml(tmp_path: Path, about: str, message: str) -> None:
    pictures(tmp_path, "cat", "dog")
    (tmp_path / "dataset.toml").write_text(about)
    fails(tmp_path, message)


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
        ("path,label\n1.png,a\n,b\n", "line 3: path is empty"),
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
    for name in ("1.png", "2.png", "3.png", "train/1.png", "rest/2.png"):
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
    (tmp_path / "labels.csv").rename(tmp_path / "x_labels.csv")
    (tmp_path / "y_labels.csv").write_text("path,label\n")
    fails(tmp_path, "several lists of labels (x_labels.csv, y_labels.csv)")


def blocks(kind: str) -> list[str]:
    return [part.partition("```")[0] for part in PAGE.split(f"```{kind}\n")[1:]]


def test_the_layouts_of_the_page_open(tmp_path: Path) -> None:
    root, depth = tmp_path / "folders", [""]
    for line in blocks("text")[0].splitlines()[1:]:
        indent, _, rest = line.partition("── ")
        name = rest.split()[0]
        depth[len(indent) // 4 + 1 :] = [name.rstrip("/")]
        if Path(name).suffix.lower() in (".jpg", ".png", ".jpeg"):
            picture(root.joinpath(*filter(None, depth)))
    (root / "classes.txt").write_text("tabby_cat\ngolden_retriever\n")
    (root / "dataset.toml").write_text(blocks("toml")[0])
    dataset = Folder(root)
    assert dataset.class_names == ("tabby cat at home", "golden retriever")
    assert sizes(dataset) == [4, 2, 2]
    assert dataset.held_out == ()
    table = Folder(listed(tmp_path / "table", blocks("csv")[0]))
    assert sizes(table) == [3, 2, 2]
    assert set(table.splits["train"].annotations) == {"given", "alice"}


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
