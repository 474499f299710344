"""Measure how the cost of a method grows with classes, shots and the length of class names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from bench.clip.backbone import Backbone
from bench.perf.speed import MethodSpeed
from bench.perf.timing import Clock, Side, clock_of, interleaved, median
from bench.perf.workload import Scale, Workload, class_names

SHOTS = (1, 4, 16)
WORDS = (1, 2, 4, 8)
REPEATS = 3
ROOM = 0.5  # part of the free memory that one step may take


@dataclass(frozen=True)
class Growth:
    """Seconds of one method at one point of an axis.

    Attributes:
        axis: "classes", "tokens" (of a class name with its end, the mean over classes), both of a step; or "shots", of
            a cell of one epoch.
    """

    method: str
    axis: str
    value: float
    seconds: float


def measure_growth(
    speed: MethodSpeed, scale: Scale, backbone: Backbone, classes: Sequence[int], clock: Clock | None = None
) -> list[Growth]:
    """Measure a method at other sizes than `scale`, at which its speed is known.

    Sizes whose memory would not fit, by proportion, are left out.
    """
    room = ROOM * _free(backbone.device) / max(speed.saved[1], 1)
    rows = []
    for axis, scales in _scales(scale, classes, room).items():
        sides = {str(number): _side(axis, speed.method, one, backbone) for number, one in enumerate(scales)}
        times = interleaved(sides, REPEATS, clock or clock_of(backbone.device))
        rows += [
            Growth(speed.method, axis, _value(axis, one, backbone), median(times[str(number)]))
            for number, one in enumerate(scales)
        ]
    return rows


def _scales(scale: Scale, classes: Sequence[int], room: float) -> dict[str, list[Scale]]:
    return {
        "classes": [replace(scale, classes=n, shots=_enough(scale, n)) for n in classes if n / scale.classes < room],
        "tokens": [replace(scale, words=n) for n in WORDS],
        "shots": [replace(scale, shots=n) for n in SHOTS],
    }


def _enough(scale: Scale, classes: int) -> int:
    """Return shots that fill two batches; a step's cost does not depend on more."""
    return max(1, -(-2 * scale.batch_size // classes))


def _side(axis: str, method: str, scale: Scale, backbone: Backbone) -> Side:
    work = Workload(method, scale, backbone)
    return (lambda: work.run_cells(1)) if axis == "shots" else work.steps(1)


def _value(axis: str, scale: Scale, backbone: Backbone) -> float:
    if axis != "tokens":
        return float({"classes": scale.classes, "shots": scale.shots}[axis])
    lengths = backbone.class_tokens(class_names(scale.classes, scale.words)).lengths
    return sum(lengths) / len(lengths)


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return int(psutil.virtual_memory().available)
