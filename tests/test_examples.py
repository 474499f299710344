"""Every example runs as its first lines say."""

from __future__ import annotations

import importlib.metadata
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.cli.main import invoke
from bench.contracts.method import Method
from bench.grid import code
from bench.plugins import METHODS
from bench.registry import load_plugin_file
from bench.testing.run import run_checks
from tests import ROOT
from tests.api.example_package import ENTRY_POINTS, installed
from tests.api.test_results import store as store
from tests.registered import registered

EXAMPLES = ROOT / "examples"


def python(folder: Path, *arguments: str) -> str:
    """What a program prints that is run in a folder; it must end well, and complain of nothing."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    ran = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def holds(method: type[Method]) -> None:
    """The contract of methods, as `bench test` checks it."""
    assert [outcome for outcome in run_checks(method, method.Options()) if outcome.reason] == []


@pytest.mark.slow
def test_a_small_grid_is_run_and_plotted(tmp_path: Path) -> None:
    shown = python(tmp_path, str(EXAMPLES / "run_and_plot.py"))
    assert len(bench.load(tmp_path / "results").frame().query("status == 'done'")) == 18
    assert "GCE-CoOp[q=0.5]" in shown
    assert (tmp_path / "noise.png").read_bytes().startswith(b"\x89PNG")


def test_records_are_read_into_pandas(
    store: bench.Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["read_records.py", store.root])
    runpy.run_path(str(EXAMPLES / "read_records.py"))
    shown = capsys.readouterr().out
    assert "Zero-shot" in shown
    assert "31 cells" in shown
    assert len(pd.read_csv(tmp_path / "curves.csv")) == len(bench.load(store.root).curves()) > 30


@pytest.mark.usefixtures("registries")
def test_a_method_as_a_file_keeps_the_contract() -> None:
    load_plugin_file(str(EXAMPLES / "my_method.py"))
    assert METHODS.row("modest").origin == "file my_method.py"
    holds(METHODS.get("modest-coop"))


@pytest.mark.slow
@pytest.mark.usefixtures("registries")
def test_a_method_as_a_file_is_run_from_the_file_itself_and_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = python(tmp_path, str(EXAMPLES / "my_method.py"))
    assert "modest-coop[beta=1]" in shown
    frame = bench.load(tmp_path / "results").frame()
    assert {*frame["status"]} == {"done"}
    assert len(frame) == 6
    axes = {"noise": "symmetric", "rate": "0.5", "seed": "1,2", "shots": "4", "epochs": "5"}
    sets = [part for name, value in axes.items() for part in ("--set", f"{name}={value}")]
    plugin = ["--plugin", str(EXAMPLES / "my_method.py"), "--set", "method=coop,modest-coop"]
    monkeypatch.chdir(tmp_path)
    assert invoke(["run", *plugin, *sets]) == 0
    assert "nothing left to do, 4 of 4 done" in capsys.readouterr().out


def test_a_method_as_a_package_keeps_the_contract_and_its_code_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed(tmp_path))
    (point,) = importlib.metadata.entry_points(group=ENTRY_POINTS, name="nearest-mean")
    with registered(scanned=False):
        assert METHODS.row("nearest-mean").origin == "package nearest-mean 0.1.0"
        assert METHODS.get("nearest-mean") is point.load()
        assert code._plugin(METHODS.row("nearest-mean"))
        holds(METHODS.get("nearest-mean"))


def test_examples_import_bench_and_nothing_else_of_ours() -> None:
    files = sorted(EXAMPLES.rglob("*.py"))
    assert len(files) == 4
    for file in files:
        assert "import bench\n" in file.read_text(encoding="utf-8")
        assert "bench." not in "".join(
            line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith(("from ", "import "))
        )
