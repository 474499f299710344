"""What a run lacks is told at once, before anything is trained or written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import execute, preflight
from bench.cli import invoke
from bench.clip import load
from bench.data import catalogue, named
from bench.errors import BenchError, Several
from bench.plan import Plan
from bench.schedulers.base import Work
from bench.schedulers.local import Local
from bench.store import Store

RUN = ["run", "--set", "method=coop", "--set", "seed=1", "--set", "rate=0.5", "--scheduler", "local", "--workers", "1"]


@pytest.fixture(autouse=True)
def _nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(tmp_path / "data"))
    named.open_dataset.cache_clear()
    yield
    named.open_dataset.cache_clear()


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The backbones that were loaded; those with "32" in their name cannot be had."""
    asked: list[str] = []

    def fake(name: str) -> None:
        asked.append(name)
        if "32" in name:
            raise BenchError(f"the weights of {name} are not on this machine.")

    monkeypatch.setattr(load, "load_backbone", fake)
    return asked


def complaints(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *sets: str) -> list[str]:
    """The errors of a run, of which nothing is trained or written."""
    before = sorted(Path().rglob("*"))
    with monkeypatch.context() as patched:
        patched.setattr(Local, "run", lambda *_: pytest.fail("it began"))
        assert invoke([*RUN, *(part for text in sets for part in ("--set", text))]) == 2
    assert sorted(Path().rglob("*")) == before
    lines = capsys.readouterr().err.splitlines()
    return [line.removeprefix("error: ") for line in lines if not line.startswith("note: ")]


def test_all_data_and_weights_that_are_missing_are_told_at_once(
    loaded: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = complaints(
        capsys, monkeypatch, "dataset=digits,dtd,caltech101[mode=tv]", "backbone=tiny,ViT-B-16/openai,ViT-B-32/openai",
        "noise=none,open-set[source=eurosat],instance[encoder=ViT-B-32/laion400m_e32]",
    )  # fmt: skip
    assert [line.split(":")[0] for line in lines] == [
        "dataset dtd", "dataset caltech101[mode=tv]", "dataset eurosat",
        "the weights of ViT-B-32/openai are not on this machine.",
        "the weights of ViT-B-32/laion400m_e32 are not on this machine.",
        "nothing was run; for the data sets",
    ]  # fmt: skip
    assert lines[-1].endswith("bench data prepare dtd 'caltech101[mode=tv]' eurosat")
    assert loaded == ["ViT-B-16/openai", "ViT-B-32/openai", "ViT-B-32/laion400m_e32"]  # each once, `tiny` never


def test_weights_alone_name_no_data_set(
    loaded: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complaints(capsys, monkeypatch, "backbone=ViT-B-32/openai") == [
        "the weights of ViT-B-32/openai are not on this machine."
    ]


def test_a_root_in_the_settings_is_where_it_looks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("bench.toml").write_text('[dataset.dtd]\nroot = "elsewhere"\n')
    (line, last) = complaints(capsys, monkeypatch, "dataset=dtd")
    assert '"elsewhere" has no ' in line
    assert last.endswith("bench data prepare dtd")


def test_a_plan_needs_neither_data_nor_weights(loaded: list[str]) -> None:
    assert invoke(["plan", "--set", "dataset=dtd", "--set", "backbone=ViT-B-16/openai"]) == 0
    assert loaded == []
    assert not Path("data").exists()


def test_only_cells_that_are_to_be_run_count(monkeypatch: pytest.MonkeyPatch, loaded: list[str]) -> None:
    def fake(plan: Plan, store: Store, *_: Any) -> Work:
        return Work(store.root, {"mishaps": {}}, "tests.schedulers.fakes:run_pack", "builtins:dict")

    monkeypatch.setattr(execute, "_work", fake)
    assert invoke([*RUN, "--set", "backbone=ViT-B-16/openai"]) == 0
    assert loaded == ["ViT-B-16/openai"]
    assert invoke([*RUN, "--set", "backbone=ViT-B-16/openai"]) == 0
    assert loaded == ["ViT-B-16/openai"]


def test_a_file_that_went_away_between_plan_and_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    matrix = tmp_path / "matrix.csv"
    matrix.write_text("\n".join(",".join("1" if i == j else "0" for j in range(10)) for i in range(10)))
    seen: list[Several] = []

    def lost(plan: Plan, roots: dict[str, str]) -> None:
        matrix.unlink()
        try:
            check(plan, roots)
        except Several as error:
            seen.append(error)
            raise

    check = preflight.check
    monkeypatch.setattr(preflight, "check", lost)
    monkeypatch.setattr(Local, "run", lambda *_: pytest.fail("it began"))
    assert invoke(["run", "--set", "method=coop", "--set", f"noise=matrix[file={matrix}]", "--workers", "1"]) == 2
    (error,) = seen
    assert error.lines == (f'"{matrix}", which a kind of noise reads, is not there any more; restore it.',)
    assert str(error) == error.lines[0]


def test_an_error_of_one_line_is_that_line() -> None:
    assert BenchError("one").lines == ("one",)
    assert Several(["one", "two"]).lines == ("one", "two")
    assert str(Several(["one", "two"])) == "one\ntwo"
    assert Several(["one"]).exit_code == 2
