"""Time several sides in turn, so that what else the machine does meets them alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch

Side: TypeAlias = Callable[[], object]
Clock: TypeAlias = Callable[[], float]
LEAST_SECONDS = 0.03  # of one measurement; quicker sides are run several times
MOST_CALLS = 50
LONG_SECONDS = 0.5  # from which on one call is warm-up enough


@dataclass(frozen=True)
class Ratio:
    """Median of the ratios of two sides over repetitions, and their quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numerators: Sequence[float], denominators: Sequence[float], factor: float = 1.0) -> Ratio:
        """Compute it from the seconds of two sides, repetition by repetition, each ratio times a factor."""
        ratios = factor * np.asarray(numerators) / np.asarray(denominators)
        low, median, high = (float(value) for value in np.quantile(ratios, (0.25, 0.5, 0.75)))
        return cls(median, low, high)


def median(values: Sequence[float]) -> float:
    """Compute the median."""
    return float(np.median(values))


def clock_of(device: torch.device) -> Clock:
    """Return the clock for work on a device, in seconds.

    On a CPU it is the time of the processor that this process has used, of which other processes take nothing; on a GPU
    the time that has passed once its work is done.
    """
    return time.process_time if device.type == "cpu" else _after_the_gpu


def _after_the_gpu() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def interleaved(sides: Mapping[str, Side], repeats: int, clock: Clock) -> dict[str, list[float]]:
    """Run all sides in turn, `repeats` times; returns the seconds of one call by side and repetition.

    Each side is called before, which warms it up and tells how many calls make one measurement.
    """
    calls = {}
    for name, side in sides.items():
        first = _seconds(side, 1, clock)
        usual = first if first > LONG_SECONDS else _seconds(side, 1, clock)
        calls[name] = max(1, min(MOST_CALLS, math.ceil(LEAST_SECONDS / max(usual, 1e-9))))
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            found[name].append(_seconds(side, calls[name], clock))
    return found


def _seconds(side: Side, calls: int, clock: Clock) -> float:
    start = clock()
    for _ in range(calls):
        side()
    return (clock() - start) / calls
