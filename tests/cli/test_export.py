"""`bench export` writes the tables of `bench.load`, and runs for trackers."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.cli import import_archive
from bench.cli.main import invoke
from bench.records.archive import ArchiveContents
from tests.reports.factory import grid, write_store

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "results", grid()[:12])


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_are_those_of_the_python_interface(form: str, capsys: Output) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    assert invoke(["export", "--format", form, "--out", "tables"]) == 0
    results = bench.load("results")
    for name, expected in (("cells", results.frame()), ("epochs", results.curves())):
        file = Path("tables") / f"{name}.{form}"
        found = pd.read_csv(file, keep_default_na=False, na_values=[""]) if form == "csv" else pd.read_parquet(file)
        assert [*found.columns] == [*expected.columns]
        assert len(found) == len(expected) > 0
        for column in expected:
            if pd.api.types.is_numeric_dtype(expected[column]):
                pd.testing.assert_series_equal(found[column], expected[column], check_dtype=False)
        assert [*found["key"]] == [*expected["key"]]
        assert f"{file}: {len(expected)} rows." in capsys.readouterr().out or name == "epochs"


def test_tables_of_records_without_a_step_and_without_provenance() -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    records = [one for one in grid() if one.cell.method == "zero-shot"][:2]
    lost = [one.model_copy(update={"status": "failed", "reason": "for a test"}) for one in records]
    for number, found in enumerate((records, lost)):
        for record in found:
            record.cost.optimizer_steps = {}
        write_store(Path(f"store{number}"), found)
        assert invoke(["export", "--format", "parquet", "--out", "tables", "--store", f"store{number}"]) == 0
        assert pd.read_parquet("tables/cells.parquet")["steps"].isna().all()


def test_event_files_of_a_store(capsys: Output) -> None:
    pytest.importorskip("tensorboardX")
    assert invoke(["export", "--format", "tensorboard", "--out", "runs"]) == 0
    assert capsys.readouterr().out == "runs: 12 runs.\n"
    assert len(list(Path("runs").iterdir())) == 12


def test_what_cannot_be_exported_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    Path("empty").mkdir()
    Path("file").write_text("")
    monkeypatch.setitem(sys.modules, "wandb", None)
    for arguments in (
        ["--format", "csv", "--out", "file/tables"],
        ["--format", "csv", "--out", "tables", "--store", "empty"],
        ["--format", "csv", "--out", "tables", "--store", "none"],
        ["--format", "wandb", "--out", "tables"],
        ["--format", "xml", "--out", "tables"],
        ["--format", "csv"],
    ):
        assert invoke(["export", *arguments]) == 2
        assert capsys.readouterr().err.count("error: ") == 1
    assert not Path("tables").exists()


def test_an_archive_is_imported_elsewhere_with_all_its_records(capsys: Output) -> None:
    assert invoke(["export", "--format", "archive", "--out", "paper"]) == 2
    assert "expected the name of a .zip file, for example paper.zip." in capsys.readouterr().err
    assert invoke(["export", "--format", "archive", "--out", "paper.zip"]) == 0
    assert "12 records and their report" in capsys.readouterr().out
    assert invoke(["import", "paper.zip", "--store", "published"]) == 0
    told = capsys.readouterr().out
    assert "published: 12 records added; 0 were there already." in told
    assert "next: bench table --store published" in told
    pd.testing.assert_frame_equal(bench.load("published").frame(), bench.load("results").frame())
    assert invoke(["import", "paper.zip", "--store", "published", "--json"]) == 0
    assert '"new": []' in capsys.readouterr().out


def test_an_import_names_the_plugins_that_its_records_need(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    found = ArchiveContents(new=["0f3a"], plugins=("file my method.py", "package other 1.2"))
    monkeypatch.setattr(import_archive, "read_archive", lambda file, store: found)
    assert invoke(["import", "paper.zip", "--store", "published"]) == 0
    told = capsys.readouterr().out
    assert "to name its rows, and to run its cells again, also needed: package other 1.2\n" in told
    assert told.endswith("next: bench table --store published --plugin 'my method.py'\n")
