"""Data sets that are no longer the recorded ones are noticed before their records count."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from bench import dataset_name
from bench.cli.main import invoke
from bench.data import library
from bench.data.library import Library
from bench.errors import BenchError
from bench.grid.code import code_of
from bench.grid.expansion import expand
from bench.grid.freshness import stale_parts
from bench.grid.keys import Versions
from bench.plugins import DATASETS
from bench.records.parts import Provenance, Resolved
from bench.records.store import Store
from bench.settings.schema import load_config
from tests.data.layouts import coop_layout, picture
from tests.images.test_grey import Deep
from tests.reports.factory import cell, record


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of three done cells of the pets, made from the files that are there."""
    monkeypatch.chdir(tmp_path)
    Path("bench.toml").write_text(
        f'[dataset.oxford_pets]\nroot = "{tmp_path}/pets"\n'
        '[grid.mine]\ndataset = ["oxfordpets"]\nmethod = ["coop"]\nreference = []\nnoise = ["none"]\n'
    )
    coop_layout(tmp_path / "pets", "oxfordpets", monkeypatch)
    digest = known().open("oxfordpets").digest
    for planned in expand(load_config(), "mine").cells:
        one = record(planned.cell)
        one.data.digest = digest
        one.provenance.sources = code_of(planned.cell)
        Store("results").publish(one.model_copy(update={"key": planned.key}), {})
    return tmp_path


def known() -> Library:
    return Library.of(load_config().settings.dataset)


def test_files_that_changed_are_told_by_plan_and_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["plan", "--grid", "mine"]) == 0
    assert capsys.readouterr().err == ""
    changed = next((here / "pets").rglob("*.jpg"))
    picture(here / "pets", f"other/{changed.name}")
    (here / "pets" / "other" / changed.name).replace(changed)
    library.open_dataset.cache_clear()
    for verb in ("plan", "run"):
        assert invoke([verb, "--grid", "mine"]) == 0
        told = capsys.readouterr().err
        assert "3 done cells were not made by the code and data that are here now: other files of oxfordpets" in told
        assert "--rerun runs them anew" in told
    assert invoke(["plan", "--grid", "mine", "--rerun", "--json"]) == 0
    assert '"todo": 3' in capsys.readouterr().out


def test_a_data_set_that_is_not_here_says_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = list(Store("results").records())
    assert stale_parts(records, Library(roots={"oxfordpets": "nowhere"})) == {}


def test_a_data_set_that_is_not_known_here_says_nothing() -> None:
    theirs = record(cell(dataset="theirs"))
    theirs.data.digest = "d" * 64
    theirs.provenance.sources = {"engine": "e" * 12}
    assert stale_parts([theirs], Library()) == {}


def test_a_file_that_changed_between_plan_and_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key holds the digest that the plan saw, the record what the worker read."""
    monkeypatch.chdir(tmp_path)
    one = record(cell("coop", "mask[file=mask.csv]", 0.0))
    texts = ["path,label\n1,zero\n", "path,label\n1,one\n"]
    planned, ran = ((Path("mask.csv").write_text(text), Versions(Library()).of(one.cell))[1] for text in texts)
    one = one.model_copy(update={"key": one.cell.key(planned)})
    one.provenance = Provenance(sources=code_of(one.cell), resolved=ran)
    Path("mask.csv").write_text(texts[0])
    told = "files of mask[file=mask.csv] that changed before it was run"
    assert stale_parts([one], Library()) == {one.key: (told,)}
    one.provenance.resolved = Resolved(**planned)
    assert stale_parts([one], Library()) == {}
    Path("mask.csv").write_text(texts[1])
    assert stale_parts([one], Library()) == {}, "it is the record of the other file, which has another key"


def test_an_image_of_a_catalogued_data_set_that_changes_in_use_is_not_read(here: Path) -> None:
    dataset = known().open("oxfordpets")
    images = dataset.splits["test"].images
    assert dataset.digest
    assert len([images[i] for i in range(len(images))]) == len(images)
    for file in (here / "pets").rglob("*.jpg"):
        file.write_bytes(file.read_bytes() + b"more")
    with pytest.raises(BenchError, match="was changed while its data set was in use"):
        images[0]


@pytest.mark.usefixtures("registries")
def test_a_plugins_data_set_that_is_made_from_other_pixels_now_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as embedded where it is made of one of ours, and may read a file all the same."""
    monkeypatch.setattr(Deep, "embedded", True)
    DATASETS.register("theirs", Deep)
    assert dataset_name.embedded("theirs")
    one = record(cell(dataset="theirs"))
    one.data.digest = known().open("theirs").digest
    one.provenance.sources = code_of(one.cell)
    assert stale_parts([one], Library()) == {}
    monkeypatch.setattr(Deep, "image", Image.new("L", (4, 4), 7))
    library.open_dataset.cache_clear()
    (told,) = stale_parts([one], Library())[one.key]
    assert told.startswith("other files of theirs (digest ")
