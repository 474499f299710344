"""What tests register, and the one place that looks into registries."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from bench.plugins import REGISTRIES
from bench.registry import Registry

for registry in REGISTRIES:
    registry.rows()  # read before a test keeps and restores them


@contextmanager
def registered(scanned: bool = True) -> Iterator[None]:
    """What is registered within is gone behind it, and a plugin file is imported anew.

    Entry points are known already, unless `scanned` is false.
    """
    known, modules = [{**vars(registry)} for registry in REGISTRIES], {*sys.modules}
    for registry in REGISTRIES:
        registry._rows, registry._aliases = {**registry._rows}, {**registry._aliases}
        registry._objects, registry._scanned = {**registry._objects}, scanned
    try:
        yield
    finally:
        for registry, before in zip(REGISTRIES, known, strict=True):
            vars(registry).update(before)
        for name in {*sys.modules} - modules:
            if name.startswith("bench_plugin_"):
                del sys.modules[name]


def say(registry: Registry[Any], name: str, **more: Any) -> None:
    """Let the row of a plugin say something else, within `registered`."""
    registry._rows[name] = replace(registry.row(name), **more)
