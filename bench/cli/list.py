"""`bench list`: names with their summaries, without importing a plugin, torch or the validated settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from bench import console
from bench.cli.app import AsJson, ConfigFile, Plugins, examples, verbs
from bench.errors import BenchError, did_you_mean
from bench.plugins import BACKBONES, DATASETS, LOSSES, METHODS, NOISE, SPLITS
from bench.registry import Registry, load_plugin_file
from bench.settings.layers import read_layers

REGISTRIES: Mapping[str, Registry[Any]] = {
    "methods": METHODS, "noise": NOISE, "datasets": DATASETS, "backbones": BACKBONES, "losses": LOSSES,
    "splits": SPLITS,
}  # fmt: skip
MORE: Mapping[str, Sequence[str]] = {
    "methods": ("family", "cost", "alone", "alone_when"),
    "noise": ("identifiable", "beside"),
}
GRIDS = "grids"
KINDS = (*REGISTRIES, GRIDS)

app = verbs()


@app.command("list", epilog=examples("bench list methods", "bench list noise --json", "bench list grids"))
def list_names(
    what: Annotated[str, typer.Argument(metavar="|".join(KINDS), autocompletion=lambda: KINDS, help="What to list.")],
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """List what is known by name: methods, noise, datasets, backbones, grids."""
    if what not in KINDS:
        raise BenchError(f'bench list: unknown kind "{what}"; {did_you_mean(what, KINDS)}')
    for file in plugin or ():
        load_plugin_file(file)
    rows = _grids(config) if what == GRIDS else _registered(what)
    if json:
        console.as_json(rows)
    else:
        shown = [[row["name"], row["summary"], ", ".join(row.get("aliases", [])), row["origin"]] for row in rows]
        console.table(["name", "summary", "also", "origin"], shown)
        console.facts([
            (f"{row['name']}[{row['alone_when']}]" if row["alone_when"] else row["name"],
             f"trained cell by cell, never in lockstep: {row['alone']}")
            for row in rows if row.get("alone")
        ])  # fmt: skip
    return 0


def _registered(what: str) -> list[dict[str, Any]]:
    shown = ("name", "summary", "origin", "version", "aliases", "title", "paper", *MORE.get(what, ()))
    return [{name: getattr(row, name) for name in shown} for row in REGISTRIES[what].rows()]


def _grids(config: str | None) -> list[dict[str, Any]]:
    layers = read_layers(config)
    grids = layers.values.get("grid", {})
    return [
        {"name": name, "summary": table.get("summary", ""), "origin": layers.origin(("grid", name))}
        for name, table in grids.items()
        if isinstance(table, dict)
    ]
