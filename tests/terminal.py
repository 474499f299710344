"""Commands on a terminal of their own."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence


def on_terminal(command: Sequence[str], environment: Mapping[str, str], errors: bool = False) -> tuple[int, bytes]:
    """Exit code of a command and what it wrote to a terminal; its standard error too where `errors`."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(command, stdout=follower, stderr=follower if errors else None, env=environment)
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 4096):
            shown += part
    except OSError:  # the other side is closed
        pass
    os.close(leader)
    return process.wait(), shown
