"""The command line as a process of its own would run it, without the start of one."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

from bench.cli.main import invoke
from bench.grid import code
from tests.registered import registered

READ_ONCE = (code._plugin, code._engine, code._source, code._tree, code._content, code.read_plugins)


def bench(folder: Path, *arguments: str) -> int:
    """Run the command line in a folder; files are read anew. Returns the exit code."""
    for one in READ_ONCE:
        one.cache_clear()
    with registered(), chdir(folder):
        return invoke([*arguments])
