"""Cells for tests."""

from __future__ import annotations

from typing import Any

from bench.records.cell import Cell


def make_cell(**changes: Any) -> Cell:
    values: dict[str, Any] = {
        "dataset": "toy", "shots": 4, "noise": "none", "rate": 0.0, "method": "toy", "backbone": "none", "seed": 1,
        "epochs": 3, "batch_size": 4, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "warmup_epochs": 1,
        "warmup_learning_rate": 1e-5, "views": 0, "eval_every": 1,
    }  # fmt: skip
    return Cell(**{**values, **changes})
