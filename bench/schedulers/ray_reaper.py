"""Process that ends what a killed driver leaves of its Ray session: Ray's agents would stay for a minute."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def reap(session: str, seconds: float) -> None:
    """Wait for the end of the driver, and then kill what is left after `seconds`.

    Args:
        session: name of the session's folder. Ray's processes name it on their command lines, or have their logs there.
        seconds: for them to end by themselves.
    """
    import psutil

    sys.stdin.read()
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
    reap(sys.argv[1], float(sys.argv[2]))
