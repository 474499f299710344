"""What trackers write is read back: TensorBoard's events, MLflow's database, W&B's offline runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BenchError
from bench.records.record import Record
from bench.tracking.contract import digest, hand_over, history, parameters, results
from bench.tracking.mlflow_store import MLflow, tracking_uri
from bench.tracking.tensorboard import TensorBoard
from bench.tracking.wandb_runs import Wandb
from tests.reports.factory import cell, changed, record
from tests.tracking.events import events, scalars


def made() -> list[Record]:
    return [
        changed(record(cell("gce-coop", "symmetric", 0.5), 0.75), diagnostics={"gate": [0.5] * 3}),
        record(cell("coop", "symmetric", 0.5, 2), status="diverged"),
    ]


def test_event_files_hold_curves_results_and_parameters(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    records = made()
    for _ in range(2):  # the second time in place of the first
        assert hand_over(records, TensorBoard(str(tmp_path / "runs"))) == 2
    folders = sorted((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    for one in records:
        (folder,) = [path for path in folders if path.name.endswith(one.key)]
        found = scalars(folder)
        expected: dict[str, dict[int, float]] = {}
        for epoch, values in history(one).items():
            for name, value in values.items():
                expected.setdefault(name, {})[epoch] = value
        for name, value in results(one).items():
            expected[name] = {one.cell.epochs: value}
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert found[name] == pytest.approx(values)
        (file,) = folder.iterdir()
        told = b"".join(event.SerializeToString() for event in events(file))
        assert b"option.q" in told or one.cell.method != "gce-coop"
        assert one.status.encode() in told


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot be made"):
        TensorBoard(str(tmp_path / "file" / "runs")).begin()
    pytest.importorskip("wandb")
    with pytest.raises(BenchError, match="cannot be made"):
        Wandb(folder=str(tmp_path / "file" / "runs")).begin()


def test_a_place_is_a_folder_a_database_or_a_uri(tmp_path: Path) -> None:
    assert tracking_uri(f"{tmp_path}/a") == f"sqlite:///{tmp_path}/a/mlflow.db"
    assert tracking_uri(f"{tmp_path}/b/runs.db") == f"sqlite:///{tmp_path}/b/runs.db"
    assert tracking_uri("http://127.0.0.1:5000") == "http://127.0.0.1:5000"


@pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports
def test_mlflow_holds_a_run_per_cell_once(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed; it comes with the extra tracking")
    records, place = made(), str(tmp_path / "runs")
    for _ in range(2):
        hand_over(records, MLflow(place, "mine"))
    client: Any = mlflow.MlflowClient(tracking_uri=tracking_uri(place))
    experiment = client.get_experiment_by_name("mine").experiment_id
    runs = {run.data.tags["bench.key"]: run for run in client.search_runs([experiment])}
    assert len(client.search_runs([experiment])) == len(records) == len(runs)
    for one in records:
        run = runs[one.key]
        assert run.data.params == {name: str(value) for name, value in parameters(one).items()}
        assert run.info.status == ("FINISHED" if one.status == "done" else "FAILED")
        for name, value in results(one).items():
            assert run.data.metrics[name] == pytest.approx(value)
        curve = client.get_metric_history(run.info.run_id, "test_accuracy")
        told = {metric.step: metric.value for metric in curve}
        assert told == pytest.approx({epoch: values["test_accuracy"] for epoch, values in history(one).items()})
    again = changed(records[1], status="done", reason=None)
    hand_over([again], MLflow(place, "mine"))  # in place of the run of the earlier record
    runs = {run.data.tags["bench.key"]: run for run in client.search_runs([experiment])}
    assert len(client.search_runs([experiment])) == 2
    assert runs[again.key].data.tags["bench.digest"] == digest(again)


@pytest.mark.filterwarnings("ignore")
def test_a_uri_that_mlflow_does_not_know_is_one_line() -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed; it comes with the extra tracking")
    with pytest.raises(BenchError, match=r'--mlflow "nosuch://x" cannot be opened'):
        MLflow("nosuch://x").begin()


@pytest.mark.filterwarnings("ignore")  # of W&B and what it imports
def test_wandb_writes_offline_runs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="W&B is not installed; it comes with the extra tracking")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    records = made()
    for _ in range(2):
        hand_over(records, Wandb("mine", str(tmp_path)))
    runs = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert sorted(path.name.split("-", 3)[3] for path in runs) == sorted(f"{r.key}-{digest(r)}" for r in records)
    for run in runs:
        (file,) = run.glob("*.wandb")
        content = file.read_bytes()
        assert b"accuracy.last" in content or b"diverged" in content
        assert b"test_accuracy" in content


@pytest.mark.parametrize(
    ("tracker", "module"), [(TensorBoard, "tensorboardX"), (MLflow, "mlflow.tracking"), (Wandb, "wandb")]
)
def test_without_its_package_a_tracker_says_what_to_install(
    tracker: type[Any], module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BenchError, match=rf"needs the package {module.partition('.')[0]} .*\[tracking\]"):
        tracker(str(tmp_path / "runs")).begin()
    assert not (tmp_path / "runs").exists()
