"""Processes: which one is meant by a number, whether it still runs, and whether this one may have others."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from functools import cache
from pathlib import Path

STATE, STARTED = 0, 19  # of what stands after the name of a process in /proc/PID/stat


def may_fork() -> bool:
    """Return whether this process may fork others for a part of its work; a worker of a pool may not."""
    import multiprocessing  # which most verbs start without

    return sys.platform == "linux" and not multiprocessing.current_process().daemon


@cache
def place() -> str:
    """Return what process numbers belong to. Two containers may share the name of their host."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def started(pid: int) -> float | None:
    """Return when a process began; None if it runs no more. Ticks do not change where the clock is set, as times do."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[STATE] in "ZX" else float(fields[STARTED])
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def signature() -> str:
    """Return what tells this process from every other, for names of files: "place-number-start"."""
    return _signature(os.getpid())


def has_ended(signature: str) -> bool:
    """Return whether the process of a signature has ended; false where that cannot be seen from here.

    >>> has_ended("of-another-place")
    False
    """
    where, _, rest = signature.partition("-")
    number, _, start = rest.partition("-")
    if where != _short_place() or not number.isdecimal():
        return False
    return str(started(int(number))) != start


@cache
def _signature(number: int) -> str:
    return f"{_short_place()}-{number}-{started(number)}"


@cache
def _short_place() -> str:
    return hashlib.sha256(place().encode()).hexdigest()[:12]
