"""Process that ends what a killed driver leaves of its Ray session: Ray's agents would stay for a minute."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from bench.schedulers.ray_processes import running_processes


def reap(session: str, seconds: float) -> None:
    """Wait for the end of the driver, and then kill what is left after `seconds`.

    Args:
        session: name of the session's folder.
        seconds: for them to end by themselves.
    """
    import psutil

    sys.stdin.read()
    found = [one.process for one in running_processes() if one.session == session and one.process.pid != os.getppid()]
    for process in psutil.wait_procs(found, timeout=seconds)[1]:
        with suppress(psutil.Error):
            process.kill()


if __name__ == "__main__":
    reap(sys.argv[1], float(sys.argv[2]))
