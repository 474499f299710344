"""`bench suspects`: the score against a slow version, what may be pooled, what it prints, writes and refuses."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bench.cli.main import invoke
from bench.cli.suspect_text import not_judged
from bench.data.library import open_dataset
from bench.data.sets.digits import Digits
from bench.records.record import Record
from bench.records.store import Store
from bench.reports.figures.contact_sheet import ACROSS, Tile, draw_sheets
from bench.reports.figures.contact_sheet import _page as page
from bench.suspects.groups import LabelSet, SampleArrays, label_sets
from bench.suspects.score import MIN_PROBABILITY, SuspectRanking, cleanlab_orders, places, precision, rank
from tests.cells import make_cell
from tests.few_digits import cache
from tests.reports.factory import changed

CLASSES = 4
NAMES = [f"class {label}" for label in range(CLASSES)]


class Shop:
    """Records with outcomes made up from a generator: 24 samples under labels of which every fourth is wrong."""

    def __init__(self, seed: int = 0, count: int = 24) -> None:
        self.generator = np.random.default_rng(seed)
        self.true = np.arange(count) % CLASSES
        self.observed = np.where(np.arange(count) % 4 == 3, (self.true + 1) % CLASSES, self.true)
        self.positions = np.arange(count) + 100
        self.records: list[Record] = []
        self.outcomes: dict[str, SampleArrays] = {}

    def add(self, outcomes: dict[str, Any], **changes: Any) -> None:
        key = f"{len(self.records):016d}"
        status, oracle = changes.pop("status", "done"), changes.pop("oracle", [])
        noise = {"truth": changes.pop("truth", True)}
        own = {"positions": self.positions, "true": self.true, "observed": self.observed}
        self.records.append(
            Record(
                schema=1,
                key=key,
                status=status,
                cell=make_cell(**changes),
                oracle=oracle,
                noise=noise,
                data={"class_names": NAMES, "digest": "d"},
            )
        )
        self.outcomes[key] = own | outcomes

    def probabilities(self, count: int, sharpness: float = 1.0) -> np.ndarray[Any, Any]:
        weights = self.generator.random((count, CLASSES)) ** (1 / sharpness)
        return (weights / weights.sum(1, keepdims=True)).astype(np.float32)

    def fold(self, number: int, selected: bool = False, **changes: Any) -> None:
        """One of two folds: even or odd samples are left out."""
        unseen = np.flatnonzero(np.arange(len(self.true)) % 2 == number - 1)
        told: dict[str, Any] = {"unseen": unseen, "probabilities": self.probabilities(len(unseen))}
        if selected:
            split = self.generator.integers(0, 2, len(self.true)).astype(np.int8)
            split[unseen] = -1
            told["selected"] = split
        self.add(told, subset=f"fold{number}of2", **changes)

    def sets(self) -> list[LabelSet]:
        return label_sets(self.records, lambda key: self.outcomes[key])


def two_methods() -> Shop:
    shop = Shop()
    for seed in (1, 2):
        for number in (1, 2):
            shop.fold(number, method="first", seed=seed)
            shop.fold(number, selected=True, method="second", seed=seed)
    shop.fold(1, method="second", seed=3)  # a method that has been asked more often about some samples
    return shop


def slow_score(shop: Shop, sample: int) -> dict[str, float]:
    """The docstring of `bench.suspects.score`, sample by sample."""
    given, values = shop.observed[sample], {}
    for name in ("loss", "contradicted", "left_out"):
        by_method: dict[str, list[float]] = {}
        for record in shop.records:
            told = shop.outcomes[record.key]
            if name == "left_out":
                if "selected" in told and told["selected"][sample] >= 0:
                    by_method.setdefault(record.cell.method, []).append(float(told["selected"][sample] == 0))
            elif sample in told["unseen"]:
                row = told["probabilities"][list(told["unseen"]).index(sample)]
                value = (
                    -math.log(max(float(row[given]), MIN_PROBABILITY))
                    if name == "loss"
                    else float(row.argmax() != given)
                )
                by_method.setdefault(record.cell.method, []).append(value)
        means = [sum(values) / len(values) for values in by_method.values()]
        values[name] = sum(means) / len(means)
    return values


def test_the_score_is_the_one_that_is_written_down() -> None:
    shop = two_methods()
    (labels,) = shop.sets()
    assert labels.seed is None
    ranking = rank(labels)
    assert ranking.out_of_sample
    assert ranking.unranked == 0
    assert (np.diff(ranking.table["score"]) <= 0).all()
    for row in ranking.table.to_dict("records"):
        sample = int(row["image"]) - 100
        expected = slow_score(shop, sample)
        assert {name: row[name] for name in expected} == pytest.approx(expected)
        assert row["score"] == pytest.approx(sum(expected.values()))
        assert row["given"] == shop.observed[sample]
        assert row["wrong"] == (shop.true[sample] != shop.observed[sample])
        assert (row["methods"], row["splits"]) == (2, 2)
        assert row["predictions"] == (5 if sample % 2 == 0 else 4)
    for index, row in enumerate(ranking.table.to_dict("records")):
        mean = np.mean([probabilities[index] for probabilities in ranking.probabilities], axis=0)
        assert row["proposed"] == mean.argmax()
        others = np.delete(mean, row["given"])
        assert row["probability"] == pytest.approx(mean[row["given"]])
        assert row["margin"] == pytest.approx(mean[row["given"]] - others.max())


def test_without_a_split_nothing_is_left_out() -> None:
    shop = Shop()
    shop.fold(1)
    shop.fold(2)
    table = rank(shop.sets()[0]).table
    assert table["left_out"].isna().all()
    assert table["score"].to_numpy() == pytest.approx((table["loss"] + table["contradicted"]).to_numpy())


def test_wrong_labels_come_first_where_methods_are_right_out_of_sample() -> None:
    shop = Shop()
    for method in ("first", "second"):
        for number in (1, 2):
            shop.fold(number, method=method)
            told = shop.outcomes[shop.records[-1].key]
            told["probabilities"][np.arange(12), shop.true[told["unseen"]]] += 2  # type: ignore[index]
    ranking = rank(shop.sets()[0])
    assert ranking.table["wrong"].tolist() == [True] * 6 + [False] * 18
    assert (ranking.table["proposed"] == ranking.table["true"]).all()
    assert precision(ranking.table["wrong"].to_numpy(), ranking.table.index.to_numpy()) == {6: 1.0}


def test_oracles_and_what_did_not_finish_are_not_asked() -> None:
    shop = two_methods()
    expected = rank(shop.sets()[0]).table
    shop.fold(1, method="third", oracle=["noise_rate"])
    shop.add({"losses": np.zeros((2, 24)), "predictions": np.zeros((2, 24))}, subset="clean", oracle=["clean_subset"])
    shop.fold(1, method="fourth", status="failed")
    assert rank(shop.sets()[0]).table.equals(expected)


def test_labels_that_each_seed_draws_anew_are_ranked_by_themselves() -> None:
    shop = Shop()
    for seed in (1, 2):
        for number in (1, 2):
            shop.fold(number, seed=seed)
        shop.observed = (shop.observed + (np.arange(24) == 5)) % CLASSES
    sets = shop.sets()
    assert [labels.seed for labels in sets] == [1, 2]
    assert [len(labels.members) for labels in sets] == [2, 2]
    assert all(rank(labels).table["predictions"].eq(1).all() for labels in sets)


def test_seeds_whose_few_shots_hardly_overlap_are_pooled_where_labels_are_stored_alone() -> None:
    for noise, rate, shared, expected in (
        ("symmetric", 0.5, 0, [1, 2]), ("symmetric", 0.5, 12, [1, 2]), ("matrix[file=a.csv]", 0.0, 0, [1, 2]),
        ("symmetric", 0.5, 24, [None]), ("given", 0.0, 0, [None]), ("human[labels=worst]", 0.0, 12, [None]),
    ):  # fmt: skip
        shop = Shop()
        shop.fold(1, seed=1, noise=noise, rate=rate)
        shop.positions = shop.positions + 24 - shared
        shop.true, shop.observed = np.roll(shop.true, shared - 24), np.roll(shop.observed, shared - 24)
        shop.fold(1, seed=2, noise=noise, rate=rate)
        assert [labels.seed for labels in shop.sets()] == expected, (noise, shared)


def test_other_data_noise_rates_or_shots_are_other_label_sets() -> None:
    shop = Shop()
    for changes in ({}, {"noise": "symmetric", "rate": 0.5}, {"shots": 2}, {"dataset": "other"}):
        shop.fold(1, **changes)
    assert len(shop.sets()) == 4


def test_seeds_that_sample_other_images_are_pooled_image_by_image() -> None:
    shop = Shop()
    shop.fold(1, seed=1)
    shop.positions = shop.positions + 12  # the second half of the first seed's images, and twelve new ones
    shop.true = np.roll(shop.true, -12)
    shop.observed = np.roll(shop.observed, -12)
    shop.fold(1, seed=2)
    (labels,) = shop.sets()
    assert len(labels.images) == 36
    table = rank(labels).table.set_index("image")
    assert table.loc[112, "predictions"] == 2
    assert table.loc[102, "predictions"] == table.loc[130, "predictions"] == 1


def test_samples_that_no_finished_fold_left_out_are_counted_and_not_ranked() -> None:
    shop = Shop()
    shop.fold(1)
    ranking = rank(shop.sets()[0])
    assert (len(ranking.table), ranking.unranked) == (12, 12)


def told(shop: Shop, fold: int, method: str, given: Sequence[float]) -> None:
    """One of three folds of a method that gives the given label of each sample this probability."""
    unseen = np.flatnonzero(np.arange(24) % 3 == fold - 1)
    own = np.array(given)[unseen]
    probabilities = np.repeat((1 - own)[:, None] / (CLASSES - 1), CLASSES, axis=1)
    probabilities[np.arange(len(unseen)), shop.observed[unseen]] = own
    shop.add({"unseen": unseen, "probabilities": probabilities}, method=method, subset=f"fold{fold}of3")


def test_samples_that_a_method_has_not_judged_are_ranked_among_their_like() -> None:
    """Before, right labels that an undecided method alone had judged came before wrong ones that both had."""
    shop, mistaken = Shop(), [2, 5, 8]  # images of the last fold whose right labels the undecided method contradicts
    wrong = np.flatnonzero((shop.true != shop.observed) & (np.arange(24) % 3 < 2))
    for fold in (1, 2, 3):
        told(shop, fold, "undecided", np.where(np.isin(np.arange(24), mistaken), 0.02, 0.3).tolist())
    for fold in (1, 2, 3):
        told(shop, fold, "sure", np.where(np.isin(np.arange(24), wrong), 0.001, 0.97).tolist())
    whole = rank(shop.sets()[0])
    assert whole.lacking == ()
    assert (np.diff(whole.table["score"]) <= 0).all()
    shop.records.pop()
    ranking = rank(shop.sets()[0])
    assert (ranking.lacking, len(ranking.table), ranking.unranked) == ((("sure", 8),), 24, 0)
    assert sorted(ranking.table["image"][:4] - 100) == wrong.tolist()
    assert sorted(ranking.table["image"][4:7] - 100) == mistaken
    assert ranking.table["score"][4] > ranking.table["score"][0]
    for _, part in ranking.table.groupby("methods"):
        assert (np.diff(part["score"]) <= 0).all()
    pytest.importorskip("cleanlab", reason="the extra `suspects` is not installed")
    for order in cleanlab_orders(ranking).values():
        assert set(ranking.table["image"][order[:4]] - 100) == set(wrong)


def test_a_sample_that_nothing_compares_with_stands_in_the_middle() -> None:
    spoke = np.array([[True] * 5, [True, True, True, True, False]])
    assert places(np.array([4.0, 1, 3, 3, 9]), spoke).tolist() == [0.125, 0.875, 0.5, 0.5, 0.5]


def test_an_image_that_stands_under_two_labels_has_two_rows() -> None:
    shop = Shop()
    shop.positions = np.repeat(np.arange(12), 2)
    shop.observed = np.where(np.arange(24) == 1, 2, np.repeat(np.arange(12) % CLASSES, 2))
    shop.true = np.repeat(np.arange(12) % CLASSES, 2)
    shop.fold(1)
    shop.fold(2)
    table = rank(shop.sets()[0]).table
    assert len(table) == 13
    assert sorted(table.loc[table["image"] == 0, "given"]) == [0, 2]
    assert table.loc[table["image"] == 5, "predictions"].item() == 2


def test_foreign_images_are_told_apart_from_the_own_ones() -> None:
    shop = Shop()
    shop.positions = np.zeros(24, dtype=np.int64)
    shop.observed = shop.true = np.zeros(24, dtype=np.int64)
    shop.fold(1)
    shop.outcomes[shop.records[0].key] = {
        **shop.outcomes[shop.records[0].key], "foreign": np.where(np.arange(24) < 3, np.arange(24) + 7, -1),
    }  # fmt: skip
    assert shop.sets()[0].images.tolist() == [-10, -9, -8, 0]


def in_sample(shop: Shop, method: str, losses: Sequence[float], predictions: Sequence[int], **changes: Any) -> None:
    rows = len(losses)
    shop.add(
        {
            "losses": np.tile(np.array(losses, dtype=np.float32)[:, None], (1, 24)),
            "predictions": np.tile(np.array(predictions, dtype=np.int16)[:, None], (1, 24)),
        }
        | changes.pop("outcomes", {}),
        method=method,
        **changes,
    )
    assert rows == len(predictions)


def test_without_folds_losses_and_predictions_during_training_are_means_over_epochs() -> None:
    shop = Shop()
    in_sample(shop, "first", [9.0, 1.0, 3.0], [3, 1, 2])  # the row before training does not count
    in_sample(shop, "training-free", [5.0], [1])
    unseen = {"unseen": np.arange(24), "probabilities": np.full((24, CLASSES), 0.25, dtype=np.float32)}
    in_sample(shop, "zero-shot", [1e9], [0], outcomes=unseen)
    ranking = rank(shop.sets()[0])
    assert not ranking.out_of_sample
    assert ranking.probabilities == ()
    assert "probability" not in ranking.table
    row = ranking.table[ranking.table["given"] == 1].iloc[0]
    assert row["loss"] == pytest.approx((2.0 + 5.0 + math.log(4)) / 3)
    assert row["contradicted"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert row["proposed"] == 1  # half of the epochs, one, and a quarter


def test_beside_folds_what_was_trained_on_a_label_is_not_asked_about_it() -> None:
    shop = two_methods()
    expected = rank(shop.sets()[0]).table
    in_sample(shop, "memorizes", [3.0, 0.0], [0, 0])
    assert rank(shop.sets()[0]).table.equals(expected)
    unseen = {"unseen": np.arange(24), "probabilities": shop.probabilities(24)}
    in_sample(shop, "zero-shot", [3.0], [0], outcomes=unseen)
    table = rank(shop.sets()[0]).table
    assert (table["methods"] == 3).all()


def test_unknown_truth_is_not_made_up() -> None:
    shop = Shop()
    shop.fold(1, truth=False)
    labels = shop.sets()[0]
    assert labels.true is None
    assert not {"true", "wrong"} & set(rank(labels).table.columns)


def test_precision_counts_the_first_of_an_order() -> None:
    wrong = np.arange(200) % 2 == 0
    best = np.argsort(~wrong, kind="stable")
    assert precision(wrong, best) == {50: 1.0, 100: 1.0}
    assert precision(wrong, np.arange(200)) == {50: 0.5, 100: 0.5}
    wrong[10:] = False
    assert precision(wrong, np.arange(200)) == {50: 0.1, 100: 0.05, 5: 0.6}
    assert precision(np.zeros(60, dtype=bool), np.arange(60)) == {50: 0.0}


def test_cleanlab_ranks_the_same_probabilities() -> None:
    pytest.importorskip("cleanlab", reason="the extra `suspects` is not installed")
    from cleanlab.rank import get_label_quality_scores

    ranking = rank(two_methods().sets()[0])
    orders = cleanlab_orders(ranking)
    assert list(orders) == ["cleanlab, mean", "cleanlab, ensemble"]
    mean, given = np.mean(ranking.probabilities, axis=0), ranking.table["given"].to_numpy()
    assert mean[orders["cleanlab, mean"], given[orders["cleanlab, mean"]]].tolist() == sorted(
        mean[np.arange(24), given].tolist()
    )
    assert get_label_quality_scores(given, mean).argmin() == orders["cleanlab, mean"][0]
    shop = Shop()
    shop.fold(1)
    shop.fold(2)
    assert list(cleanlab_orders(rank(shop.sets()[0]))) == ["cleanlab, mean"]


def tiles(count: int, **changes: Any) -> list[Tile]:
    image = Image.new("L", (8, 8), 200)
    return [Tile(**{"rank": n, "image": image, "given": "a", "proposed": "b", **changes}) for n in range(1, count + 1)]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_contact_sheet_has_every_tile_and_says_what_is_known() -> None:
    wide = Image.new("RGB", (900, 300))
    drawn = page(
        [*tiles(1, wrong=True, true="b"), *tiles(1, wrong=True, true="c"), *tiles(1, wrong=False, true="a")], "T"
    )
    assert [text for text in texts(drawn) if text.startswith("true")] == ["true: c"]
    assert drawn.axes[0].get_legend() is not None
    assert len({str(patch.get_edgecolor()) for patch in drawn.axes[0].patches}) == 2
    plain = page(
        tiles(ACROSS + 1, image=wide, given="a name that is far too long", proposed="a name that is far too long"), "T"
    )
    assert plain.axes[0].get_legend() is None
    assert "a name that is f…" in texts(plain)
    assert "no other" in texts(plain)
    assert len(plain.axes[0].images) == ACROSS + 1
    height, width = plain.axes[0].images[0].get_array().shape[:2]  # type: ignore[union-attr]
    assert (width, height) == (160, 53)


def test_sheets_have_pages_and_the_same_bytes_every_time() -> None:
    files = draw_sheets(tiles(ACROSS + 1), "T", per_page=ACROSS)
    assert list(files) == ["-1.png", "-2.png", ".pdf"]
    assert files["-1.png"][:4] == b"\x89PNG"
    assert files[".pdf"][:4] == b"%PDF"
    assert files == draw_sheets(tiles(ACROSS + 1), "T", per_page=ACROSS)


SMALL = ["--set", "shots=4", "--set", "noise=symmetric", "--set", "rate=0.5", "--set", "seed=1", "--workers", "1"]
METHODS = "method=zero-shot,linear-probe[search=false]@folds2,tip-adapter[search=false]@folds2"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", cache())
    return tmp_path


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of digits with half of the labels wrong."""
    root = tmp_path_factory.mktemp("suspects") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOISY_PROMPT_BENCH_CACHE", cache())
        assert invoke(["run", "--set", METHODS, *SMALL, "--store", str(root)]) == 0
    return str(root)


