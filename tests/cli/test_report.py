"""`bench report` for a program: the names of the files, and nothing else on the standard output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli.main import invoke
from bench.records.store import Store
from tests.reports.factory import cell, record


def test_a_report_for_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for method in ("zero-shot", "coop"):
        Store(tmp_path / "s").publish(record(cell(method)), {})
    (tmp_path / "s" / "torn.json").write_text("{")
    out = tmp_path / "out"
    arguments = ["report", "--store", str(tmp_path / "s"), "--out", str(out), "--markdown", "--figures", "0"]
    assert invoke([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["files"][0] == "report.md"
    assert all((out / name).is_file() for name in found["files"])
    assert [found["store"], found["folder"]] == [str(tmp_path / "s"), str(out)]
    assert ["torn.json" in problem for problem in found["problems"]] == [True]
    assert f"report: {out / 'report.md'} and {len(found['files']) - 1} more files in {out}\n" in printed.err
    assert invoke([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
