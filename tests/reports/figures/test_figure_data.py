"""The numbers behind each figure, computed again from the records in the plainest way."""

from __future__ import annotations

import statistics

import numpy as np
import pandas as pd
import pytest

from bench.engine.audit import CALIBRATION_BINS
from bench.records.record import Record
from bench.reports.figures.reliability import BINS
from bench.reports.names import method_name
from tests.reports.details import TESTED, detailed
from tests.reports.drawing import draw_records
from tests.reports.factory import GRID, grid

RECORDS = grid(methods=("zero-shot", "coop", "visprompt"), columns=GRID[:4], epochs=4)
OUTCOMES = detailed(RECORDS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """By kind of figure the numbers in its file, several of one kind together."""
    found: dict[str, list[pd.DataFrame]] = {}
    for figure in draw_records(RECORDS, tmp_path_factory.mktemp("data"), outcomes=OUTCOMES.__getitem__):
        found.setdefault(figure.kind, []).append(pd.read_csv(figure.files[-1]))
    return {kind: pd.concat(files, ignore_index=True) for kind, files in found.items()}


def of(method: str, noise: str, rate: float) -> list[Record]:
    """Both seeds of a method on all its samples."""
    found = [r for r in RECORDS if (r.cell.method, r.cell.noise, r.cell.rate) == (method, noise, rate)]
    return [r for r in found if r.cell.subset == "all"]


@pytest.mark.parametrize(
    ("kind", "quantity", "method", "scale"),
    [
        ("memorization", "memorized", "coop", 100),
        ("memorization", "recovered", "coop", 100),
        ("memorization", "neither", "visprompt", 100),
        ("memorization", "train_clean_accuracy", "coop", 100),
        ("learning", "test_accuracy", "coop", 100),
        ("learning", "test_calibration_error", "visprompt", 100),
        ("splits", "split_precision", "visprompt", 100),
        ("splits", "split_recall", "visprompt", 100),
        ("splits", "pseudo_label_accuracy", "visprompt", 100),
        ("losses", "loss_auroc", "coop", 1),
        ("gates", "gate_mean", "visprompt", 1),
        ("gates", "gate_sd_images", "visprompt", 1),
        ("gates", "image_share", "visprompt", 1),
        ("gates", "gate_clean", "visprompt", 1),
        ("gates", "gate_mislabeled", "visprompt", 1),
        ("gates", "gate_auroc", "visprompt", 1),
        ("gates", "context_shift_clean", "visprompt", 1),
        ("gates", "context_shift_mislabeled", "visprompt", 1),
        ("gates", "context_shift_auroc", "visprompt", 1),
    ],
)
def test_curves_over_epochs(data: dict[str, pd.DataFrame], kind: str, quantity: str, method: str, scale: int):
    records = of(method, "symmetric", 0.5)
    found = data[kind]
    found = found[(found["quantity"] == quantity) & (found["label"] == method_name(method))]
    rows = found[(found["noise"] == "symmetric") & (found["rate"] == 0.5)].set_index("epoch")
    for epoch in range(1, 5):
        values = [float({**r.curve.columns, **r.diagnostics}[quantity][epoch] or 0) * scale for r in records]
        assert rows.loc[epoch, "mean"] == pytest.approx(statistics.mean(values), rel=1e-4)
        assert rows.loc[epoch, "sd"] == pytest.approx(statistics.stdev(values), rel=1e-3, abs=1e-6)
        assert rows.loc[epoch, "n"] == len(values) == 2


def test_the_clean_column_has_its_learning_curve(data: dict[str, pd.DataFrame]):
    rows = data["learning"].query("quantity == 'test_accuracy' and label == 'CoOp' and noise == 'none' and epoch == 4")
    assert float(rows["mean"].iloc[0]) == pytest.approx(
        statistics.mean(100 * float(r.accuracy.last or 0) for r in of("coop", "none", 0.0)), rel=1e-4
    )


@pytest.mark.parametrize("measure", ["best_minus_last", "calibration_error"])
def test_what_stands_against_the_rate(data: dict[str, pd.DataFrame], measure: str):
    rows = (
        data["gap"].query("measure == @measure and label == 'CoOp' and panel == 'symmetric'").set_index("rate_percent")
    )
    assert list(rows.index) == [0, 25, 50]
    for rate in (0, 25, 50):
        records = of("coop", "symmetric" if rate else "none", rate / 100)
        values = [
            100 * (float(r.accuracy.best or 0) - float(r.accuracy.last or 0))
            if measure == "best_minus_last"
            else 100 * float(r.curve.test_calibration_error[-1] or 0)
            for r in records
        ]
        assert rows.loc[rate, "mean"] == pytest.approx(statistics.mean(values), rel=1e-4, abs=1e-9)
        assert rows.loc[rate, "sd"] == pytest.approx(statistics.stdev(values), rel=1e-3, abs=1e-9)
    assert data["gap"].query("measure == 'best_minus_last' and label == 'CoOp'")["mean"].max() > 0.5


def test_zero_shot_has_no_gap(data: dict[str, pd.DataFrame]):
    assert "Zero-shot" not in set(data["gap"].query("measure == 'best_minus_last'")["label"])
    assert "Zero-shot" in set(data["gap"].query("measure == 'calibration_error'")["label"])


@pytest.mark.parametrize("group", ["Correctly labeled", "Mislabeled"])
def test_percentiles_of_the_last_losses_over_all_seeds(data: dict[str, pd.DataFrame], group: str):
    values: list[float] = []
    for each in of("coop", "symmetric", 0.5):
        one = OUTCOMES[each.key]
        wrong = one["true"] != one["observed"]
        values += one["losses"][-1][wrong if group == "Mislabeled" else ~wrong].tolist()
    (row,) = data["losses"].query("label == 'CoOp' and noise == 'symmetric' and group == @group").to_dict("records")
    assert row["samples"] == len(values) == 40
    for name, percent in (("p5", 5), ("p25", 25), ("median", 50), ("p75", 75), ("p95", 95)):
        assert row[name] == pytest.approx(np.percentile(values, percent), rel=1e-4)


def test_losses_show_one_rate_of_each_kind(data: dict[str, pd.DataFrame]):
    assert set(zip(data["losses"]["noise"], data["losses"]["rate"], strict=True)) == {
        ("symmetric", 0.5),
        ("asymmetric", 0.25),
    }


def test_cost_against_the_mean_over_the_columns_that_all_have(data: dict[str, pd.DataFrame]):
    (row,) = data["cost"].query("label == 'VisPrompt'").to_dict("records")
    records = [r for r in RECORDS if r.cell.method == "visprompt"]
    by_seed = [
        statistics.mean(100 * float(r.accuracy.last or 0) for r in records if r.cell.seed == seed) for seed in (1, 2)
    ]
    assert row["accuracy"] == pytest.approx(statistics.mean(by_seed), rel=1e-5)
    assert row["sd"] == pytest.approx(statistics.stdev(by_seed), rel=1e-4)
    assert row["seconds"] == pytest.approx(statistics.mean(float(r.cost.seconds) for r in records), rel=1e-5)
    assert row["common_columns"] == 4


@pytest.mark.parametrize("method", ["zero-shot", "coop", "visprompt"])
def test_reliability_counted_sample_by_sample(data: dict[str, pd.DataFrame], method: str):
    records = of(method, "symmetric", 0.5)
    inside: list[list[tuple[float, bool]]] = [[] for _ in range(CALIBRATION_BINS)]
    for each in records:
        kept = OUTCOMES[each.key]
        for confidence, correct in zip(kept["test_confidence"], kept["test_correct"], strict=True):
            inside[min(int(confidence * np.float32(CALIBRATION_BINS)), CALIBRATION_BINS - 1)].append(
                (float(confidence), bool(correct))
            )
    found = data["reliability"]
    rows = found[(found["label"] == method_name(method)) & (found["noise"] == "symmetric") & (found["rate"] == 0.5)]
    assert len(rows) == BINS == CALIBRATION_BINS
    assert rows["samples"].tolist() == [len(one) for one in inside]
    assert rows["samples"].sum() == TESTED * len(records)
    assert rows["share"].sum() == pytest.approx(100, abs=1e-3)
    for bin_, row in zip(inside, rows.to_dict("records"), strict=True):
        if bin_:
            assert row["low"] / 100 - 1e-6 <= min(c for c, _ in bin_)
            assert max(c for c, _ in bin_) <= row["high"] / 100 + 1e-6
            assert row["confidence"] == pytest.approx(100 * statistics.mean(c for c, _ in bin_), rel=1e-5)
            assert row["accuracy"] == pytest.approx(100 * statistics.mean(right for _, right in bin_), rel=1e-5)
        else:
            assert np.isnan(row["accuracy"])
    errors = [100 * float(r.curve.test_calibration_error[-1] or 0) for r in records]
    assert rows["seeds"].unique().tolist() == [2]
    assert rows["calibration_error"].iloc[0] == pytest.approx(statistics.mean(errors), rel=1e-4)
    assert rows["calibration_error_sd"].iloc[0] == pytest.approx(statistics.stdev(errors), rel=1e-3, abs=1e-6)


def test_reliability_is_of_the_column_that_stands_for_all(data: dict[str, pd.DataFrame]):
    assert set(zip(data["reliability"]["noise"], data["reliability"]["rate"], strict=True)) == {("symmetric", 0.5)}
    assert {"Zero-shot", "CoOp", "VisPrompt", "CoOp (clean subset, oracle)†"} == set(data["reliability"]["label"])


def test_gates_are_held_against_the_truth_at_one_rate_of_each_kind(data: dict[str, pd.DataFrame]):
    rows = data["gates"]
    rows = rows[rows["quantity"].isin(["gate_clean", "gate_mislabeled", "gate_auroc"])]
    assert set(zip(rows["noise"], rows["rate"], strict=True)) == {("symmetric", 0.5), ("asymmetric", 0.25)}
    assert rows.groupby(["quantity", "noise"]).size().tolist() == [5] * 6
