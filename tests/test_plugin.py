"""A third party's method from a file: listed, run in worker processes, recorded, reported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.in_process import bench as here

PLUGIN = '''
import bench


class Halved(bench.CoOp):
    """CoOp at half the loss."""

    def objective(self, logits, batch):
        return {"half_ce": super().objective(logits, batch)["ce"] / 2}


bench.register(
    "halved-coop", Halved, "CoOp at half the loss", aliases=["halved"], title="Halved CoOp", family="losses", cost=5
)
'''


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from bench.cli.main import console_script; console_script()", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.slow
def test_a_method_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")

    def printed(*arguments: str) -> str:
        capsys.readouterr()
        assert here(tmp_path, *arguments, "--plugin", "mine.py") == 0, capsys.readouterr()
        return capsys.readouterr().out

    row = next(row for row in json.loads(printed("list", "methods", "--json")) if row["name"] == "halved-coop")
    assert (row["origin"], row["summary"]) == ("file mine.py", "CoOp at half the loss")
    assert (row["title"], row["family"], row["cost"]) == ("Halved CoOp", "losses", 5)
    small = ["--set", "noise=none", "--set", "epochs=10", "--set", "shots=2", "--set", "seed=1", "--json"]
    plans = [json.loads(printed("plan", "--set", f"method={name}", *small)) for name in ("coop", "halved")]
    usual, dear = (plan["estimate_seconds"] for plan in plans)
    assert dear > usual
    run = bench(
        tmp_path, "run", "--plugin", "mine.py", "--set", "method=halved", "--set", "noise=none", "--set", "epochs=1",
        "--set", "shots=2", "--scheduler", "local", "--workers", "2",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    records = [json.loads(file.read_text(encoding="utf-8")) for file in (tmp_path / "results").glob("*.json")]
    assert [record["cell"]["method"] for record in records] == ["halved-coop"] * 5
    assert set(records[0]["cost"]["optimizer_steps"]) == {"all", "half_ce"}
    assert records[0]["provenance"]["plugins"] == {"method": "file mine.py"}
    printed("report", "--markdown")
    assert "Halved CoOp" in (tmp_path / "results" / "report" / "report.md").read_text(encoding="utf-8")


EXITING = """
import os, sys

import bench


class Exits(bench.CoOp):
    def setup(self, context):
        sys.exit(0)


bench.register("exits", Exits)
if os.environ.get("END_AT_IMPORT"):
    os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.long
def test_a_method_that_ends_its_process_costs_its_cells_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exiting.py").write_text(EXITING, encoding="utf-8")
    small = ["--set", "noise=none", "--set", "seed=1", "--set", "epochs=1", "--set", "shots=2", "--workers", "1"]
    arguments = ["run", "--plugin", "exiting.py", "--set", "method=exits,coop", *small]
    run = bench(tmp_path, *arguments)
    assert run.returncode == 4, run.stdout + run.stderr
    assert "failed: digits · none · exits · seed 1: exiting.py, line 9, called sys.exit(0)\n" in run.stdout
    records = [json.loads(file.read_text(encoding="utf-8")) for file in (tmp_path / "results").glob("*.json")]
    assert sorted(record["status"] for record in records) == ["done", "failed"]
    assert not any("changed_state" in record["provenance"] for record in records)
    monkeypatch.setenv("END_AT_IMPORT", "1")
    run = bench(tmp_path, *arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(
        "error: a plugin or a library below it, such as Ray, ended the process by exit code 0 before"
    )
