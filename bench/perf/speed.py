"""Measure methods: a step and a cell, alone, in packs and on the naive text tower; work and memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.clip.backbone import Backbone
from bench.engine.width import kept_bytes
from bench.errors import described
from bench.perf.naive import FullLengthText
from bench.perf.timing import Clock, Ratio, Side, clock_of, interleaved, median
from bench.perf.workload import Scale, Steps, Workload

MATRIX = {"cpu": 1024, "cuda": 8192}  # rows of the matrices whose product tells the device's rate
QUICK_SHOTS = QUICK_PACK = 4


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        packs: numbers of members that a step is taken with in lockstep.
        repeats: repetitions of each side.
        quick: whether cells are small and of the smallest pack of four alone, and growth is left out.
    """

    packs: tuple[int, ...] = (4, 8, 16)
    repeats: int = 5
    quick: bool = False

    @property
    def cell_packs(self) -> tuple[int, ...]:
        """Numbers of members that a cell is run with in lockstep."""
        return (min(QUICK_PACK, *self.packs),) if self.quick else self.packs


@dataclass(frozen=True)
class Compared:
    """Seconds of one member alone, and what others are in proportion.

    Attributes:
        packs: seconds alone over seconds per member, by the number of members.
        naive: seconds on the naive text tower over seconds alone; None where no text is encoded.
    """

    seconds: float
    packs: Mapping[int, Ratio]
    naive: Ratio | None = None


@dataclass(frozen=True)
class MethodSpeed:
    """Speed of one method.

    Attributes:
        epoch: seconds of the steps of an epoch, alone.
        flops: floating-point operations of a step alone, those of matrix products.
        naive_flops: likewise on the naive text tower; None where no text is encoded.
        shares: part of the measured matrix rate that the steps reach, by the number of members.
        saved: bytes per member that a step keeps for its backward pass, by the number of members.
        peak: bytes of the GPU's memory at most, by the number of members; empty on a CPU.
        reason: why a step could not be taken in lockstep; empty where it could.
    """

    method: str
    step: Compared
    cell: Compared
    epoch: float
    flops: int
    naive_flops: int | None
    shares: Mapping[int, float]
    saved: Mapping[int, int]
    peak: Mapping[int, int] = field(default_factory=dict)
    reason: str = ""


def matrix_product(device: torch.device) -> tuple[Side, int]:
    """Return a product of two large square matrices in float32, and its floating-point operations."""
    size = MATRIX.get(device.type, MATRIX["cpu"])
    left, right = torch.ones(size, size, device=device), torch.ones(size, size, device=device)
    return lambda: left @ right, 2 * size**3


def measure(method: str, scale: Scale, backbone: Backbone, effort: Effort, clock: Clock | None = None) -> MethodSpeed:
    """Measure a method.

    Raises:
        BenchError: it is unknown, trains nothing, or fails.
    """
    work, clock = Workload(method, scale, backbone), clock or clock_of(backbone.device)
    alone = work.steps(1)
    flops = _counted(alone)
    sides: dict[str, Side] = {"alone": alone}
    slow = FullLengthText.of(backbone)
    naive, before = work.steps(1, slow), slow.calls
    naive_flops: int | None = _counted(naive)
    if slow.calls > before:
        sides["naive"] = naive
    else:
        naive_flops = None
    packs, reason = _packs(work, effort)
    every = {1: alone, **packs}
    saved = {count: kept_bytes(steps) // count for count, steps in every.items()}
    peak = {count: _peak(steps) for count, steps in every.items()} if backbone.device.type == "cuda" else {}
    product, product_flops = matrix_product(backbone.device)
    sides |= {str(count): steps for count, steps in packs.items()} | {"matrix": product}
    times = interleaved(sides, effort.repeats, clock)
    step = _compared(times)
    shares = {
        count: Ratio.of(times["matrix"], times[name], flops * count / product_flops).median
        for count, name in [(1, "alone"), *((count, str(count)) for count in packs)]
    }
    steps = math.ceil(scale.classes * scale.shots / scale.batch_size)
    return MethodSpeed(
        method, step, _cell(work, effort, packs, clock), steps * step.seconds, flops, naive_flops, shares, saved, peak,
        reason,
    )  # fmt: skip


def _packs(work: Workload, effort: Effort) -> tuple[dict[int, Steps], str]:
    """Set up packs and take a step with each, so that what cannot be run together shows; with the reason."""
    found: dict[int, Steps] = {}
    for count in sorted(effort.packs):
        try:
            steps = work.steps(count)
            steps()
        except Exception as error:  # noqa: BLE001 - a method that cannot be packed, or no memory: its row says so
            return found, f"{count} members: {described(error)}"
        found[count] = steps
    return found, ""


def _cell(work: Workload, effort: Effort, packs: Mapping[int, Steps], clock: Clock) -> Compared:
    if effort.quick:
        scale = Scale(work.scale.classes, min(work.scale.shots, QUICK_SHOTS), work.scale.words, work.scale.batch_size)
        work = Workload(work.method, scale, work.backbone)
    counts = [count for count in effort.cell_packs if count in packs or count < min(packs, default=0)]
    sides: dict[str, Side] = {"alone": lambda: work.run_cells(1)}
    sides |= {str(count): _cells(work, count) for count in counts}
    return _compared(interleaved(sides, max(1, effort.repeats // 2) if effort.quick else effort.repeats, clock))


def _cells(work: Workload, count: int) -> Side:
    return lambda: work.run_cells(count)


def _compared(times: Mapping[str, list[float]]) -> Compared:
    alone = times["alone"]
    packs = {int(name): Ratio.of(alone, spent, float(name)) for name, spent in times.items() if name.isdigit()}
    return Compared(median(alone), packs, Ratio.of(times["naive"], alone) if "naive" in times else None)


def _counted(steps: Steps) -> int:
    """Count the floating-point operations of one step."""
    with FlopCounterMode(display=False) as counter:
        steps()
    return int(counter.get_total_flops())


def _peak(step: Side) -> int:
    torch.cuda.reset_peak_memory_stats()
    step()
    return torch.cuda.max_memory_allocated()
