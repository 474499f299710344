"""`bench list`: names with their summaries, without importing a plugin, typer, torch or the validated settings."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from bench import console
from bench.errors import BenchError, did_you_mean
from bench.plugins import BACKBONES, DATASETS, LOSSES, METHODS, NOISE, SPLITS
from bench.registry import Registry, load_plugin_file
from bench.settings.layers import read_layers

REGISTRIES: Mapping[str, Registry[Any]] = {
    "methods": METHODS,
    "noise": NOISE,
    "datasets": DATASETS,
    "backbones": BACKBONES,
    "losses": LOSSES,
    "splits": SPLITS,
}
MORE: Mapping[str, Sequence[str]] = {"methods": ("family", "cost"), "noise": ("identifiable", "beside")}
GRIDS = "grids"
KINDS = (*REGISTRIES, GRIDS)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like every other mistake of a user."""

    def error(self, message: str) -> NoReturn:
        raise BenchError(f"bench list: {message}.")


def list_command(arguments: Sequence[str]) -> int:
    """Parse the rest of the command line and print the rows of one kind; returns the exit code.

    With --json: [{"name", "summary", "origin", ...}].

    Raises:
        BenchError: the arguments are wrong, a plugin does not import or the settings are malformed.
    """
    parser = _Parser(prog="bench list", description="List what is known by name.", allow_abbrev=False)
    parser.add_argument("what", help=f"one of {', '.join(KINDS)}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plugin", action="append", default=[], help="Python file that registers plugins; repeatable")
    parser.add_argument("--config", help="settings laid over the packaged ones")
    try:
        asked = parser.parse_args(arguments)
    except SystemExit as end:  # --help
        return int(end.code or 0)
    if asked.what not in KINDS:
        raise BenchError(f'bench list: unknown kind "{asked.what}"; {did_you_mean(asked.what, KINDS)}')
    for plugin in asked.plugin:
        load_plugin_file(plugin)
    rows = _grids(asked.config) if asked.what == GRIDS else _registered(asked.what)
    if asked.json:
        console.as_json(rows)
    else:
        shown = [[row["name"], row["summary"], ", ".join(row.get("aliases", [])), row["origin"]] for row in rows]
        console.table(["name", "summary", "also", "origin"], shown)
    return 0


def _registered(what: str) -> list[dict[str, Any]]:
    registry = REGISTRIES[what]
    return [
        {
            "name": row.name,
            "summary": row.summary,
            "origin": row.origin,
            "version": row.version,
            "aliases": [*row.aliases],
            **{name: getattr(row, name) for name in ("title", "paper", *MORE.get(what, ()))},
        }
        for row in registry.rows()
    ]


def _grids(config: str | None) -> list[dict[str, Any]]:
    layers = read_layers(config)
    grids = layers.values.get("grid", {})
    return [
        {"name": name, "summary": table.get("summary", ""), "origin": layers.origin(("grid", name))}
        for name, table in grids.items()
        if isinstance(table, dict)
    ]
