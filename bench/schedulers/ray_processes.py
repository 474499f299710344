"""Recognise Ray's processes and the session that each belongs to, without importing Ray."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

SESSION = re.compile(r"session_(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)_\d+_(\d+)")  # time of its begin, and the process
DAEMONS = re.compile(r"/ray/(core/src/ray|dashboard|_private)/")  # raylet and server of a session, and its agents
OURS = "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"  # in the environment of what a driver of ours has started


@dataclass(frozen=True)
class RayProcess:
    """Process of a session of Ray.

    Attributes:
        process: itself.
        session: name of the session's folder.
        ours: whether one of our drivers has started it.
    """

    process: psutil.Process
    session: str
    ours: bool


def running_processes() -> Iterator[RayProcess]:
    """List this user's processes of Ray: its daemons, its workers, and what these have started.

    A daemon names its session on its command line; all others write to the session's logs. Whoever only reads these
    (`tail -f`), or names them (`grep`), is none.
    """
    import psutil

    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid() and (session := _session(process)):
                yield RayProcess(process, session, OURS in process.environ())
        except psutil.Error:  # it has ended meanwhile
            continue


def _session(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    if DAEMONS.search(command) and (found := SESSION.search(command)):
        return found[0]
    written = (file.path for file in process.open_files() if getattr(file, "mode", "r") != "r")
    return next((found[0] for path in written if (found := SESSION.search(path))), "")
