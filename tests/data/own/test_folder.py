"""A user's own images in folders: what is held out, what is known to be true, and every mistake in one line."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench import dataset_name
from bench.contracts.dataset import SPLITS
from bench.data import library
from bench.data.own.folder import Folder
from bench.data.own.parts import GIVEN, OwnSplit, hold_out
from bench.errors import BenchError
from tests import ROOT
from tests.data.own.files import fails, labels, listed, picture, pictures, sizes

PAGE = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")


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
        part = OwnSplit(chosen, {GIVEN: [name.partition("/")[0] for name in chosen]}, chosen)
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
    assert library.identity(names[0]) == library.identity(names[1])
    assert str(tmp_path) not in library.identity(names[0])


def test_whatever_changes_a_number_changes_the_digest(tmp_path: Path) -> None:
    rows = "".join(
        f"{i}.png,{'ab'[i % 2]},a,train,b\n{i}v.png,b,b,validation,b\n{i}t.png,b,b,test,b\n" for i in range(4)
    )
    root = listed(tmp_path, f"path,label,true_label,split,ann_label\n{rows}")
    base = Folder(root)
    seen, images = {base.digest}, {base.images_digest}

    def changed() -> Folder:
        found = Folder(root)
        assert found.digest not in seen
        seen.add(found.digest)
        return found

    for old, new in (
        ("1.png,b,a,", "1.png,a,a,"),
        ("2.png,a,a,", "2.png,a,b,"),
        ("3.png,b,a,train,b", "3.png,b,a,train,a"),
    ):
        (root / "labels.csv").write_text((root / "labels.csv").read_text().replace(old, new))
        changed()
    for about in ('templates = ["{}"]', '[names]\na = "ant"'):
        (root / "dataset.toml").write_text(about)
        images.add(changed().images_digest)
    assert len(images) == 1, "features outlive a change of labels and names"
    picture(root / "x" / "other.png")
    shutil.copy(root / "x" / "other.png", root / "1t.png")
    images.add(changed().images_digest)
    assert len(images) == 2


@pytest.mark.parametrize("first", ["digest", "splits"])
def test_an_image_that_changes_after_the_digest_was_taken_is_not_read(tmp_path: Path, first: str) -> None:
    """Features are kept under the digest: those of other bytes would stand for these images ever after."""
    dataset = Folder(pictures(tmp_path, "train/a", "train/b", "test/a", "test/b", "val/a", "val/b"))
    getattr(dataset, first)
    digest, images = dataset.digest, dataset.splits["test"].images
    assert images[0].size == (5, 6)
    picture(tmp_path / "other.png")
    shutil.copy(tmp_path / "other.png", tmp_path / "test" / "a" / "0.png")
    with pytest.raises(BenchError, match=r'test/a/0\.png" was changed while its data set was in use; run again'):
        images[0]
    assert images[1].size == (5, 6)
    (tmp_path / "other.png").unlink()
    assert Folder(tmp_path).digest != digest


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
    (pictures(tmp_path, "train/c", count=1) / "train/c/0.png").write_bytes(b"x")
    fails(tmp_path, 'no image of class "c" can be decoded', skip_broken=True)
    (tmp_path / "train/c/0.png").unlink()
    (tmp_path / "train/c").rmdir()
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
            dataset_name.canonical(name)


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
        ("templates = []", "templates = []: expected at least one value."),
        ("[names]\na = 3", "names.a = 3: expected a valid string."),
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
