"""Food-101N: its own training and validation images, Food-101's test images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.contracts.dataset import SPLITS
from bench.data import catalogue
from bench.data.sets.food101n import Food101N
from bench.engine.labelling import draw
from bench.errors import BenchError
from bench.plugins import DATASETS
from tests.cells import make_cell
from tests.data.layouts import colour, coop_layout, picture, shown

DISHES = ("class_0", "class_1", "class_2")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Food-101 and Food-101N side by side, 20 images of each class in the latter."""
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path / "cache"))
    coop_layout(tmp_path / "food-101", "food101", monkeypatch)
    names = [f"{dish}/{number:02d}.jpg" for number in range(20) for dish in reversed(DISHES)]
    release = tmp_path / "food-101n" / "Food-101N_release"
    for name in names:
        picture(release, f"images/{name}")
    meta = release / "meta"
    meta.mkdir()
    (meta / "imagelist.tsv").write_text("class_name/key\n" + "".join(f"{name}\n" for name in names))
    heading = "class_name/key\tverification_label\n"
    (meta / "verified_train.tsv").write_text(heading + "".join(f"{d}/00.jpg\t1\n{d}/01.jpg\t0\n" for d in DISHES))
    (meta / "verified_val.tsv").write_text(heading + "class_0/02.jpg\t1\n")
    patched, own = catalogue.entry, catalogue.entry("food101n")
    small = catalogue.Sizes(classes=3, train=54, validation=6, test=9)
    whole = catalogue.Sizes(classes=3, train=60, validation=60, test=9)
    fits = own.model_copy(update={"sizes": {"coop": small, "nlprompt": whole}})
    monkeypatch.setattr(catalogue, "entry", lambda name: fits if name == "food101n" else patched(name))
    return tmp_path


def opened(root: Path) -> Food101N:
    return Food101N(root / "food-101n")


def test_training_labels_are_the_webs_and_test_images_food101s(root: Path) -> None:
    dataset, food = opened(root), DATASETS.get("food101")(root / "food-101")
    assert dataset.missing() == []
    assert dataset.class_names == food.class_names
    assert [len(dataset.splits[split]) for split in SPLITS] == [54, 6, 9]
    assert [dataset.splits[split].truth for split in SPLITS] == [False, False, True]
    test = dataset.splits["test"]
    assert list(test.names) == [f"food-101/{name}" for name in food.splits["test"].names]
    assert test.labels.tolist() == food.splits["test"].labels.tolist()
    assert [shown(image) for image in test.images] == [colour(name.removeprefix("food-101/")) for name in test.names]
    for split in ("train", "validation"):
        part = dataset.splits[split]  # type: ignore[index]
        assert [shown(image) for image in part.images] == [colour(name) for name in part.names]
        assert [f"class_{label}" for label in part.labels] == [name.split("/")[1] for name in part.names]
    assert set(dataset.splits["train"].names).isdisjoint(dataset.splits["validation"].names)
    assert len({dataset.digest, food.digest}) == 2


def test_mode_nlprompt_draws_from_all_images(root: Path) -> None:
    dataset, ours = Food101N(root / "food-101n", "nlprompt"), opened(root)
    assert [len(dataset.splits[split]) for split in SPLITS] == [60, 60, 9]
    assert set(dataset.splits["train"].names) == {*ours.splits["train"].names, *ours.splits["validation"].names}
    assert list(dataset.splits["test"].names) == list(ours.splits["test"].names)
    assert dataset.digest != ours.digest


def test_what_people_said_of_the_labels(root: Path) -> None:
    dataset = opened(root)
    verdicts = {
        name: int(verdict)
        for split in ("train", "validation")
        for name, verdict in zip(dataset.splits[split].names, dataset.verified(split), strict=True)  # type: ignore[index,arg-type]
    }
    said = {name: verdict for name, verdict in verdicts.items() if verdict >= 0}
    assert said == {
        **{f"images/{dish}/00.jpg": 1 for dish in DISHES},
        **{f"images/{dish}/01.jpg": 0 for dish in DISHES},
        "images/class_0/02.jpg": 1,
    }


def test_noise_on_top_of_the_webs_labels_must_be_asked_for(root: Path) -> None:
    from bench.engine.labelling import scene_of

    dataset = opened(root)
    noisy = make_cell(dataset="food101n", noise="symmetric", rate=0.5)
    with pytest.raises(BenchError, match="on_top=true"):
        draw(scene_of(dataset, noisy, "train"), noisy)


def test_both_data_sets_are_named_when_both_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(tmp_path))
    own, food = Food101N(None).missing()
    assert "bench data prepare food101n" in own
    assert "dataset food101:" in food
    assert "bench data prepare food101," in food


def test_food101_in_the_default_place_is_found(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "web"
    elsewhere.parent.mkdir()
    (root / "food-101n").rename(elsewhere)
    assert Food101N(elsewhere).missing() != []
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(root))
    assert len(Food101N(elsewhere).splits["test"]) == 9


@pytest.mark.parametrize(
    ("file", "line", "reason"),
    [("imagelist.tsv", "pizza/1.jpg", "of no class of Food-101"), ("verified_val.tsv", "class_0/3.jpg\t2", "0 or 1")],
)
def test_a_list_that_is_not_as_expected_is_refused(file: str, line: str, reason: str, root: Path) -> None:
    with (root / "food-101n" / "Food-101N_release" / "meta" / file).open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(BenchError, match=reason) as error:
        opened(root).verified("train")
    assert "\n" not in str(error.value)


def test_a_broken_test_image_is_left_out_under_food101s_name(root: Path) -> None:
    rows = json.loads((root / "food-101" / "split_zhou_Food101.json").read_text())
    name = rows["test"][4][0]
    (root / "food-101" / "images" / name).write_bytes(b"")
    dataset = Food101N(root / "food-101n", None, True)
    assert dataset.skipped == (f"food-101/images/{name}",)
    assert len(dataset.splits["test"]) == 8
    assert np.bincount(dataset.splits["train"].labels).tolist() == [18, 18, 18]
