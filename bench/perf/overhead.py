"""Measure what the harness spends around a cell that trains nothing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bench.engine.resources import TrialSettings
from bench.engine.trial import run_pack
from bench.errors import BenchError
from bench.grid.options import method_options
from bench.perf.timing import Clock, interleaved
from bench.records.cell import Cell
from bench.records.record import Record
from bench.records.store import Store

METHOD = "zero-shot"


def cell_overhead(repeats: int, clock: Clock = time.process_time) -> list[float]:
    """Measure seconds of the processor for zero-shot cells on the embedded digits, from labels to the published record.

    Raises:
        BenchError: a cell has failed.
    """
    cell = Cell(
        dataset="digits", shots=16, noise="symmetric", rate=0.5, method=METHOD, options=method_options(METHOD, {}),
        backbone="tiny", seed=1, epochs=1, batch_size=32, learning_rate=0.002, momentum=0.9, weight_decay=5e-4,
        warmup_epochs=0, warmup_learning_rate=1e-5, views=0, eval_every=1,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        store, settings = Store(str(Path(folder) / "store")), TrialSettings(cache=str(Path(folder) / "features"))
        store.prepare()
        seeds = iter(range(1, 10_000))

        def publish(record: Record, outcomes: Mapping[str, NDArray[Any]]) -> None:
            if record.status != "done":
                raise BenchError(f"a cell of {METHOD} failed while it was timed: {record.reason}")
            store.publish(record, outcomes)

        def run() -> None:
            seed = next(seeds)
            run_pack([(f"{seed:016x}", cell.model_copy(update={"seed": seed}))], publish, settings)

        return interleaved({METHOD: run}, repeats, clock)[METHOD]
