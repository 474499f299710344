from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.api.plugins import check_reach
from bench.cli.main import invoke
from bench.execution import execute
from bench.execution.execute import Request, Setup
from bench.execution.plan import Plan
from bench.plugins import METHODS, REGISTRIES
from bench.records.cell import Cell
from bench.records.record import Status
from bench.records.store import Store
from bench.registry import Row, importing, load_plugin_file
from bench.schedulers.contract import CellOutcome, Pack, Report
from bench.schedulers.work import Work, outcome_of
from bench.settings.schema import Config
from tests import ROOT
from tests.api.example_package import installed
from tests.cells import make_cell
from tests.schedulers.fakes import record

SMALL: dict[str, object] = {"noise": "symmetric", "rate": [0.25, 0.5], "seed": [1, 2], "shots": 2, "epochs": 1}


class Here:
    """Runs packs in this process, without training; cells of seed 2 fail as long as they are to."""

    def __init__(self) -> None:
        self.status: Status = "done"
        self.ran: list[str] = []
        self.requests: list[Request] = []

    def run(self, packs: Sequence[Pack], work: Work, workers: int, report: Report, stop: Callable[[], bool]) -> None:
        for pack in packs:
            if stop():
                return
            for outcome in [self.outcome(key, cell, work) for key, cell in pack]:
                report(outcome)

    def outcome(self, key: str, cell: Cell, work: Work) -> CellOutcome:
        status = self.status if cell.seed == 2 else "done"
        made = record(key, cell, status=status, reason=None if status == "done" else "it broke")
        Store(work.store).publish(made, {})
        self.ran.append(key)
        return outcome_of(made)

    def set_up(self, plan: Plan, config: Config, request: Request, tell: object = None) -> Setup:
        self.requests.append(request)
        return Setup(self, "local", 1, "cpu", plan.packs())


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    scheduler = Here()
    monkeypatch.setattr(execute, "set_up", scheduler.set_up)
    return scheduler


def test_a_plan_runs_nothing_and_counts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plan = bench.plan(store=tmp_path / "store", method=["coop", "gce-coop"], **SMALL)  # type: ignore[arg-type]
    assert (plan.counts()["cells"], plan.counts()["todo"], len(plan.todo)) == (8, 8, 8)
    assert {one.cell.method for one in plan.todo} == {"coop", "gce-coop"}
    assert not (tmp_path / "store").exists()
    assert capfd.readouterr() == ("", "")


