"""Identity of a driver, by which workers and other drivers see whether it still runs."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass

from bench.processes import place, started

POLL_SECONDS = 0.25
ORPHANED = 75


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
        return Driver(uuid.uuid4().hex, socket.gethostname(), place(), os.getpid(), started(os.getpid()) or 0.0)

    def near(self) -> bool:
        """Return whether it can be seen from here."""
        return self.place == place()

    def alive(self) -> bool:
        """Return whether it still runs. Always true as seen from another place, where it cannot be asked."""
        return not self.near() or started(self.pid) == self.started

    def watch(self) -> None:
        """End this process and its worker once the driver is gone."""

        def look() -> None:
            while self.alive():
                time.sleep(POLL_SECONDS)
            os._exit(ORPHANED)

        threading.Thread(target=look, daemon=True).start()
