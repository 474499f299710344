"""Registries as they were, around what a test registers, and the command line as a process of its own would run it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest

from bench.cli.main import invoke
from bench.grid import code
from bench.plugins import REGISTRIES

READ_ONCE = (code._plugin, code._engine, code._source, code._tree, code._content, code.read_plugins)


@contextmanager
def as_before() -> Iterator[None]:
    """What is registered within is gone afterwards, and a plugin file is imported anew by the next one."""
    before = {*sys.modules}
    with pytest.MonkeyPatch.context() as patch:
        for registry in REGISTRIES:
            for part, value in vars(registry).items():
                if isinstance(value, dict):
                    patch.setattr(registry, part, dict(value))
        yield
    for name in {*sys.modules} - before:
        if name.startswith("bench_plugin_"):
            del sys.modules[name]


def bench(folder: Path, *arguments: str) -> int:
    """Run the command line in a folder, without the start of a process; files are read anew. Returns the exit code."""
    for one in READ_ONCE:
        one.cache_clear()
    with as_before(), chdir(folder):
        return invoke([*arguments])
