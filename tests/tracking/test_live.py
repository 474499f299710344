"""Cells are tracked as they are published, by both schedulers, and a tracker that fails stops no run."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.cli.main import invoke
from bench.execution.observer import Observer
from bench.records.store import Store
from bench.tracking.live import Tracked, chosen_trackers
from tests.reports.factory import cell, record
from tests.schedulers.fakes import fake_trials
from tests.tracking.events import scalars
from tests.tracking.test_contract import Recorder

Output = pytest.CaptureFixture[str]
RUN = ["run", "--set", "method=coop", "--set", "rate=0.5", "--set", "seed=1,2", "--set", "epochs=1"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_trackers_are_those_that_are_named() -> None:
    assert chosen_trackers(None, None, None) == []
    assert [type(one).__name__ for one in chosen_trackers("a", "b", "c")] == ["TensorBoard", "MLflow", "Wandb"]


def test_a_local_run_is_tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboardX")
    fake_trials(monkeypatch)
    assert invoke([*RUN, "--scheduler", "local", "--workers", "1", "--tensorboard", "runs"]) == 0
    check_tracked()


@pytest.mark.slow
@pytest.mark.long
def test_a_run_on_ray_is_tracked() -> None:
    pytest.importorskip("tensorboardX")
    command = [sys.executable, "-c", "from bench.cli.main import console_script; console_script()", *RUN]
    options = ["--scheduler", "ray", "--workers", "2", "--tensorboard", "runs"]
    assert subprocess.run([*command, *options], capture_output=True, timeout=240, check=False).returncode == 0
    check_tracked()


def check_tracked() -> None:
    store = Store("results")
    assert len(store.keys()) > 1
    assert len(list(Path("runs").iterdir())) == len(store.keys())
    for one in store.records():
        (folder,) = Path("runs").glob(f"*-{one.key}")
        found = scalars(folder)
        assert found["accuracy.last"] == pytest.approx({one.cell.epochs: one.accuracy.last})
        columns = one.curve.columns
        curve = dict(zip(columns["epoch"], columns["test_accuracy"], strict=True))
        assert found["test_accuracy"] == pytest.approx(curve)


def test_a_missing_package_is_told_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow.tracking", None)
    assert invoke([*RUN, "--scheduler", "local", "--mlflow", "runs"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("results").exists()


def test_a_tracker_that_fails_is_noted_once_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    fake_trials(monkeypatch)
    bad, good = Recorder(fails_at=1), Recorder()
    monkeypatch.setattr("bench.cli.run.chosen_trackers", lambda *_: [bad, good])
    assert invoke([*RUN, "--scheduler", "local", "--workers", "1"]) == 0
    keys = Store("results").keys()
    assert sorted(good.said[1:-1]) == sorted(keys)
    assert (good.said[0], good.said[-1], len(bad.said)) == ("begin", "end", 2)
    assert capsys.readouterr().err.count("is given no more cells (ValueError: as ordered)") == 1


def test_trackers_are_closed_when_a_run_is_interrupted(tmp_path: Path) -> None:
    store, tracker = Store(tmp_path / "store"), Recorder()
    store.publish(record(cell()), {})
    (key,) = store.keys()
    tracked = Tracked(Observer(), store, [tracker])
    plan: Any = SimpleNamespace(todo=())
    tracked.begin(plan, (), 1, "here")

    def interrupted() -> None:
        with tracked.training(plan) as listen:
            outcome: Any = SimpleNamespace(key=key)
            gone: Any = SimpleNamespace(key="0" * 16)
            for one in (outcome, gone):
                listen(one, nullcontext())  # type: ignore[arg-type]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert tracker.said == ["begin", key, "end"]
