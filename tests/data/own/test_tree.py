"""A user's folders: what is a split, what merely looks like one, and what is left out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.data.own.folder import Folder
from bench.data.own.parts import like_split, split_of
from bench.errors import BenchError
from bench.images import walk
from bench.images.walk import Walk, endings
from tests.data.own.files import fails, listed, picture, pictures, sizes

UNDERSTOOD = "splits are called train or training, validation, val, valid or dev, test, testing, eval or evaluation"


def splits(root: Path, *names: str) -> Path:
    return pictures(root, *(f"{name}/{label}" for name in names for label in ("cat", "dog")))


@pytest.mark.parametrize(
    ("names", "validation"),
    [
        (("Training", "Testing"), False),
        (("train_images", "test_images"), False),
        (("images-train", "Images Test"), False),
        (("TrainSet", "testset"), False),
        (("training data", "EVAL"), False),
        (("train_split", "dev", "evaluation"), True),
        (("imgs_train", "ValImages", "test photos"), True),
        (("train", "valid_data", "test.data"), True),
    ],
)
def test_splits_by_their_usual_names(names: tuple[str, ...], validation: bool, tmp_path: Path) -> None:
    dataset = Folder(splits(tmp_path, *names))
    assert dataset.class_names == ("cat", "dog")
    assert sizes(dataset) == ([6, 6, 6] if validation else [4, 2, 6])
    assert dataset.splits["test"].truth
    assert dataset.left_out == ()


def test_words_of_splits() -> None:
    assert [split_of(name) for name in ("train", "VAL", "dev set")] == ["train", "validation", "validation"]
    assert not any(map(split_of, ("set", "trains", "train station", "trainee", "my_train", "")))
    assert [like_split(name) for name in ("train2017", "my-test", "myTrain", "testB", "split_val_3")] == [
        "train", "test", "train", "test", "validation",
    ]  # fmt: skip
    assert not any(map(like_split, ("train", "testing", "train station", "latest", "contest", "2017", "bus")))


@pytest.mark.parametrize("names", [("train2017", "val2017"), ("my_train", "my_test"), ("train", "test", "val_2")])
def test_what_looks_like_a_split_is_refused_with_the_names_understood(names: tuple[str, ...], tmp_path: Path) -> None:
    text = fails(splits(tmp_path, *names), "split and is not called like one")
    assert UNDERSTOOD in text
    assert any(f'the folder "{name}" looks like a ' in text for name in names)


def test_splits_in_another_language_are_refused(tmp_path: Path) -> None:
    splits(tmp_path, "entrenamiento", "prueba")
    pictures(tmp_path, "entrenamiento/bird")
    text = fails(tmp_path, "entrenamiento, prueba have the same folders inside (bird, cat, dog), as splits have")
    assert UNDERSTOOD in text
    (tmp_path / "classes.txt").write_text("entrenamiento\nprueba\n")
    assert Folder(tmp_path).class_names == ("entrenamiento", "prueba")


def test_classes_that_a_file_names_are_classes_whatever_they_are_called(tmp_path: Path) -> None:
    splits(tmp_path, "train2017", "bus")
    fails(tmp_path, 'the folder "train2017" looks like a train split')
    (tmp_path / "classes.txt").write_text("bus\ntrain2017\n")
    assert Folder(tmp_path).class_names == ("bus", "train2017")


def test_classes_that_are_called_like_the_splits_are_classes_inside_them(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{split}/{name}" for split in ("train", "test") for name in ("train", "bus")))
    (tmp_path / "classes.txt").write_text("train\nbus\n")
    assert sizes(Folder(tmp_path)) == [4, 2, 6]


@pytest.mark.parametrize("names", [("train station", "bus"), ("train", "bus"), ("test tube", "flask"), ("eval", "x")])
def test_folders_that_hold_images_are_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    assert Folder(pictures(tmp_path, *names)).class_names == tuple(sorted(names))
    assert Folder(tmp_path).left_out == ()


def test_classes_whose_images_lie_deeper_are_classes(tmp_path: Path) -> None:
    pictures(tmp_path, "cat/indoor", "cat/garden", "dog/garden", "dog/beach", "train station/paris")
    assert Folder(tmp_path).class_names == ("cat", "dog", "train station")
    same = pictures(tmp_path / "images", "cat/images", "dog/images")
    assert Folder(same).class_names == ("cat", "dog"), "one folder in each is no list of classes"


@pytest.mark.parametrize("names", [("train", "test"), ("train2017", "val2017"), ("trainA", "testA", "trainB", "testB")])
def test_splits_without_folders_of_classes_are_no_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    fails(pictures(tmp_path, *names), "are splits by their names and hold images in no folder of a class")


def test_what_lies_beside_the_splits_is_said(tmp_path: Path) -> None:
    splits(tmp_path, "train", "val", "extra")
    pictures(tmp_path, "test")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "readme.txt").write_text("no image")
    picture(tmp_path / "preview.png")
    dataset = Folder(tmp_path)
    assert dataset.held_out == ("test",)
    assert dataset.left_out == (
        'Left out: 1 image in no folder of a class, "preview.png".',
        'Left out: 2 folders of images that are no splits with folders of classes, first "extra".',
    )


def test_images_of_a_split_that_a_list_does_not_name_are_said(tmp_path: Path) -> None:
    rows = [f"i/{n}.png,{'ab'[n % 2]},train" for n in range(6)] + ["test/a/0.png,a,test", "test/b/0.png,b,test"]
    listed(tmp_path, "\n".join(["path,label,split", *rows]) + "\n")
    assert Folder(tmp_path).left_out == ()
    pictures(tmp_path, "test/a", "test/b", count=2)
    assert Folder(tmp_path).left_out == (
        'Left out: 2 images in folders of splits that no row names, first "test/a/1.png".',
    )


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    root = splits(tmp_path / "mine", "train", "test")
    train, cat = root / "train", root / "train" / "cat"
    whole = Folder(root)
    assert whole.left_out == ()
    for name in ("x.heic", "y.HEIC", "z.cr2", "0.png.1", "1.png~", "2.png?w=200"):
        (cat / name).write_bytes(b"whatever")
    shutil.copy(cat / "0.png", cat / "bare")
    (cat / "README").write_text("text")
    (cat / "0.txt").write_text("text")
    (cat / "0.json").write_text("{}")
    (cat / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (cat / "circle.png").symlink_to(cat / "circle.png")
    for name in (".hidden.png", ".ipynb_checkpoints/x.png", "@eaDir/x.png", "#recycle/x.png"):
        picture(cat / name)
    for name in ("__MACOSX/x.png", "$RECYCLE.BIN/x.png"):
        picture(train / name)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png"):
        (cat / name).write_bytes(b"not worth a word")
    dataset = Folder(root)
    assert dataset.digest == whole.digest
    assert dataset.left_out == (
        "Left out: 7 files of kinds that are not read (.heic 2, .1 1, .png~ 1, .png?w=200 1, no ending 1), first "
        '"train/cat/0.png.1".',
        'Left out: 2 links that lead nowhere, first "train/cat/circle.png".',
        'Left out: 2 hidden files or folders, first "train/cat/.hidden.png".',
        'Left out: 4 folders of a system\'s own files, first "train/$RECYCLE.BIN".',
    )


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders called "locked" cannot be opened and files called so not be read, also by who may read everything."""
    scandir, access = os.scandir, os.access

    def refused(path: Any) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    def allowed(path: Any, mode: int) -> bool:
        return not (mode & os.R_OK and Path(path).stem == "locked") and access(path, mode)

    monkeypatch.setattr(walk.os, "scandir", refused)
    monkeypatch.setattr(walk.os, "access", allowed)