def test_what_is_done_stays_and_tables_hold_what_was_asked_for(
    here: Here, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    first = bench.run(store=store, method="coop", **SMALL)  # type: ignore[arg-type]
    assert (len(here.ran), len(first.frame())) == (4, 4)
    both = bench.run(store=first, method=["coop", "gce-coop"], **SMALL)  # type: ignore[arg-type]
    assert (len(here.ran), len(both.frame()), len(first.frame())) == (8, 8, 4)
    again = bench.run(store=store, method="gce-coop", **SMALL)  # type: ignore[arg-type]
    assert (len(here.ran), len(again.frame()), len(bench.load(store).frame())) == (8, 4, 8)
    assert capfd.readouterr() == ("", "")


def test_a_plan_to_retry_is_run_as_it_was_made(here: Here, tmp_path: Path) -> None:
    here.status = "failed"
    bench.run(store=tmp_path, method="coop", **SMALL)  # type: ignore[arg-type]
    here.status, here.ran = "done", []
    plan = bench.plan(store=tmp_path, method="coop", retry="all", **SMALL)  # type: ignore[arg-type]
    assert {*bench.run(plan, store=tmp_path).frame()["status"]} == {"done"}
    assert sorted(here.ran) == sorted(one.key for one in plan.todo)


def test_cells_and_plans_run_as_they_are(here: Here, tmp_path: Path) -> None:
    plan = bench.plan(store=tmp_path, method=["coop", "gce-coop"], **SMALL)  # type: ignore[arg-type]
    some = bench.run(plan.todo[:3], store=tmp_path, timeout=60)
    assert sorted(here.ran) == sorted(one.key for one in plan.todo[:3])
    assert {*some.frame()["key"]} == {*here.ran}
    bench.run((one.cell for one in plan.todo[2:4]), store=tmp_path)
    assert sorted(here.ran) == sorted(one.key for one in plan.todo[:4]), "a cell alone has the key of its plan"
    assert len(bench.run(plan, store=tmp_path).frame()) == 8
    assert sorted(here.ran) == sorted(one.key for one in plan.todo)
    assert len(bench.run([], store=tmp_path).frame()) == 0


def test_what_did_not_finish_is_a_row_and_is_run_again_on_request(here: Here, tmp_path: Path) -> None:
    here.status = "failed"
    results = bench.run(store=tmp_path, method="coop", **SMALL)  # type: ignore[arg-type]
    frame = results.frame()
    assert frame.loc[frame["seed"] == 2, ["status", "reason"]].to_numpy().tolist() == [["failed", "it broke"]] * 2
    bench.run(store=tmp_path, method="coop", **SMALL)  # type: ignore[arg-type]
    assert len(here.ran) == 4
    here.status = "done"
    results = bench.run(store=tmp_path, method="coop", retry="all", **SMALL)  # type: ignore[arg-type]
    assert (len(here.ran), {*results.frame()["status"]}) == (6, {"done"})


def test_options_reach_the_request(here: Here, tmp_path: Path) -> None:
    here.status = "failed"
    bench.run(
        store=tmp_path, workers=3, scheduler="ray", address="auto", fail_fast=True, rerun=True, pack=1, method="coop",
        **SMALL,
    )  # type: ignore[arg-type] # fmt: skip
    assert here.requests == [Request("ray", 3, "auto", True, (), True)]
    assert len(here.ran) == 3, "the first cell of the second seed fails, and ends it"


def test_progress_is_shown_on_request_alone(here: Here, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    here.status = "failed"
    bench.run(store=tmp_path, progress=True, method="coop", noise="symmetric", rate=0.5, seed=[1, 2], momentum=0.5)
    shown = capfd.readouterr()
    assert "failed: digits · symmetric 0.5 · coop · seed 2: it broke\n" in shown.out
    assert "2 of 2 cells" in shown.out


@pytest.mark.parametrize("progress", [True, False])
def test_a_file_that_is_no_record_is_kept_under_another_name(
    progress: bool, here: Here, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    only = {"method": "coop", "noise": "none", "seed": 1}
    (planned,) = bench.plan(store=tmp_path, **only).grid.cells  # type: ignore[arg-type]
    (tmp_path / f"{planned.key}.json").write_text("{", encoding="utf-8")
    results = bench.run(store=tmp_path, progress=progress, **only)  # type: ignore[arg-type]
    assert [*results.frame()["status"]] == ["done"]
    assert (tmp_path / f"{planned.key}.json.1.aside").read_text(encoding="utf-8") == "{"
    told = f"note: {planned.key}.json in the store is no record of this version and is kept as {planned.key}.json.1"
    assert (told in capfd.readouterr().err) == progress


@pytest.mark.usefixtures("here")
def test_the_command_says_each_step_of_a_run_in_words(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--set", "method=coop", "--set", "noise=none", "--set", "seed=1", "--store", str(tmp_path)]
    assert invoke(["run", *words]) == 0
    first, *lines = capfd.readouterr().out.splitlines()
    assert first.startswith("grid quick: 1 of 1 cells to run, 1 worker (local, cpu), about ")
    assert any(line.startswith("ran 1 cell in ") for line in lines)


@pytest.mark.usefixtures("registries", "here")
def test_a_plugin_that_workers_cannot_import_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    bench.register("session-coop", bench.CoOp, aliases=["session"])
    with pytest.raises(bench.BenchError, match='method "session-coop" was registered by this program itself'):
        bench.run(store=tmp_path / "store", method="session", seed=1, noise="none")
    assert not (tmp_path / "store").exists()
    check_reach([make_cell(dataset="digits", method="coop", backbone="tiny")], ())
    METHODS.add(Row("packed", "a:b", origin="package theirs 1.0"), bench.CoOp)
    check_reach([make_cell(dataset="digits", method="packed", backbone="tiny")], ())
    for registry in REGISTRIES:
        place = registry.kind
        row = Row(f"my-{place}", "a:b", origin="file my.py", files=("/my.py",))
        registry.add(row, registry.get(next(iter(registry))))
        plain = {"dataset": "digits", "method": "coop", "backbone": "tiny"}
        cell = make_cell(**{**plain, place if place in plain or place == "noise" else "method": f"my-{place}"})
        check_reach([cell], ("/my.py",))
        with pytest.raises(bench.BenchError, match=f'{place} "my-{place}" was registered'):
            check_reach([cell], ("/other.py",))
        inside = make_cell(**plain, options={"teacher": f"my-{place}"})
        with pytest.raises(bench.BenchError, match=f'{place} "my-{place}" was registered'):
            check_reach([inside], ())


def test_a_plugin_file_that_runs_something_when_it_is_imported_is_told(tmp_path: Path) -> None:
    file = tmp_path / "running_plugin.py"
    file.write_text("import bench\nbench.run(method='coop')\n", encoding="utf-8")
    with pytest.raises(bench.BenchError, match=r'running_plugin.py" is imported as a plugin; put the call below if __'):
        load_plugin_file(str(file))
    assert importing == []


SCRIPT = """
import json
import bench

small = {"noise": "none", "seed": 1, "epochs": 1, "shots": 2}
methods = ["nearest-mean[shrink=0.1]", "broken"]
results = bench.run(method=methods, store="store", workers=1, plugins=["broken.py"], **small)
frame = results.frame()
again = bench.run(method="nearest-mean[shrink=0.1]", store="store", **small)
with open("found.json", "w") as stream:
    json.dump([frame[["method", "status", "reason"]].values.tolist(), len(again.curves()), __name__], stream)
"""
BROKEN = """
import bench

class Broken(bench.CoOp):
    def setup(self, context):
        raise RuntimeError("no set-up")

bench.register("broken", Broken)
"""


@pytest.mark.slow
def test_a_script_needs_no_guard_and_nothing_is_printed(tmp_path: Path) -> None:
    """Workers know what the script names as a plugin file, and what is installed as a package."""
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed(tmp_path)), str(ROOT)])}
    ran = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    rows, curve, name = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert sorted(rows) == [["broken", "failed", "RuntimeError: no set-up"], ["nearest-mean", "done", ""]]
    assert (curve, name) == (1, "__main__")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scheduler": "lokal"}, 'unknown scheduler "lokal"; did you mean "local"?'),
        ({"workers": 0}, "workers = 0: expected a whole number from 1 on"),
        ({"workers": "2"}, "workers = '2': expected a whole number from 1 on"),
        ({"retry": True}, "--retry True: known: all"),
    ],
)
def test_what_the_command_line_refuses_is_refused_here(wrong: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(bench.BenchError) as refused:
        bench.run(store=tmp_path / "results", **SMALL, **wrong)
    assert message in str(refused.value)
    assert not (tmp_path / "results").exists()


def test_a_grid_that_is_no_name() -> None:
    with pytest.raises(bench.BenchError, match="unknown grid \"\\['quick'\\]\""):
        bench.plan(["quick"])  # type: ignore[arg-type]
