"""`bench compare` as a command: exit codes, the summary file, JSON, and what is never written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import invoke
from bench.records.record import Record
from bench.records.store import Store
from tests.regression.test_comparison import shifted
from tests.reports.factory import cell, grid, record

METHODS = ("zero-shot", "coop", "gce-coop")


def filled(folder: Path, records: list[Record]) -> str:
    store = Store(folder)
    for one in records:
        store.publish(one, {})
    return str(folder)


@pytest.fixture
def baseline(tmp_path: Path) -> str:
    path = str(tmp_path / "ci" / "baseline.json")
    store = filled(tmp_path / "before", grid(METHODS, seeds=(1, 2, 3), oracle=False))
    assert invoke(["compare", "--write", "--baseline", path, "--store", store]) == 0
    return path


def test_a_drop_exits_1_and_is_in_the_summary(tmp_path: Path, baseline: str, capsys: Any) -> None:
    dropped = shifted(grid(METHODS, seeds=(1, 2, 3), oracle=False), "coop", -0.03)
    store, summary = filled(tmp_path / "now", dropped), tmp_path / "out" / "summary.md"
    summary.parent.mkdir()
    summary.write_text("what an earlier run left")
    arguments = ["compare", "--baseline", baseline, "--store", store]
    capsys.readouterr()
    assert invoke([*arguments, "--summary", str(summary)]) == 1
    assert capsys.readouterr().out.startswith("worse   cell    digits · asymmetric 0.25 · coop: ")
    assert summary.read_text().startswith("### Regression gate: worse than the baseline\n\ncells: 5 worse")
    assert [p.name for p in summary.parent.iterdir()] == ["summary.md"]
    assert invoke([*arguments, "--minimum-effect", "4"]) == 0
    capsys.readouterr()
    assert invoke([*arguments, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["counts"]["worse"] == 5


def test_only_the_file_that_github_names_is_added_to(
    tmp_path: Path, baseline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tmp_path / "job.md"
    job.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(job))
    arguments = ["compare", "--baseline", baseline, "--store", str(tmp_path / "before")]
    assert invoke(arguments) == 0
    assert invoke([*arguments, "--markdown", str(tmp_path / "own.md")]) == 0
    assert job.read_text() == "# before\n"
    assert invoke([*arguments, "--summary", str(job)]) == 0
    assert job.read_text().startswith("# before\n### Regression gate: passed\n")


def test_nothing_in_common_exits_3_and_the_summary_is_no_pass(tmp_path: Path, baseline: str, capsys: Any) -> None:
    store, summary = filled(tmp_path / "now", [record(cell("coop", shots=1))]), tmp_path / "s.md"
    capsys.readouterr()
    assert invoke(["compare", "--baseline", baseline, "--store", store, "--summary", str(summary)]) == 3
    assert capsys.readouterr().err.count("\n") == 1
    assert summary.read_text().startswith("### Regression gate: nothing was compared")
    (tmp_path / "empty").mkdir()
    assert invoke(["compare", "--baseline", baseline, "--store", str(tmp_path / "empty")]) == 3


def test_a_torn_baseline_exits_2_and_so_says_the_summary(tmp_path: Path, baseline: str) -> None:
    store, summary = str(tmp_path / "before"), tmp_path / "s.md"
    Path(baseline).write_text(Path(baseline).read_text()[:300])
    assert invoke(["compare", "--baseline", baseline, "--store", store, "--summary", str(summary)]) == 2
    assert "torn" in summary.read_text()
    assert invoke(["compare", "--baseline", str(tmp_path / "no.json"), "--store", store]) == 2
    assert invoke(["compare", "--baseline", baseline, "--store", str(tmp_path / "no")]) == 2


def test_missing_cells_fail_unless_the_run_is_partial(tmp_path: Path, baseline: str, capsys: Any) -> None:
    store = filled(tmp_path / "now", grid(METHODS[:2], seeds=(1, 2, 3), oracle=False))
    arguments, summary = ["compare", "--baseline", baseline, "--store", store], tmp_path / "s.md"
    assert invoke([*arguments, "--summary", str(summary)]) == 1
    assert summary.read_text().startswith("### Regression gate: cells of the baseline are missing\n")
    assert "`--partial`" in summary.read_text()
    capsys.readouterr()
    assert invoke([*arguments, "--partial", "--strict", "--summary", str(summary)]) == 0
    headline = "passed, a partial run: 10 of the baseline's 15 cells"
    assert capsys.readouterr().out.splitlines()[-1] == f"regression gate: {headline}"
    assert summary.read_text().startswith(f"### Regression gate: {headline}\n")
    assert "--write" not in summary.read_text()  # which would forget the rest


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--write", "--summary", "s.md"], "--write makes the baseline and compares nothing"),
        (["--write", "--partial"], "--write makes the baseline and compares nothing"),
        (["--minimum-effect", "inf"], "expected a finite number of points"),
        (["--minimum-effect", "1000"], "expected a finite number of points of accuracy below 100"),
        (["--summary", "."], "cannot be written"),
    ],
)
def test_contradictions_are_one_line(
    tmp_path: Path, baseline: str, capsys: Any, monkeypatch: pytest.MonkeyPatch, more: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert invoke(["compare", "--baseline", baseline, "--store", str(tmp_path / "before"), *more]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "s.md").exists()


def test_writing_says_how_many_seeds_and_what_is_not_in_it(tmp_path: Path, capsys: Any) -> None:
    store = filled(tmp_path / "now", [record(cell("coop")), record(cell("coop", seed=2), status="failed")])
    assert invoke(["compare", "--write", "--baseline", str(tmp_path / "b.json"), "--store", store]) == 0
    said = capsys.readouterr()
    assert "1 seed each; one seed alone gives no estimate of the noise" in said.out
    assert "1 cells have not finished and are not in it" in said.err


def test_writing_says_what_was_not_made_by_the_code_that_is_here(tmp_path: Path, capsys: Any) -> None:
    one = record(cell("coop"))
    one.provenance.sources = {"engine": "e" * 12}
    store = filled(tmp_path / "now", [one])
    assert invoke(["compare", "--write", "--baseline", str(tmp_path / "b.json"), "--store", store]) == 0
    assert "1 done cell was not made by the code and data that are here now: another engine" in capsys.readouterr().err
