"""One cell from data to record, for every registered method; and that no true label reaches any of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.contracts.method import Method
from bench.engine.loop import train
from bench.engine.trial import Run, TrialSettings, one_thread, run_cell, run_pack
from bench.global_state import Guard
from bench.plugins import METHODS
from bench.records.cell import Cell
from bench.records.record import Record
from tests.cells import make_cell

ALL = sorted(METHODS)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrialSettings:
    return TrialSettings(cache=str(tmp_path_factory.mktemp("features")))


def small(method: str, **changes: Any) -> Cell:
    values: dict[str, Any] = {
        "dataset": "digits", "backbone": "tiny", "method": method, "shots": 4, "noise": "symmetric", "rate": 0.5,
        "epochs": 2, "batch_size": 16, "learning_rate": 0.002,
    }  # fmt: skip
    options = METHODS.get(method).Options().model_dump()
    return make_cell(**{**values, "options": options, **changes})


@pytest.mark.parametrize("method", ALL)
def test_no_true_label_reaches_a_method(method: str, settings: TrialSettings) -> None:
    """The same observed labels with other true labels in the audit: the same bits in parameters and predictions."""
    results = []
    for lie in (False, True):
        run = Run(small(method), settings)
        member = run.prepare()
        if lie:
            member.audit.true = (member.audit.true + 3) % 10
            member.audit.test = (member.audit.test + 3) % 10
        with one_thread():
            train(member)
        assert run.method is not None
        results.append((run.method.state_dict(), np.stack(member.audit.predictions), np.stack(member.audit.losses)))
    (first, predictions, losses), (second, others, other_losses) = results
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (predictions == others).all()
    assert (losses == other_losses).all()


@pytest.mark.parametrize("method", ALL)
def test_a_record_says_everything_and_repeats_bit_for_bit(method: str, settings: TrialSettings) -> None:
    cell = small(method)
    published: list[tuple[Record, dict[str, Any]]] = []
    with Guard() as guard:
        run_pack([("key", cell)], lambda record, sidecar: published.append((record, dict(sidecar))), settings)
    assert guard.changed == [], "a cell leaves its process as it was"
    record, sidecar = published[0]
    assert record.status == "done", record.reason
    again, _ = run_cell("key", cell, settings)
    for entry in ("curve", "accuracy", "noise"):
        assert getattr(record, entry).model_dump_json() == getattr(again, entry).model_dump_json(), entry
    epochs = record.curve.epoch
    trained = record.cost.optimizer_steps.get("all", 0) > 0
    assert trained == (method not in ("zero-shot", "linear-probe", "tip-adapter"))
    assert epochs == ([0, 1, 2] if trained else [0])
    assert all(len(values) == len(epochs) for values in (*record.curve.columns.values(), *record.diagnostics.values()))
    assert record.accuracy.last == record.curve.test_accuracy[-1]
    assert record.noise.realised_rate == 0.5
    assert record.noise.validation.realised_rate == 0.5
    assert sidecar["losses"].shape == sidecar["predictions"].shape == (len(epochs), 40)
    assert (sidecar["true"] != sidecar["observed"]).sum() == 20
    memorized = (sidecar["predictions"][-1] == sidecar["observed"])[sidecar["true"] != sidecar["observed"]].mean()
    assert record.curve.memorized[-1] == pytest.approx(memorized)
    assert (record.cost.optimizer_steps.get("all", 0) > 0) == trained
    assert sidecar["test_correct"].mean() == pytest.approx(record.accuracy.last, abs=1e-12)
    assert ece(sidecar) == pytest.approx(record.curve.test_calibration_error[-1], abs=1e-12)
    assert Record.model_validate_json(record.to_json()) == record


def ece(outcomes: dict[str, Any]) -> float:
    """The expected calibration error from what is kept of the test samples, bin by bin."""
    confidence, correct = outcomes["test_confidence"], outcomes["test_correct"]
    assert (confidence.dtype, outcomes["test_predicted"].dtype, correct.dtype) == (np.float32, np.int16, np.bool_)
    assert len(confidence) == len(outcomes["test_predicted"]) == len(correct)
    place = np.minimum(np.floor(confidence * np.float32(15)), 14)
    found = 0.0
    for number in range(15):
        inside = place == number
        if inside.any():
            gap = correct[inside].mean() - confidence[inside].astype(np.float64).mean()
            found += inside.mean() * abs(gap)
    return float(found)


@pytest.mark.parametrize("control", ["none", "shuffled"])
def test_what_visprompt_says_of_samples_changes_no_other_bit(
    control: str, settings: TrialSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = METHODS.get("visprompt").Options.model_validate({"control": control}).model_dump()
    record, sidecar = run_cell("key", small("visprompt", options=options), settings)
    monkeypatch.setattr(METHODS.get("visprompt"), "per_sample", Method.per_sample)
    silent, outcomes = run_cell("key", small("visprompt", options=options), settings)
    for entry in ("curve", "accuracy", "noise"):
        assert getattr(record, entry).model_dump_json() == getattr(silent, entry).model_dump_json(), entry
    assert all((sidecar[name] == outcomes[name]).all() for name in outcomes)
    told = record.diagnostics.keys() - silent.diagnostics.keys()
    assert told == {f"{name}_{end}" for name in ("gate", "context_shift") for end in ("clean", "mislabeled", "auroc")}
    assert all(0 < float(value or 0) < 1 for value in record.diagnostics["gate_auroc"])
    assert record.diagnostics["gate_clean"] != record.diagnostics["gate_mislabeled"]
    same = {name: values for name, values in record.diagnostics.items() if name not in told}
    assert json.dumps(same) == json.dumps(silent.diagnostics)


def test_methods_of_a_seed_see_the_same_data_and_noise(settings: TrialSettings) -> None:
    records = [run_cell("key", small(method, epochs=1), settings)[0] for method in ("zero-shot", "coop")]
    assert records[0].noise == records[1].noise
    assert records[0].data == records[1].data
    other = run_cell("key", small("coop", epochs=1, seed=2), settings)[0]
    assert other.noise.digest != records[0].noise.digest


def test_the_oracle_row_trains_on_the_clean_subset_and_never_sees_the_rest(settings: TrialSettings) -> None:
    run = Run(small("coop", subset="clean"), settings)
    member = run.prepare()
    assert run.method is not None
    assert torch.equal(run.method.get_buffer("observed"), member.audit.true[member.data.visible])
    assert len(run.visible) == 20
    train(member)
    assert run.entries()["oracle"] == ["clean_subset"]
    assert member.audit.rows[-1]["memorized"] is not None


def test_divergence_and_failure_are_records(settings: TrialSettings) -> None:
    record, sidecar = run_cell("key", small("coop", learning_rate=1e30, warmup_learning_rate=1e30), settings)
    assert record.status == "diverged"
    assert "finite" in str(record.reason) or "loss is" in str(record.reason)
    assert record.curve.epoch == [0]
    assert sidecar == {}
    record, _ = run_cell("key", small("visprompt", options={"heads": 7}), settings)
    assert record.status == "failed"
    assert str(record.reason).startswith("visprompt[heads=7] does not divide the text width 64")
    assert "\n" not in str(record.reason)


def test_a_cell_out_of_time_is_a_record(settings: TrialSettings, tmp_path: Path) -> None:
    hurried = TrialSettings(timeout=1e-6, cache=settings.cache)
    record, _ = run_cell("key", small("coop"), hurried)
    assert record.status == "timeout"
    assert "allowed" in str(record.reason)


def test_a_kind_without_a_rate_tells_oracles_the_realised_one(settings: TrialSettings, tmp_path: Path) -> None:
    shares = np.full((10, 10), 0.5 / 9) + np.eye(10) * (0.5 - 0.5 / 9)
    np.savetxt(tmp_path / "half.csv", shares, delimiter=",", fmt="%.17g")
    run = Run(small("co-teaching", noise=f"matrix[file={tmp_path / 'half.csv'}]", rate=0.0), settings)
    with one_thread():
        run.prepare()
    assert run.train is not None
    assert run.method is not None
    told = run.method.noise_rate
    assert told == run.train.noisy.realised_rate
    assert 0.3 < told < 0.7
    run = Run(small("co-teaching", rate=0.29), settings)
    with one_thread():
        run.prepare()
    assert run.method is not None
    assert run.method.noise_rate == 0.29
