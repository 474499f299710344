"""Measurements that nobody measured."""

from __future__ import annotations

from bench.perf.growth import Growth
from bench.perf.parts import PARTS, REST, CellParts
from bench.perf.result import PerfResult
from bench.perf.speed import Compared, MethodSpeed
from bench.perf.timing import Ratio
from bench.perf.workload import Scale


def ratio(median: float, spread: float = 0.1) -> Ratio:
    return Ratio(median, median - spread, median + spread)


def made_speed(method: str = "coop", pack: float | None = 4.0, naive: float | None = 5.0) -> MethodSpeed:
    packs = {} if pack is None else {16: ratio(pack)}
    counts = [1, *packs]
    return MethodSpeed(
        method,
        Compared(0.002, packs, None if naive is None else ratio(naive)),
        Compared(0.03, {} if pack is None else {4: ratio(2.0)}),
        0.01,
        25_659_392,
        None if naive is None else 614_000_000,
        dict.fromkeys(counts, 0.07),
        dict.fromkeys(counts, 350_000),
        reason="" if pack is not None else "16 members: Unlike: they train other parameters",
    )


def made_result(*speeds: MethodSpeed) -> PerfResult:
    own = speeds or (made_speed(), made_speed("clip-adapter", naive=None), made_speed("deft", pack=None))
    grown = [
        Growth(speed.method, axis, value, 0.001 * value)
        for speed in own
        for axis in ("classes", "tokens", "shots")
        for value in (2.0, 4.0)
        if (speed.method, value) != ("deft", 4.0)
    ]
    parts = [CellParts(own[0].method, count, dict.fromkeys((*PARTS, REST), 0.005)) for count in (1, 16)]
    versions = {"torch": "2.8"}
    return PerfResult("tiny", "cpu", "A processor", versions, Scale(), 1.05e11, own, grown, parts, (0.02, 0.03))
