"""Capacity of this machine: processors, memory, GPUs."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.errors import BenchError
from bench.limits import Precision

WORKER_BYTES = 900 * 1024**2  # torch, open_clip and the features of a small data set, as measured with `tiny`
GPU_TRIAL_BYTES = 4 * 1024**3  # where no like cell has been measured
GPU_CONTEXT_BYTES = 600 * 1024**2
HEADROOM = 1.2
UNMEASURED_BYTES = int((GPU_TRIAL_BYTES - GPU_CONTEXT_BYTES) / HEADROOM)  # a peak that would ask for as much


@dataclass(frozen=True)
class Machine:
    """Processors, free memory in bytes, GPUs, and the memory of the smallest GPU in bytes."""

    cpus: int
    memory: int
    gpus: int = 0
    gpu_memory: int = 0

    def workers(self, asked: int | None, packs: int, trial_bytes: int = 0) -> int:
        """Return the number of workers: as requested or as fits, at least 1 and at most `packs`.

        `trial_bytes` is the peak GPU memory of the largest pack, from those of like cells; 0 where unknown.
        """
        fitting = self.gpus * self.per_gpu(trial_bytes) if self.gpus else self.cpus
        fitting = min(fitting, self.cpus, self.memory // WORKER_BYTES)
        return max(1, min(asked or fitting, packs))

    def per_gpu(self, trial_bytes: int = 0) -> int:
        """Return how many trials share a GPU."""
        return max(1, int(self.gpu_memory // self.need(trial_bytes)))

    @staticmethod
    def need(trial_bytes: int = 0) -> float:
        """Return the bytes of a GPU that a trial takes, by its peak, or by rule where unknown."""
        return trial_bytes * HEADROOM + GPU_CONTEXT_BYTES if trial_bytes else GPU_TRIAL_BYTES

    def fraction(self, workers: int) -> float:
        """Return the share of one GPU for each of `workers`, one over a whole number; 0 without GPUs."""
        return 1 / math.ceil(workers / self.gpus) if self.gpus else 0.0


def precision_problem(precision: Precision, device: str) -> str | None:
    """Return why a precision cannot be had on a device ("cpu", "cuda"), as a sentence, or None."""
    if precision == "tf32" and device != "cuda":
        return (
            'precision = "tf32" is of the matrix units of a GPU, and this is a processor: set precision = "float32" '
            'or "bf16", or run it where torch finds CUDA.'
        )
    return None


def this_machine(device: str) -> Machine:
    """Return this machine, as seen with `device` "auto", "cpu" or "cuda".

    Raises:
        BenchError: "cuda" is asked for and there is none.
    """
    import psutil

    gpus, gpu_memory = (0, 0) if device == "cpu" else _gpus()
    if device == "cuda" and not gpus:
        raise BenchError('device = "cuda", and torch finds no GPU here; set device = "auto" or "cpu".')
    return Machine(cpus(), psutil.virtual_memory().available, gpus, gpu_memory)


@cache
def cpus() -> int:
    """Return the processors this process may use, by affinity and control-group quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(count, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return count


@cache
def _gpus() -> tuple[int, int]:
    """Return number of GPUs and bytes of the smallest. Torch is asked only where the driver has left a trace."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/proc/driver/nvidia").exists():
        return 0, 0
    import torch

    if not torch.cuda.is_available():
        return 0, 0
    sizes = [torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count())]
    return len(sizes), min(sizes)
