"""Free the memory that ended cells have left in cycles, once it is worth the time."""

from __future__ import annotations

import gc
import traceback
from functools import cache

import psutil
import torch

from bench.errors import short_of_memory

SLACK_BYTES = 256 * 2**20
SHORT = 0.2  # share of the device's memory that is free


class MemoryCare:
    """Care for the memory of this process, and of its device.

    A cell's method and loop refer to each other, so that only the collector frees them. It runs by itself when objects
    have become many, and here when bytes have: a whole tower that was trained is few objects.

    Args:
        device: "cpu" or "cuda".
        slack: bytes by which memory may grow before it is collected.
    """

    def __init__(self, device: str, slack: int = SLACK_BYTES) -> None:
        self.device, self.slack = device, slack
        self._process = psutil.Process()
        self._least = self._used()

    def tidy(self) -> None:
        """Collect if memory has grown since the last collection, or if the device has little left."""
        short = self._short()
        used = self._used()
        if short or used > self._least + self.slack:
            gc.collect()
            used = self._least = self._used()
        self._least = min(self._least, used)
        if short:
            torch.cuda.empty_cache()

    def _used(self) -> int:
        on_device = torch.cuda.memory_allocated() if self.device == "cuda" else 0
        return int(self._process.memory_info().rss) + on_device

    def _short(self) -> bool:
        if self.device != "cuda":
            return False
        free, total = torch.cuda.mem_get_info()
        return free < SHORT * total


def let_go(error: Exception) -> Exception:
    """Return an error; one of short memory without the variables of the code that it ended."""
    if short_of_memory(error):
        traceback.clear_frames(error.__traceback__)
    return error


memory_of = cache(MemoryCare)
