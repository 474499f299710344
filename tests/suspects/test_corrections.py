"""The list of a user's images in which labels are corrected, and what the page says without a browser."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli.main import invoke
from bench.data.library import open_dataset
from bench.data.own.folder import Folder
from bench.errors import printable
from bench.records.store import Store
from bench.reports.html.suspects import DOCUMENTED, MOST, Suspect, SuspectPage, suspects_page
from bench.suspects.corrections import Correctable, correctable
from bench.suspects.groups import label_sets
from bench.suspects.images import LabelSetImages
from tests import ROOT
from tests.reports.test_hostile_names import Elements
from tests.suspects.photos import CLASSES, judge, make_photos
from tests.suspects.test_suspects import rows_of


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path / "cache"))
    open_dataset.cache_clear()
    return tmp_path


def written(folder: Path, header: list[str], rows: list[list[str]]) -> Folder:
    with (folder / "corrections.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return Folder(folder / "corrections.csv")


@pytest.mark.parametrize("test", [False, True])
def test_the_list_of_folders_is_the_data_set_again(here: Path, test: bool) -> None:
    """The same digest: splits that are held out, truth of the test labels and classes too, so records are found."""
    folder = make_photos(here / "photos", test=test)
    data = Folder(folder)
    header, rows = data.listing
    assert header == ["path", "split", "label"]
    assert written(folder, header, rows).digest == data.digest
    assert ("validation" in data.held_out, "test" in data.held_out) == (True, not test)


def test_a_path_that_begins_with_a_space_is_read_again(here: Path) -> None:
    for name in (" one", "two"):
        (here / "p" / name).mkdir(parents=True)
        for number in range(6):
            Image.new("L", (4, 4), number).save(here / "p" / name / f" {number}.png")
    data = Folder(here / "p")
    assert written(here / "p", *data.listing).images_digest == data.images_digest


def test_the_list_of_a_csv_keeps_true_labels_and_further_sets(here: Path) -> None:
    lines = ["path,label,true_label,split,alice_label,note"]
    for number in range(12):
        Image.new("L", (4, 4), number).save(here / f"{number}.png")
        split = ["train", "train", "validation", "test"][number % 4]
        other = "" if split == "test" else "one"
        lines.append(f"{number}.png,{['one', 'two'][number // 6]},two,{split},{other},{number}")
    (here / "labels.csv").write_text("\n".join(lines) + "\n")
    (here / "labels.csv").write_text((here / "labels.csv").read_text().replace("one,two,train", "one,one,train"))
    data = Folder(here)
    header, rows = data.listing
    assert header == ["path", "split", "label", "true_label", "label:alice"]
    assert written(here, header, rows).digest == data.digest


def test_the_command_writes_a_page_that_names_of_strangers_do_not_change(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge(make_photos(here / "photos", count=12), here / "s")
    assert invoke(["suspects", "--store", "s", "--out", "o"]) == 0
    captured = capsys.readouterr()
    assert "chance" not in captured.err
    assert "open o/suspects.html in a browser" in captured.out
    text = Path("o/suspects.html").read_text(encoding="utf-8")
    assert Elements(text).found.count("script") == 2
    assert set(Elements(text).found) == {"script"}
    assert "\x1b" not in re.sub(r'<script type="application/json".*?</script>', "", text)
    assert "\u202e" not in re.sub(r'<script type="application/json".*?</script>', "", text)
    assert not re.search(r'https?://|src="(?!data:)|url\((?!data:)', re.sub(r"<pre>.*?</pre>", "", text))
    assert printable(CLASSES[3]) in text
    data = json.loads(re.findall(r'id="data">(.*?)</script>', text)[0])
    assert set(data["classes"]) == set(CLASSES)
    assert data["header"] == ["path", "split", "label"]
    rows = {row["path"]: row for row in rows_of(Path("o/suspects.csv"))}
    first = [data["rows"][row] for row, _ in data["suspects"][:3]]
    assert sorted(row[0] for row in first) == sorted(path for path, row in rows.items() if int(row["rank"]) <= 3)
    assert all(row[2] != data["classes"][proposed] for row, (_, proposed) in zip(first, data["suspects"], strict=False))


def test_a_class_that_is_guessed_is_warned_of_once_and_marked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge(make_photos(here / "photos", count=12), here / "s", guess=2)
    guessed = open_dataset(f"folder:{here / 'photos'}").class_names[2]
    assert invoke(["suspects", "--store", "s", "--out", "o", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("no better than chance on 1 class (") == 1
    (told,) = json.loads(captured.out)["sets"]
    assert told["no_better_than_chance"] == [guessed]
    text = Path("o/suspects.html").read_text(encoding="utf-8")
    assert "no better than chance on 1 of 4 classes" in text
    rows = rows_of(Path("o/suspects.csv"))
    marked = [row for row in rows if guessed in (row["given"].lstrip("'"), row["proposed"].lstrip("'"))]
    assert marked
    assert [row for row in rows if row["guess"] == "True"] == marked
    assert text.count("a guess: no better than chance") == len(marked)


def test_labels_that_do_not_stand_in_the_files_are_not_corrected(here: Path) -> None:
    folder = make_photos(here / "photos")
    judge(folder, here / "s")
    store, data = Store(here / "s"), open_dataset(f"folder:{folder}")
    (labels,) = label_sets(store.records(), store.outcomes)
    assert isinstance(correctable(labels, LabelSetImages(data)), Correctable)
    assert "not at hand" in str(correctable(labels, LabelSetImages(None)))
    drawn = replace(labels, given=np.roll(labels.given, 1))
    assert "are not the ones that stand in your files" in str(correctable(drawn, LabelSetImages(data)))
    foreign = replace(labels, images=-1 - labels.images)
    assert "are not the ones that stand in your files" in str(correctable(foreign, LabelSetImages(data)))


def test_a_class_whose_name_a_csv_does_not_keep_is_not_corrected(here: Path) -> None:
    """Values of a CSV are read without outer spaces: with "cat " and "cat" the list would have a class less."""
    folder = make_photos(here / "photos")
    judge(folder, here / "s")
    store = Store(here / "s")
    (labels,) = label_sets(store.records(), store.outcomes)
    for number, name in enumerate((CLASSES[0] + " ", "\u00a0" + CLASSES[0])):
        spaced = make_photos(here / str(number))
        (spaced / "train" / CLASSES[0]).rename(spaced / "train" / name)
        told = str(correctable(labels, LabelSetImages(Folder(spaced))))
        assert told.startswith(f'The class "{name}" begins or ends with a space')


def test_a_page_is_bounded_and_measures_where_the_truth_is_known() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3000, 2000, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    several = [Suspect(n, f"{n}", Image.new("L", (9, 9)), 0, 1, 1.0) for n in range(1, MOST + 50)]
    text = suspects_page(SuspectPage("t", ("a", "b"), several, {}, 1000))
    assert text.count('class="suspect') - text.count('class="suspects"') == MOST
    assert DOCUMENTED in text
    large = suspects_page(SuspectPage("t", ("a", "b"), [Suspect(1, "x", image, 0, 1, 1.0)], {0: image}, 9))
    assert len(large) - len(suspects_page(SuspectPage("t", ("a", "b"), [], {}, 9))) < 60_000, "noise is the worst case"
    precision = {"this score": {50: 0.98, 7: 1.0}, "cleanlab, mean": {50: 0.5, 7: 0.25}}
    known = [Suspect(1, "x", image, 0, 1, 1.0, "b", True), Suspect(2, "y", image, 0, 0, 1.0, "a", False)]
    text = suspects_page(SuspectPage("t", ("a", "b"), known, {}, 9, precision=precision, wrong=7))
    assert DOCUMENTED not in text
    assert all(number in text for number in ("98.0", "100.0", "50.0", "25.0", "false alarm", "label is wrong"))


def test_the_sentence_on_cleanlab_says_what_is_documented() -> None:
    page = (ROOT / "docs" / "suspects.md").read_text(encoding="utf-8")
    numbers = re.findall(r"\d\d\.\d", DOCUMENTED)
    assert len(numbers) == 8
    assert all(number in page for number in numbers)


def test_many_sets_of_labels_are_a_table_and_each_note_is_said_once(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_photos(here / "photos", count=12)
    for shots in range(1, 9):
        judge(folder, here / "s", guess=2, shots=shots)
    assert invoke(["suspects", "--store", "s", "--out", "o", "--top", "1"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 2
    assert "of 8 sets of labels 6 are drawn" in captured.err
    assert "in 8 of 8 sets of labels" in captured.err
    assert len([line for line in captured.out.splitlines() if " · given · " in line]) == 8
    assert len(list(Path("o").glob("*.html"))) == 6
    assert invoke(["suspects", "--store", "s", "--out", "o", "--top", "1", "--sheets", "1"]) == 0
    assert len(list(Path("o").glob("*.html"))) == 1
