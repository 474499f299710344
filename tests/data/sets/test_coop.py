"""Mode `coop`: CoOp's split files, read from miniature copies of the layouts they go with."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from bench.contracts.dataset import SPLITS
from bench.data import catalogue
from bench.data.sets.coop import KEYS, read_split_file
from bench.errors import BenchError
from bench.images.decode import FileImages
from bench.plugins import DATASETS
from tests.data.layouts import NAMES, colour, coop_layout, picture, shown


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path / "cache"))


def one_line(error: pytest.ExceptionInfo[BenchError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_split_file_becomes_three_splits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = coop_layout(tmp_path / "set", name, monkeypatch)
    dataset = DATASETS.get(name)(tmp_path / "set")
    assert dataset.mode == "coop"
    assert dataset.missing() == []
    assert dataset.class_names == ("class_0", "class_1", "class_2")
    images = catalogue.entry(name).split.images  # type: ignore[union-attr]
    for split in SPLITS:
        part, listed = dataset.splits[split], rows[KEYS[split]]
        assert list(part.names) == [f"{images}/{path}" if images else path for path, _, _ in listed]
        assert part.labels.tolist() == [label for _, label, _ in listed]
        assert part.truth
        assert [shown(image) for image in part.images] == [colour(name) for name in part.names]
    assert len(dataset.digest) == 64


def test_the_default_place_is_under_the_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coop_layout(tmp_path / "oxford_pets", "oxfordpets", monkeypatch)
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(tmp_path))
    assert len(DATASETS.get("oxford_pets")().splits["train"]) == 12


def test_a_compressed_or_rewritten_split_file_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coop_layout(tmp_path, "dtd", monkeypatch)
    plain = DATASETS.get("dtd")(tmp_path)
    before = [plain.splits[split].names for split in SPLITS]
    file = tmp_path / "split_zhou_DescribableTextures.json"
    content = json.loads(file.read_text())
    file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(json.dumps(content, indent=4).encode()))
    file.unlink()
    dataset = DATASETS.get("dtd")(tmp_path)
    assert [dataset.splits[split].names for split in SPLITS] == before
    assert dataset.digest == plain.digest


def test_images_under_a_folder_of_the_archive_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coop_layout(tmp_path, "dtd", monkeypatch)
    (tmp_path / "dtd").mkdir()
    (tmp_path / "images").rename(tmp_path / "dtd" / "images")
    dataset = DATASETS.get("dtd")(tmp_path)
    assert dataset.splits["train"].name(0).startswith("images/")
    assert shown(dataset.splits["train"].images[0]) == colour(dataset.splits["train"].name(0))


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    dataset = DATASETS.get("dtd")(tmp_path / "nowhere")
    (line,) = dataset.missing()
    for part in ("dataset dtd", "nowhere", "images, split_zhou_DescribableTextures.json", "bench data prepare dtd"):
        assert part in line
    assert "[dataset.dtd]" in line
    with pytest.raises(BenchError) as error:
        dataset.splits  # noqa: B018
    assert one_line(error) == line


def test_what_must_be_fetched_by_hand_is_a_line_of_its_own(tmp_path: Path) -> None:
    by_hand, fetched = DATASETS.get("stanfordcars")(tmp_path).missing()
    assert "cars_train, cars_test" in by_hand
    assert "server is gone" in by_hand
    assert "split_zhou_StanfordCars.json" in fetched
    assert "bench data prepare stanfordcars" in fetched


def test_absent_images_are_counted_and_the_first_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = coop_layout(tmp_path, "food101", monkeypatch)
    first, second = rows["train"][3][0], rows["test"][0][0]
    (tmp_path / "images" / first).unlink()
    (tmp_path / "images" / second).unlink()
    (line,) = DATASETS.get("food101")(tmp_path).missing()
    assert "2 of 27 images are missing" in line
    assert first in line
    with pytest.raises(BenchError, match="2 of 27 images"):
        DATASETS.get("food101")(tmp_path).load("train")


def test_an_altered_split_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = coop_layout(tmp_path, "eurosat", monkeypatch)
    rows["train"][0], rows["test"][0] = rows["test"][0], rows["train"][0]
    (tmp_path / "split_zhou_EuroSAT.json").write_text(json.dumps(rows))
    dataset = DATASETS.get("eurosat")(tmp_path)
    with pytest.raises(BenchError) as error:
        dataset.load("test")
    expected = catalogue.entry("eurosat").split.sha256  # type: ignore[union-attr]
    for part in ("split_zhou_EuroSAT.json", "is not CoOp's", expected, "fetch it again"):
        assert part in one_line(error)
    assert dataset.missing() == [str(error.value)]


def test_without_a_known_hash_the_sizes_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = coop_layout(tmp_path, "sun397", monkeypatch)
    entry = catalogue.entry("sun397")
    split = entry.split.model_copy(update={"sha256": ""})  # type: ignore[union-attr]
    monkeypatch.setattr(catalogue, "entry", lambda name: entry.model_copy(update={"split": split}))
    rows["val"].pop()
    (tmp_path / "split_zhou_SUN397.json").write_text(json.dumps(rows))
    with pytest.raises(BenchError, match="5 validation images, expected 6"):
        DATASETS.get("sun397")(tmp_path).load("train")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([], 'no lists "train", "val" and "test"'),
        ({"train": [], "val": []}, 'no lists "train", "val" and "test"'),
        ({"train": [["a.jpg", "0", "x"]], "val": [], "test": []}, "no path, label and class name"),
        ({"train": [["a.jpg", 0]], "val": [], "test": []}, "no path, label and class name"),
        ({"train": [["a.jpg", 0, "x"], ["b.jpg", 0, "y"]], "val": [], "test": []}, 'label 0 is both "x" and "y"'),
        ({"train": [["a.jpg", 1, "x"]], "val": [], "test": []}, "not 0, 1, 2"),
        ({"train": [], "val": [], "test": []}, "not 0, 1, 2"),
        ({"train": [["../a.jpg", 0, "x"]], "val": [], "test": []}, "leaves the folder"),
        ({"train": [["/a.jpg", 0, "x"]], "val": [], "test": []}, "leaves the folder"),
    ],
)
def test_a_malformed_split_file_is_refused(content: Any, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_text(json.dumps(content))
    with pytest.raises(BenchError) as error:
        read_split_file(file)
    assert reason in one_line(error)


@pytest.mark.parametrize("name", ["split.json", "split.json.gz"])
def test_a_split_file_that_is_no_json_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"<html>no\nfile</html>")
    with pytest.raises(BenchError) as error:
        read_split_file(tmp_path / name)
    assert "cannot be read" in one_line(error)


def test_a_broken_image_is_named_when_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coop_layout(tmp_path, "caltech101", monkeypatch)
    dataset = DATASETS.get("caltech101")(tmp_path)
    train = dataset.splits["train"]
    file = tmp_path / train.name(2)
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(BenchError) as error:
        train.images[2]
    assert str(file) in one_line(error)
    assert "skip_broken = true" in one_line(error)
    file.unlink()
    with pytest.raises(BenchError, match="is not there"):
        train.images[2]
    assert shown(train.images[3]) == colour(train.name(3))


def test_broken_images_are_left_out_of_their_split_if_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coop_layout(tmp_path, "caltech101", monkeypatch)
    whole = DATASETS.get("caltech101")(tmp_path)
    gone = [whole.splits["train"].name(1), whole.splits["test"].name(0)]
    for name in gone:
        (tmp_path / name).write_bytes(b"no image")
    dataset = DATASETS.get("caltech101")(tmp_path, None, True)
    assert dataset.missing() == []
    assert dataset.skipped == tuple(gone)
    assert [len(dataset.splits[split]) for split in SPLITS] == [11, 6, 8]
    train = dataset.splits["train"]
    assert [shown(image) for image in train.images] == [colour(name) for name in train.names]
    kept = [i for i in range(12) if i != 1]
    assert train.labels.tolist() == whole.splits["train"].labels[kept].tolist()
    assert whole.skipped == ()
    assert dataset.digest != whole.digest


def test_a_class_without_images_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = coop_layout(tmp_path, "dtd", monkeypatch)
    for path in (path for path, label, _ in rows["train"] if label == 1):
        (tmp_path / "images" / path).write_bytes(b"")
    with pytest.raises(BenchError) as error:
        DATASETS.get("dtd")(tmp_path, None, True).load("train")
    assert 'class "class_1" has no image in the train split' in one_line(error)


def test_images_in_files_are_cheap_to_hand_to_another_process(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    images = pickle.loads(pickle.dumps(FileImages(tmp_path, ["a.png"])))
    assert len(images) == 1
    assert shown(images[0]) == colour("a.png")
