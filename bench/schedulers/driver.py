"""Identity of a driver, by which workers and other drivers see whether it still runs."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

POLL_SECONDS = 0.25
ORPHANED = 75
STATE, STARTED = 0, 19  # of what stands after the name of a process in /proc/PID/stat


@dataclass(frozen=True)
class Driver:
    """Process that asked for the work.

    Attributes:
        id: of this run, unlike any other.
        host: its name, for people.
        place: the start of its machine and its namespace of processes; numbers mean something only there.
        pid: of the process.
        started: in ticks since the start of the machine, or seconds where the system does not tell; never two
            processes of one number have the same.
    """

    id: str
    host: str
    place: str
    pid: int
    started: float

    @staticmethod
    def here() -> Driver:
        """Describe this process."""
        return Driver(uuid.uuid4().hex, socket.gethostname(), _place(), os.getpid(), _started(os.getpid()) or 0.0)

    def near(self) -> bool:
        """Return whether it can be seen from here."""
        return self.place == _place()

    def alive(self) -> bool:
        """Return whether it still runs. Always true as seen from another place, where it cannot be asked."""
        return not self.near() or _started(self.pid) == self.started

    def watch(self) -> None:
        """End this process and its worker once the driver is gone."""

        def look() -> None:
            while self.alive():
                time.sleep(POLL_SECONDS)
            os._exit(ORPHANED)

        threading.Thread(target=look, daemon=True).start()


@cache
def _place() -> str:
    """Return what process numbers belong to. Two containers may share the name of their host."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> float | None:
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