@pytest.mark.usefixtures("locked")
def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    root = splits(tmp_path, "train", "test")
    pictures(root, "train/cat/locked")
    picture(root / "train" / "dog" / "locked.png")
    dataset = Folder(root)
    assert sizes(dataset) == [4, 2, 6]
    assert dataset.left_out == ('Left out: 2 files or folders that cannot be read, first "train/cat/locked".',)
    pictures(root, "train/locked")
    text = fails(root, f'class folder "{root}/train/locked" has no image')
    assert 'Left out: 3 files or folders that cannot be read, first "train/cat/locked".' in text


def test_every_picture_that_pillow_opens_is_read(tmp_path: Path) -> None:
    assert endings() >= {".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
    assert not endings() & {".pdf", ".eps", ".ps", ".h5", ".mpg", ".txt", ".heic", ""}
    pictures(tmp_path, "a", "b", count=2)
    image = Image.new("RGB", (4, 4))
    for ending in endings() & {".jfif", ".jpe", ".jp2", ".avif", ".webp", ".tga", ".ico", ".pcx"}:
        name = f"x{ending}"
        image.save(tmp_path / "a" / name, format=Image.registered_extensions()[ending])
        (tmp_path / "a" / name).rename(tmp_path / "a" / name.upper())
        names = {name for part in Folder(tmp_path).splits.values() for name in part.names}
        assert f"a/{name.upper()}" in names
        (tmp_path / "a" / name.upper()).unlink()


def test_an_ending_that_this_pillow_lacks_is_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endings.cache_clear()
    monkeypatch.setattr(walk.features, "check", lambda feature: feature != "avif")
    try:
        pictures(tmp_path, "a", "b")
        (tmp_path / "a" / "x.avif").write_bytes(b"x")
        assert Folder(tmp_path).left_out == ('Left out: 1 file of a kind that is not read (.avif 1), "a/x.avif".',)
    finally:
        endings.cache_clear()


@pytest.fixture
def latin(tmp_path: Path) -> Path:
    """A file and a folder of names that are not UTF-8."""
    root = splits(tmp_path / "mine", "train", "test")
    try:
        os.mkdir(os.fsencode(root / "test" / "cat") + b"/caf\xe9")  # noqa: PTH102 - bytes
    except OSError:
        pytest.skip("this file system takes no name that is not UTF-8")
    picture(tmp_path / "x.png")
    (tmp_path / "x.png").rename(root / "test" / "cat" / "caf\udce9" / "x.png")
    return root


def test_a_name_that_is_not_utf8_is_one_clear_line(latin: Path) -> None:
    folder = latin / "test" / "cat" / "caf\udce9"
    assert rf'{latin}/test/cat/caf\xe9" has a name that is not UTF-8; rename it' in fails(latin, "not UTF-8")
    folder.rename(latin / "test" / "cat" / "plain")
    Folder(latin).digest  # noqa: B018 - nothing is wrong
    (latin / "test" / "cat" / "notes\udce9.txt").write_text("is no image")
    Folder(latin).digest  # noqa: B018
    (latin / "test" / "cat" / "0.png").rename(latin / "test" / "cat" / "\udce9.png")
    assert r"\xe9.png" in fails(latin, "not UTF-8")


def test_a_path_that_is_not_utf8_or_too_long_is_one_clear_line() -> None:
    from bench import dataset_name

    with pytest.raises(BenchError, match=r"caf\\xe9\" has a path that is not UTF-8"):
        dataset_name.canonical("folder:caf\udce9")
    fails(Path("a" * 300), "does not exist")


def test_a_walk_of_a_link_takes_the_first_way(tmp_path: Path) -> None:
    pictures(tmp_path, "a/m", "a/z", count=1)
    (tmp_path / "a" / "b").symlink_to(tmp_path / "a" / "m")
    (tmp_path / "a" / "m" / "up").symlink_to(tmp_path / "a")
    found = [path.relative_to(tmp_path).as_posix() for path in Walk(tmp_path).images(tmp_path / "a")]
    assert found == ["a/b/0.png", "a/z/0.png"]
