"""What the records of `tests.reports.factory` lack for the figures of details: losses, splits, gates and outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from bench.records.record import Record

SAMPLES, TESTED = 40, 300
METHOD_COST = {"visprompt": 20.0, "joapr": 2.5, "promptmae": 1.1}
SPLITTERS = ("joapr", "visprompt", "nlprompt")


def detailed(records: Sequence[Record]) -> dict[str, dict[str, NDArray[Any]]]:
    """Give records what real ones have, in place, and return per-sample outcomes by key, of the noisy ones among them.

    Losses of mislabeled samples are larger, and the areas in the curves are those of the outcomes; splits are given to
    `SPLITTERS`, gates to VisPrompt.
    """
    return {record.key: _detail(record) for record in records if record.status == "done"}


def _detail(record: Record) -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(int(record.key, 16))
    rows, curve = len(record.curve.epoch), record.curve
    wrong = np.arange(SAMPLES) < round(SAMPLES * record.cell.rate)
    losses = generator.gamma(1.0, 0.5, (rows, SAMPLES)) + wrong * np.linspace(2.0, 1.0, rows)[:, None]
    curve.loss_auroc = [float(roc_auc_score(wrong, row)) if wrong.any() else None for row in losses]
    curve.test_calibration_error = np.linspace(
        0.05, 0.05 + 0.1 * record.cell.rate * float(generator.random()), rows
    ).tolist()
    if record.cell.method in SPLITTERS:
        share = 1 - record.cell.rate
        curve.split_precision = [None, *(share + (1 - share) * e / rows for e in range(1, rows))]
        curve.split_recall = [None, *(0.5 + 0.5 * e / rows for e in range(1, rows))]
        curve.pseudo_label_accuracy = [None, *(0.6 + 0.3 * e / rows for e in range(1, rows))]
    if record.cell.method == "visprompt":
        for name, level in (("gate_mean", 0.5), ("gate_sd_images", 0.02), ("image_share", 0.1)):
            record.diagnostics[name] = (level + 0.01 * generator.normal(0, 1, rows).cumsum() / rows).tolist()
        for name in ("gate", "context_shift"):
            drawn = generator.normal(0.5, 0.02, (rows, SAMPLES)) + 0.02 * wrong
            record.diagnostics |= by_truth(name, drawn, wrong)
    record.cost.seconds = float(record.cost.seconds) * METHOD_COST.get(record.cell.method, 1.0)
    record.accuracy.best = max(float(value or 0) for value in curve.test_accuracy)
    true = np.arange(SAMPLES) % 10
    confidence = generator.beta(4, 1 + record.cell.rate, TESTED).astype(np.float32)
    test = {
        "test_confidence": confidence,
        "test_predicted": generator.integers(0, 10, TESTED).astype(np.int16),
        "test_correct": generator.random(TESTED) < confidence - 0.2 * record.cell.rate,
    }
    observed = np.where(wrong, (true + 1) % 10, true)
    return {"losses": losses.astype(np.float32), "true": true, "observed": observed, **test}


def by_truth(name: str, values: NDArray[np.float64], wrong: NDArray[np.bool_]) -> dict[str, list[float | None]]:
    """What the audit makes of a number of single samples, [rows, N]."""
    areas = [float(roc_auc_score(wrong, row)) if wrong.any() else None for row in values]
    mislabeled = values[:, wrong].mean(1).tolist() if wrong.any() else [None] * len(values)
    return {
        f"{name}_clean": values[:, ~wrong].mean(1).tolist(),
        f"{name}_mislabeled": mislabeled,
        f"{name}_auroc": areas,
    }