@pytest.mark.slow
def test_the_command_ranks_draws_and_measures(store: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["suspects", "--top", "12", "--store", store]) == 0
    out, results = capsys.readouterr().out, Path(store) / "suspects"
    assert "digits · symmetric 0.5 · 4 shots: 40 labels, 3 methods, 5 records; together they contradict" in out
    assert "20 of 40 labels are known to be wrong." in out
    files = {file.name: file.read_bytes() for file in results.iterdir() if file.suffix != ".tmp"}
    assert set(files) == {"suspects.csv", "suspects-1.png", "suspects.pdf", "suspects.html"}
    rows = rows_of(results / "suspects.csv")
    assert [row["rank"] for row in rows] == [str(n) for n in range(1, 41)]
    assert sum(row["given"] != row["true"] for row in rows) == 20
    labels = Digits().splits["train"].labels
    assert all(row["true"] == Digits.class_names[labels[int(row["path"])]] for row in rows)
    share = np.mean([row["given"] != row["true"] for row in rows[:20]])
    line = next(line for line in out.splitlines() if line.startswith("this score"))
    assert line.split()[2:] == [f"{100 * share:.1f}"]
    assert invoke(["suspects", "--top", "12", "--out", "other", "--store", store]) == 0
    assert all((Path("other") / name).read_bytes() == content for name, content in files.items())
    assert invoke(["suspects", "--top", "0", "--out", "none", "--store", store]) == 0
    assert [file.name for file in Path("none").iterdir() if file.suffix != ".tmp"] == ["suspects.csv"]
    assert (
        invoke(
            ["suspects", *SMALL[:-2], "--set", "method=zero-shot,linear-probe[search=false]@folds2", "--store", store]
        )
        == 0
    )
    assert "2 methods, 3 records" in capsys.readouterr().out
    assert invoke(["suspects", "--top", "12", "--out", "other", "--store", store, "--json"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert out.splitlines()[0] in printed.err
    assert set(told["files"]) == set(files)
    (found,) = told["sets"]
    assert (found["set"], found["labels"], found["methods"], found["records"]) == (
        "digits · symmetric 0.5 · 4 shots", 40, 3, 5,
    )  # fmt: skip
    assert found["precision"]["this score"]["20"] == share
    assert [one["path"] for one in found["first"]] == [row["path"] for row in rows[:10]]
    assert invoke(["suspects", "--top", "0", "--out", "other", "--store", store]) == 0
    assert [file.name for file in Path("other").iterdir() if file.suffix != ".tmp"] == ["suspects.csv"]


@pytest.mark.slow
def test_without_folds_it_says_that_this_is_weaker(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--set", "epochs=1", "--set", "noise=none,symmetric", "--set", "reference=coop@clean"]
    assert invoke(["run", "--set", "method=coop", *SMALL[:2], *SMALL[4:], *more]) == 0
    capsys.readouterr()
    assert invoke(["suspects"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("can be weaker: a method that memorizes hides wrong labels") == 1
    assert "1 records of oracles are left out" in captured.out
    assert "no label here is known to be wrong, so no precision is measured." in captured.out
    rows = rows_of(Path("results/suspects/suspects.csv"))
    assert {row["noise"] for row in rows} == {"none", "symmetric"}
    assert {row["out_of_sample"] for row in rows} == {"False"}
    names = {file.name for file in Path("results/suspects").iterdir() if file.suffix == ".png"}
    assert names == {"suspects-digits-none-4-shots-1.png", "suspects-digits-symmetric-0.5-4-shots-1.png"}


def test_what_a_method_has_not_judged_is_said(store: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(store, "part", ignore=shutil.ignore_patterns("suspects"))
    lost = next(one.key for one in Store("part").records() if one.cell.label().endswith("@fold2of2 · seed 1"))
    for file in Path("part").glob(f"{lost}*"):
        file.unlink()
    assert invoke(["suspects", "--store", "part", "--top", "2", "--json"]) == 0
    captured = capsys.readouterr()
    (facts,) = json.loads(captured.out)["sets"]
    ((name, count),) = facts["not_judged"].items()
    assert name in ("linear-probe[search=false]", "tip-adapter[search=false]")
    assert 15 <= count <= 25
    said = f"f 40 labels {name} has not judged {count}. What other methods make of a label is on another level"
    assert f"o{said}" in captured.err
    assert f"O{said}" in Path("part/suspects/suspects.html").read_text(encoding="utf-8")
    several = {"labels": 24, "not_judged": {"joapr": 8, "coop": 2}}
    assert not_judged(several) == "of 24 labels joapr has not judged 8, coop 2"
    assert not_judged({"labels": 24, "not_judged": {}}) == ""
    noted = page(tiles(1), "T", "a note")
    assert "a note" in texts(noted)
    assert noted.get_figheight() > page(tiles(1), "T").get_figheight()


def test_without_cleanlab_the_line_says_how_to_get_it(
    store: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setitem(sys.modules, "cleanlab.rank", None)
    assert invoke(["suspects", "--top", "0", "--store", store, "--out", "here"]) == 0
    out = capsys.readouterr().out
    assert "cleanlab is not installed; to compare with it: pip install 'noisy-prompt-bench[suspects]'." in out
    assert "this score" in out


@pytest.fixture
def own(folder: Path) -> Path:
    """A user's folder of digits by class, labels unknown to be right, and a store of it."""
    data = Digits()
    for split, count in (("train", 60), ("test", 20)):
        part = data.splits[split]  # type: ignore[index]
        for index in range(count):
            place = folder / "mine" / split / data.class_names[part.labels[index]]
            place.mkdir(parents=True, exist_ok=True)
            part.images[index].save(place / f"{index:03d}.png")
    method = "method=linear-probe[search=false]@folds2"
    run = ["run", "--set", f"dataset=folder:{folder / 'mine'}", "--set", method, "--set", "noise=given", *SMALL[:2]]
    assert invoke([*run, "--set", "seed=1,2", "--workers", "1"]) == 0
    return folder / "mine"


@pytest.mark.slow
def test_a_users_own_images_are_named_by_their_path_and_found_where_they_went(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["suspects"]) == 0
    captured = capsys.readouterr()
    assert "precision" not in captured.out
    assert "folder:mine · given · 4 shots: " in captured.out
    (count,) = re.findall(r"not those of (\d+) images of the validation and test splits", captured.out)
    assert f"Labels of {count} images of the validation and test splits are not judged." in Path(
        "results/suspects/suspects.html"
    ).read_text(encoding="utf-8")
    rows = rows_of(Path("results/suspects/suspects.csv"))
    assert "true" not in rows[0]
    assert all((own / row["path"]).is_file() for row in rows)
    assert all(Path(row["path"]).parent.name == row["given"] for row in rows)
    first = Path("results/suspects/suspects-1.png").read_bytes()
    moved = own.rename(own.with_name("elsewhere"))
    open_dataset.cache_clear()  # as in another process
    assert invoke(["suspects", "--out", "lost"]) == 0
    captured = capsys.readouterr()
    assert "images are named by position and not drawn; --data says where they are." in captured.err
    assert not list(Path("lost").glob("*.png"))
    assert invoke(["suspects", "--out", "found", "--data", f"folder:{moved}"]) == 0
    assert Path("found/suspects-1.png").read_bytes() == first
    assert rows_of(Path("found/suspects.csv")) == rows
    shutil.copy(next((moved / "train" / "one").iterdir()), moved / "train" / "two" / "new.png")
    capsys.readouterr()
    open_dataset.cache_clear()
    assert invoke(["suspects", "--data", f"folder:{moved}"]) == 2
    assert "the records were made of" in capsys.readouterr().err


@pytest.mark.slow
def test_labels_are_given_as_they_are_written_so_that_a_correction_maps_back(
    own: Path,
) -> None:
    """Under [names] prompts call a class otherwise than its folder, here even by the name of another one."""
    assert invoke(["suspects", "--top", "0", "--out", "plain"]) == 0
    plain = rows_of(Path("plain/suspects.csv"))
    assert [row["given_label"] for row in plain] == [row["given"] for row in plain]
    assert [row["proposed_label"] for row in plain] == [row["proposed"] for row in plain]
    assert "true_label" not in plain[0]
    (own / "dataset.toml").write_text('[names]\none = "two"\ntwo = "one"\n')
    open_dataset.cache_clear()
    methods = "method=linear-probe[search=false]@folds2"
    run = ["run", "--set", f"dataset=folder:{own}", "--set", methods, "--set", "noise=given", *SMALL[:2]]
    assert invoke([*run, "--set", "seed=1", "--workers", "1", "--store", "renamed"]) == 0
    called = {"one": "two", "two": "one"}

    def check(out: str) -> None:
        rows = rows_of(Path(out) / "suspects.csv")
        assert {"one", "two"} <= {row["given"] for row in rows}
        for row in rows:
            for column in ("given", "proposed"):
                assert row[column] == called.get(row[f"{column}_label"], row[f"{column}_label"])
        assert {row["given_label"] for row in rows} == {row["given_label"] for row in plain}
        if rows[0]["path"].endswith(".png"):
            assert all(Path(row["path"]).parent.name == row["given_label"] for row in rows)

    assert invoke(["suspects", "--top", "0", "--store", "renamed", "--out", "here"]) == 0
    check("here")
    for record in Store("renamed").records():
        assert set(called) <= set(record.data.class_labels)
        old = changed(record, data=record.data.model_dump(exclude={"class_labels"}))
        Store("old").publish(old, Store("renamed").outcomes(record.key))
    assert invoke(["suspects", "--top", "0", "--store", "old", "--out", "from_images"]) == 0
    check("from_images")
    own.rename(own.with_name("elsewhere"))
    open_dataset.cache_clear()
    assert invoke(["suspects", "--top", "0", "--store", "renamed", "--out", "moved"]) == 0
    check("moved")
    assert invoke(["suspects", "--top", "0", "--store", "old", "--out", "unknown"]) == 0
    assert "given_label" not in rows_of(Path("unknown/suspects.csv"))[0]


def test_data_sets_whose_labels_nobody_has_written_have_no_such_columns(store: str, folder: Path) -> None:
    assert invoke(["suspects", "--top", "0", "--store", store, "--out", "here"]) == 0
    assert not {"given_label", "proposed_label", "true_label"} & rows_of(Path("here/suspects.csv"))[0].keys()


def test_mistakes_are_one_line(store: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        assert invoke(["suspects", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        return captured.err

    assert 'store "results" does not exist' in refused()
    Path("empty").mkdir()
    assert "none of the 0 records chosen can judge labels" in refused("--store", "empty")
    Path("file").write_text("")
    assert '--out "file" is a file' in refused("--store", store, "--out", "file")
    assert 'unknown grid "nowhere"' in refused("--store", store, "--grid", "nowhere")
    assert "nowhere" in refused("--store", store, "--data", "folder:nowhere")
    assert "the records were made of" in refused("--store", store, "--data", "letters")
    Store("memory://suspects").files.write("file", b"", replace=True)
    assert "name the folder of the suspects with --out" in refused("--store", "memory://suspects")


def test_a_ranking_does_not_depend_on_the_order_of_the_records() -> None:
    shop = two_methods()
    first: SuspectRanking = rank(shop.sets()[0])
    shop.records.reverse()
    second = rank(shop.sets()[0])
    assert first.table["image"].tolist() == second.table["image"].tolist()
    assert first.table["score"].to_numpy() == pytest.approx(second.table["score"].to_numpy())


def test_the_store_is_the_source_of_outcomes(tmp_path: Path) -> None:
    shop, store = two_methods(), Store(tmp_path / "s")
    for record in shop.records:
        store.publish(record, shop.outcomes[record.key])
    read = label_sets(store.records(), store.outcomes)
    assert rank(read[0]).table.equals(rank(shop.sets()[0]).table)
