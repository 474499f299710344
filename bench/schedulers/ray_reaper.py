"""Process that ends what a killed driver leaves of Ray: agents, which would stay for a minute, and a folder."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress

from bench.schedulers.ray_processes import running_processes


def reap(session: str, folder: str, seconds: float) -> None:
    """Wait for the end of the driver, and then kill what is left after `seconds`, and remove a folder.

    Args:
        session: name of the session's folder; empty for a cluster, which stays.
        folder: for Tune's state.
        seconds: for them to end by themselves.
    """
    sys.stdin.read()
    if session:
        _end(session, seconds)
    shutil.rmtree(folder, ignore_errors=True)


def _end(session: str, seconds: float) -> None:
    import psutil

    found = [one.process for one in running_processes() if one.session == session and one.process.pid != os.getppid()]
    for process in psutil.wait_procs(found, timeout=seconds)[1]:
        with suppress(psutil.Error):
            process.kill()


if __name__ == "__main__":
    reap(sys.argv[1], sys.argv[2], float(sys.argv[3]))
