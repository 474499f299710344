"""`bench data verify`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.cli.main import invoke
from bench.contracts.dataset import Split
from bench.data import library
from bench.data.catalogue import Download
from bench.data.download.prepare import Place
from bench.data.download.verify import broken, verify_dataset
from bench.images.loader import LoaderLimits
from tests.data import miniature
from tests.data.loopback import Loopback
from tests.data.miniature import SPLIT
from tests.data.own.files import pictures

IMAGES = "101_ObjectCategories"
pytestmark = pytest.mark.usefixtures("root")


def test_verify_decodes_every_image_and_names_the_broken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "prepare", "caltech101"]) == 0
    capsys.readouterr()
    assert invoke(["data", "verify"]) == 0  # of all that are ready
    out = capsys.readouterr().out
    assert "caltech101: 3 classes, 12 train + 6 validation + 9 test images, 27 decoded in" in out
    assert "caltech101: is as it should be." in out
    assert "caltech101[mode=tv]: is as it should be." in out
    broken = sorted((folder / IMAGES).rglob("t*/*.jpg"))[::2]
    for file in broken:
        file.write_bytes(file.read_bytes()[:300])
    library.open_dataset.cache_clear()
    assert invoke(["data", "verify", "caltech101"]) == 2
    printed = capsys.readouterr()
    errors = printed.err.splitlines()
    assert len(errors) == 6
    assert all(".jpg" in line for line in errors[:5])
    assert errors[5] == "error: dataset caltech101: 9 images in all cannot be decoded."
    assert "18 decoded" in printed.out
    assert "is NOT as it should be" in printed.out


def test_worker_processes_find_the_same(tmp_path: Path) -> None:
    for path, content in miniature.images().items():
        file = tmp_path / "mine" / Path(path).relative_to(IMAGES)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    place = Place(f"folder:{tmp_path}/mine", {})
    progress: list[tuple[int, int | None]] = []
    found = verify_dataset(place, lambda *amount: progress.append(amount), LoaderLimits(2, small=0, memory=1))
    assert (sum(found.images), found.broken, progress[-1]) == (27, [], (27, 27))
    (tmp_path / "mine" / "one" / "image_0001.jpg").write_bytes(b"no image")
    library.open_dataset.cache_clear()
    (line,) = verify_dataset(Place(place.name, {}), lambda *_: None, LoaderLimits(2, small=0, memory=1)).broken
    assert 'mine/one/image_0001.jpg" cannot be decoded: not an image' in line


class Raising(list[Image.Image]):
    """Images whose decoder raises what it likes."""

    def __getitem__(self, index: Any) -> Any:
        raise RuntimeError(f"torn\nat {index}")


def test_whatever_a_decoder_raises_names_the_image() -> None:
    whole = Split([Image.new("RGB", (2, 2))], np.zeros(1, np.int64))
    torn = Split(Raising(whole.images), np.zeros(1, np.int64), names=["a.png"])
    assert broken([whole, whole, torn], range(3)) == ['test image "a.png" cannot be decoded: torn at 0.']


def test_verify_says_how_images_are_read_and_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = pictures(tmp_path / "mine", "train/a", "train/b", "test/a", "test/b", count=4)
    assert invoke(["data", "verify", f"folder:{root}"]) == 0
    assert capsys.readouterr().out.endswith(": is as it should be.\n")
    Image.new("I;16", (4, 4), 9).save(root / "train" / "a" / "deep.png")
    (root / "train" / "a" / "phone.heic").write_bytes(b"x")
    (root / "test" / "b" / "gone.png").symlink_to(root / "nowhere")
    library.open_dataset.cache_clear()
    assert invoke(["data", "verify", f"folder:{root}"]) == 0
    lines = [line.removeprefix(f"folder:{root}: ") for line in capsys.readouterr().out.splitlines()]
    assert lines[-5:] == [
        "The validation split is 20 % of the training images of every class, held out by a hash of their paths.",
        "One image is greyscale of 16 bits: 0 to 65,535 is scaled to 0 to 255.",
        'Left out: 1 file of a kind that is not read (.heic 1), "train/a/phone.heic".',
        'Left out: 1 link that leads nowhere, "test/b/gone.png".',
        "is as it should be, but for what is left out.",
    ]


@pytest.mark.parametrize("names", [("my_train", "my_test"), ("entrenamiento", "prueba"), ("train", "test")])
def test_a_tree_that_is_no_data_set_is_not_as_it_should_be(
    names: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = [""] if names == ("train", "test") else ["/cat", "/dog"]
    root = pictures(tmp_path / "mine", *(f"{name}{more}" for name in names for more in inner))
    assert invoke(["data", "verify", f"folder:{root}"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "is NOT as it should be" in captured.out


def test_verify_tells_what_differs_from_the_record(
    server: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["data", "prepare", "caltech101"]) == 0
    capsys.readouterr()
    content = miniature.split_file()
    content["test"].pop()
    (folder / SPLIT).write_text(json.dumps(content))
    library.open_dataset.cache_clear()
    assert invoke(["data", "verify", "caltech101"]) == 2
    assert "sha256" in capsys.readouterr().err
    (folder / SPLIT).write_text(json.dumps(miniature.split_file()))  # written otherwise, the same content
    extra = Download(name="labels.txt", urls=("http://127.0.0.1:1/",), sha256="0" * 64, gives=("labels.txt",))
    (folder / "labels.txt").write_text("a")
    entry = miniature.plant(server, monkeypatch)
    miniature.serve(monkeypatch, entry.model_copy(update={"downloads": (*entry.downloads, extra)}))
    assert invoke(["data", "verify", "caltech101"]) == 2
    printed = capsys.readouterr()
    assert 'labels.txt" is not the expected file (sha256 ' in printed.err
    assert printed.err.count("\n") == 1
    shutil.rmtree(folder)
    library.open_dataset.cache_clear()
    assert invoke(["data", "verify", "caltech101"]) == 2
    assert "bench data prepare caltech101" in capsys.readouterr().err


def test_verify_names_classes_that_no_prompt_tells_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "mine", "Cat", "cat", "dog", count=8)
    assert invoke(["data", "verify", f"folder:{tmp_path}/mine"]) == 2
    printed = capsys.readouterr()
    (line,) = [line for line in printed.err.splitlines() if "same tokens" in line]
    assert 'the classes "Cat" and "cat" are the same tokens to CLIP' in line
    assert "24 decoded" in printed.out
