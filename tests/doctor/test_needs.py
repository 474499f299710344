"""Data sets, weights and files that are missing or torn."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from safetensors.numpy import save_file

from bench.data import catalogue, library
from bench.doctor import needs
from bench.doctor.diagnosis import Subject
from bench.settings.layers import read_layers
from bench.settings.schema import validated
from tests.doctor.subjects import problems, subject


@pytest.fixture(autouse=True)
def _nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(tmp_path / "data"))
    library.open_dataset.cache_clear()
    yield
    library.open_dataset.cache_clear()


def test_the_embedded_grid_needs_nothing() -> None:
    for check in (needs.datasets, needs.weights, needs.noise_files):
        assert not problems(check(subject()))


def test_a_missing_data_set_is_to_be_prepared() -> None:
    wrong = problems(needs.datasets(subject("results", "dataset=digits,caltech101[mode=tv]")))
    assert {one.mend for one in wrong} == {"bench data prepare 'caltech101[mode=tv]'"}


def test_a_folder_of_ones_own_images_that_is_not_there() -> None:
    (wrong,) = problems(needs.datasets(subject(dataset=["folder:no such"])))
    assert wrong.mend == "ls 'no such'"


def test_a_folder_of_the_settings_that_is_not_there_is_a_note() -> None:
    layers = read_layers(None)
    layers.lay({"dataset": {"dtd": {"root": "nowhere"}}}, "a test")
    found = list(needs.datasets(Subject(validated(layers), "quick", "results")))
    assert [(one.check, one.state) for one in found] == [("data set digits", "ok"), ("data set dtd", "note")]


def test_weights_of_files_are_whole_torn_or_missing(tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole.safetensors", tmp_path / "torn.safetensors"
    save_file({"a": np.zeros(100)}, whole)
    torn.write_bytes(whole.read_bytes()[:-8])
    archive, cut = tmp_path / "whole.pt", tmp_path / "cut.pt"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("data", "0" * 1000)
    cut.write_bytes(archive.read_bytes()[:-30])
    assert not needs.broken(whole)
    assert not needs.broken(archive)
    for file in (torn, cut):
        assert "is not whole" in needs.broken(file)
    made = subject(backbone=[str(torn), str(tmp_path / "none.pt"), "ViT-B-16@" + str(whole)])
    found = list(needs.weights(made))
    assert [one.state for one in found] == ["problem", "problem", "ok"]
    assert len(problems(found)) == 2


def test_weights_of_open_clip_are_looked_up_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached: dict[str, str] = {}
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda model, name: cached.get(name))
    made = subject(backbone=["ViT-B-16/openai"])
    (wrong,) = problems(needs.weights(made))
    assert "create_model" in wrong.mend
    file = tmp_path / "open_clip_model.safetensors"
    save_file({"a": np.zeros(4)}, file)
    cached["open_clip_model.safetensors"] = str(file)
    assert not problems(needs.weights(made))
    file.write_bytes(b"torn")
    (wrong,) = problems(needs.weights(made))
    assert wrong.mend == f"rm {file}"


def test_an_unknown_backbone_is_a_line() -> None:
    made = subject(backbone=["no-such"])
    (wrong,) = problems(needs.weights(made))
    assert "unknown backbone" in wrong.found


def test_a_file_that_noise_reads() -> None:
    made = subject("results", "noise=mask[file=mask.csv]")
    (wrong,) = problems(needs.noise_files(made))
    assert wrong.mend == "ls mask.csv"
    Path("mask.csv").mkdir()
    assert [one.mend for one in problems(needs.noise_files(made))] == ["ls mask.csv"]
    Path("mask.csv").rmdir()
    Path("mask.csv").write_text("")
    assert not problems(needs.noise_files(made))
