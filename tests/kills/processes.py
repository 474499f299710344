"""Processes of a round: found by a mark in their environment, whatever their parents are by now."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import psutil

MARK = "BENCH_KILLS"
TITLES = {  # what stands on the command line of each kind of victim
    "worker": "multiprocessing.spawn",
    "Ray's worker": "ray::",
    "node": "/raylet/raylet ",
    "head": "/gcs/gcs_server ",
}
NO_VICTIMS = ("Agent", "IDLE")  # of Ray's
DYING_SECONDS = 10.0


def marked(mark: str) -> list[psutil.Process]:
    """All processes that run and have this mark."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def victims(kind: str, parent: int, mark: str) -> list[int]:
    """The processes of a kind that belong to the run whose first process is `parent`."""
    if kind in ("parent of the driver", "group"):
        return [parent]
    with suppress(psutil.Error):
        if kind == "driver":
            return [child.pid for child in psutil.Process(parent).children()]
    title, found = TITLES.get(kind, ""), []
    for process in marked(mark) if title else []:
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if title in f"{line} " and not any(word in line for word in NO_VICTIMS):
                found.append(process.pid)
    return found


def kill(kind: str, number: int) -> bool:
    """Kill a process, or the group that it leads, and wait for those below it; False where it is gone.

    They die with it, but on a busy machine they may outlive it for a moment, and begin a cell.
    """
    below: list[psutil.Process] = []
    with suppress(psutil.Error):
        below = psutil.Process(number).children(recursive=True)
    try:
        (os.killpg if kind == "group" else os.kill)(number, signal.SIGKILL)
    except ProcessLookupError:
        return False
    late = time.monotonic() + DYING_SECONDS
    while any(map(_runs, below)) and time.monotonic() < late:
        time.sleep(0.01)
    return True


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def left(mark: str, within: float) -> list[str]:
    """What still runs after so many seconds; it is killed."""
    late = time.monotonic() + within
    while (found := marked(mark)) and time.monotonic() < late:
        time.sleep(0.2)
    lines = []
    for process in found:
        with suppress(psutil.Error):
            lines.append(" ".join(process.cmdline())[:150])
            process.kill()
    return lines
