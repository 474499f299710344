"""One whole measurement: methods one after the other, then what the harness costs, in one process and one thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from bench.engine.trial import one_thread
from bench.errors import BenchError
from bench.perf.growth import Growth, measure_growth
from bench.perf.overhead import cell_overhead
from bench.perf.parts import CellParts, cell_parts
from bench.perf.result import PerfResult
from bench.perf.speed import Effort, matrix_product, measure
from bench.perf.timing import clock_of, interleaved
from bench.perf.workload import Scale, open_random
from bench.records.provenance import processor, versions

DEVICES = ("cpu", "cuda")
OVERHEAD_REPEATS = 5


@dataclass(frozen=True)
class PerfRequest:
    """What to measure.

    Attributes:
        classes: the number of classes of all tables; then further ones for how cost grows.
    """

    methods: tuple[str, ...]
    backbone: str
    device: str
    classes: tuple[int, ...]
    effort: Effort


def run(request: PerfRequest, listen: Callable[[str], None]) -> PerfResult:
    """Measure what is asked for; `listen` is told what is measured next.

    Raises:
        BenchError: there is no such device, backbone or method, or a method trains nothing.
    """
    _check(request)
    scale, speeds, grown, parts = Scale(request.classes[0]), [], list[Growth](), list[CellParts]()
    with one_thread():
        backbone = open_random(request.backbone, request.device)
        for method in request.methods:
            listen(f"measuring {method}")
            speed = measure(method, scale, backbone, request.effort)
            speeds.append(speed)
            if not request.effort.quick:
                grown += measure_growth(speed, scale, backbone, request.classes)
                parts += cell_parts(method, scale, backbone, [1, *list(speed.step.packs)[-1:]])
        product, operations = matrix_product(backbone.device)
        seconds = min(interleaved({"matrix": product}, OVERHEAD_REPEATS, clock_of(backbone.device))["matrix"])
    overhead = cell_overhead(OVERHEAD_REPEATS)
    name = processor() if request.device == "cpu" else torch.cuda.get_device_name()
    return PerfResult(
        request.backbone,
        request.device,
        name,
        versions(),
        scale,
        operations / seconds,
        speeds,
        grown,
        parts,
        overhead,
    )


def _check(request: PerfRequest) -> None:
    if request.device not in DEVICES:
        raise BenchError(f'--device "{request.device}": expected one of {", ".join(DEVICES)}.')
    if request.device == "cuda" and not torch.cuda.is_available():
        raise BenchError('--device "cuda", and torch finds no GPU here; leave it out to measure on the processor.')
