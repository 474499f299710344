"""Training steps and cells, alone and in packs, against the naive text tower in the same run; and cells that train
nothing.

Run with `make perf`. `tiny`, ten classes, one thread; the sides take turns (`bench.perf.timing`), and the benchmark's
table shows the pack of 16, or the cell. Ratios stand in `extra_info` and below the table. Time never fails a test; a
pack that cannot be run does.
"""

from __future__ import annotations

from typing import Any

import pytest

from bench.clip.load import load_backbone
from bench.engine.trial import one_thread
from bench.perf.overhead import cell_overhead
from bench.perf.speed import Compared, Effort, measure
from bench.perf.timing import median
from bench.perf.workload import Scale, Workload

METHODS = ("coop", "gce-coop", "cocoop", "visprompt", "maple")
EFFORT = Effort(packs=(4, 16), repeats=3)


def told(what: str, compared: Compared) -> str:
    packs = (f"pack of {count} {ratio.median:.2f} times as fast per member" for count, ratio in compared.packs.items())
    naive = [] if compared.naive is None else [f"77 tokens {compared.naive.median:.1f} times as slow"]
    return "; ".join([f"{what} alone {1000 * compared.seconds:.2f} ms", *naive, *packs])


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("method", METHODS)
def test_steps_and_cells(benchmark: Any, record_property: Any, method: str) -> None:
    backbone = load_backbone("tiny")
    with one_thread():
        found = measure(method, Scale(), backbone, EFFORT)
        steps = Workload(method, Scale(), backbone).steps(16)
        benchmark.pedantic(steps, rounds=3, iterations=1, warmup_rounds=1)
    assert found.reason == ""
    ratios = {f"pack of {count}": ratio.median for count, ratio in found.step.packs.items()}
    cells = {f"cells in a pack of {count}": ratio.median for count, ratio in found.cell.packs.items()}
    benchmark.extra_info |= ratios | cells | {"share of the matrix rate": dict(found.shares)}
    if found.step.naive is not None:
        benchmark.extra_info["against 77 tokens"] = found.step.naive.median
    record_property("comparison", f"{told('step', found.step)}; {told('cell', found.cell)}")


def test_cells_that_train_nothing(benchmark: Any, record_property: Any) -> None:
    spent = benchmark.pedantic(lambda: cell_overhead(20), rounds=1, iterations=1)
    benchmark.extra_info["milliseconds"] = 1000 * median(spent)
    record_property("comparison", f"{1000 * median(spent):.0f} ms around a cell of zero-shot")
