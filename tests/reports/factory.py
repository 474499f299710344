"""Synthetic records that look like the miniature's: accuracy falls with the noise rate, memorization grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.limits import Value
from bench.records.cell import Cell
from bench.records.parts import Accuracy, Curve
from bench.records.record import Record, Status

EFFECT = {"zero-shot": 0.62, "coop": 0.80, "gce-coop": 0.79, "promptmae": 0.77, "joapr": 0.78, "visprompt": 0.81}
SLOPE = {"zero-shot": 0.0, "coop": 0.45, "gce-coop": 0.25, "promptmae": 0.22, "joapr": 0.24, "visprompt": 0.28}
MEMORIZED = {"zero-shot": 0.05, "coop": 0.75, "gce-coop": 0.35, "promptmae": 0.2, "joapr": 0.3, "visprompt": 0.4}
OPTIONS: dict[str, dict[str, Value]] = {"gce-coop": {"q": 0.7}}
GRID = (("none", 0.0), ("symmetric", 0.25), ("symmetric", 0.5), ("asymmetric", 0.25), ("asymmetric", 0.5))


def cell(method: str = "coop", noise: str = "none", rate: float = 0.0, seed: int = 1, **changes: Any) -> Cell:
    """A cell of the miniature."""
    fields: dict[str, Any] = {
        "dataset": "digits", "shots": 16, "noise": noise, "rate": rate, "method": method,
        "options": OPTIONS.get(method, {}), "backbone": "tiny", "seed": seed, "epochs": 50, "batch_size": 32,
        "learning_rate": 0.002, "momentum": 0.9, "weight_decay": 0.0005, "warmup_epochs": 1,
        "warmup_learning_rate": 1e-5, "views": 0, "eval_every": 1,
    }  # fmt: skip
    return Cell(**{**fields, **changes})


def record(
    made: Cell,
    last: float | None = None,
    status: Status = "done",
    *,
    sd: float = 0.012,
    draw: int = 0,
    reason: str | None = None,
    versions: dict[str, str | int] | None = None,
) -> Record:
    """A record of `made`; `last` is the final accuracy as a fraction, by default drawn around the method's level with
    standard deviation `sd`, from a generator that the cell and `draw` seed.
    """
    names = {"noise": made.noise, "dataset": made.dataset, "backbone": made.backbone}
    key = made.key({"method": 1, **names, **(versions or {})})
    generator = np.random.default_rng([int(key, 16), draw])
    free = made.method == "zero-shot"
    if last is None:
        slope = 0.08 if made.subset == "clean" else SLOPE.get(made.method, 0.3)
        noise = 0.0 if free else float(generator.normal(0, sd))
        last = EFFECT.get(made.method, 0.75) - slope * made.rate * (1.3 if made.noise == "asymmetric" else 1) + noise
    curve = _curve(made, last, generator, epochs=0 if free else made.epochs)
    if status != "done":
        curve = {name: values[:3] for name, values in curve.items()}
    steps = 0 if free else 250
    return Record(
        schema=1,
        key=key,
        status=status,
        reason=reason or (None if status == "done" else "loss is nan after 12 steps"),
        cell=made,
        noise={"kind": made.noise, "rate": made.rate, "realised_rate": made.rate, "digest": "d" * 16},
        # As they are: reports are asked for numbers that no file may hold, too; pydantic is slow to find defaults.
        curve=Curve.model_construct({*curve}, **{name: [] for name in Curve.model_fields} | curve),
        accuracy=Accuracy.model_construct(last=last, best=last, selected=last, selected_epoch=len(curve["epoch"]) - 1)
        if status == "done"
        else Accuracy(),
        cost={
            "seconds": 0.4 if free else 3.1, "optimizer_steps": {"all": steps, "loss": steps} if steps else {},
            "forward_passes": 10 + 2 * steps, "trained_parameters": 0 if free else 1024, "peak_memory_bytes": None,
        },
        oracle=["clean_subset"] if made.subset == "clean" else [],
    )  # fmt: skip


def changed(one: Record, **parts: Any) -> Record:
    """A record with other parts, validated as those of a file."""
    return Record.model_validate({**one.model_dump(by_alias=True), **parts})


def _curve(made: Cell, last: float, generator: np.random.Generator, epochs: int) -> dict[str, list[Any]]:
    share = 0.04 if made.subset == "clean" else MEMORIZED.get(made.method, 0.4) * float(generator.normal(1, 0.05))
    rows = []
    for epoch in range(epochs + 1):
        progress = 1 - math.exp(-4 * epoch / max(epochs, 1))
        memorized = 0.05 + (share - 0.05) * progress**2 if epochs else 0.05
        recovered = max(0.0, 0.6 + 0.15 * progress - 0.9 * memorized)
        rows.append((memorized, recovered, 0.62 + 0.3 * progress, 0.62 + (last - 0.62) * progress))
    memorized_, recovered_, clean, test = (list(column) for column in zip(*rows, strict=True))
    test[-1] = last
    none = [None] * len(rows)
    return {
        "epoch": list(range(len(rows))),
        "test_accuracy": test,
        "memorized": memorized_ if made.rate else none,
        "recovered": recovered_ if made.rate else none,
        "neither": [max(0.0, 1 - m - r) for m, r in zip(memorized_, recovered_, strict=True)] if made.rate else none,
        "train_clean_accuracy": clean,
        "test_calibration_error": [0.05] * len(rows),
    }


def grid(
    methods: Sequence[str] = tuple(EFFECT),
    seeds: Sequence[int] = (1, 2),
    columns: Sequence[tuple[str, float]] = GRID,
    *,
    oracle: bool = True,
    sd: float = 0.012,
    draw: int = 0,
    **changes: Any,
) -> list[Record]:
    """The records of a small grid, the oracle row of CoOp included."""
    cells = [cell(m, kind, rate, s, **changes) for m in methods for kind, rate in columns for s in seeds]
    if oracle:
        cells += [cell("coop", k, r, s, subset="clean", **changes) for k, r in columns if r for s in seeds]
    return [record(made, sd=sd, draw=draw) for made in cells]


def write_store(folder: Path, records: Sequence[Record]) -> Path:
    """Write records as a store of files, and return its folder."""
    folder.mkdir()
    for one in records:
        (folder / f"{one.key}.json").write_text(one.to_json())
    return folder
