"""Process that ends what a killed driver leaves of Ray: agents, which would stay for a minute, and a folder."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress


def reap(session: str, folder: str, seconds: float) -> None:
    """Wait for the end of the driver, and then kill what is left after `seconds`, and remove a folder.

    Args:
        session: name of the session's folder. Ray's processes name it on their command lines, or have their logs there.
            Empty for a cluster, which stays.
        folder: for Tune's state.
        seconds: for them to end by themselves.
    """
    sys.stdin.read()
    if session:
        _end(session, seconds)
    shutil.rmtree(folder, ignore_errors=True)


def _end(session: str, seconds: float) -> None:
    import psutil

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            names = [*process.cmdline(), *(file.path for file in process.open_files())]
            if process.pid != os.getpid() and any(session in name for name in names):
                found.append(process)
    for process in psutil.wait_procs(found, timeout=seconds)[1]:
        with suppress(psutil.Error):
            process.kill()


if __name__ == "__main__":
    reap(sys.argv[1], sys.argv[2], float(sys.argv[3]))
