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
from bench.variants import value_text

REGISTRIES: Mapping[str, Registry[Any]] = {
    "methods": METHODS, "noise": NOISE, "datasets": DATASETS, "backbones": BACKBONES, "losses": LOSSES,
    "splits": SPLITS,
}  # fmt: skip
MORE: Mapping[str, Sequence[str]] = {
    "methods": ("family", "cost", "alone", "alone_when"),
    "noise": ("identifiable", "beside", "commonest"),
}
GRIDS = "grids"
KINDS = (*REGISTRIES, GRIDS)

app = verbs()


@app.command(
    "list",
    epilog=examples("bench list methods", "bench list methods nlprompt", "bench list noise --json", "bench list grids"),
)
def list_names(
    what: Annotated[str, typer.Argument(metavar="|".join(KINDS), autocompletion=lambda: KINDS, help="What to list.")],
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="One of them: options, needs, source.")] = "",
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """List what is known by name: methods, noise, datasets, backbones, grids; or describe one of them."""
    if what not in KINDS:
        raise BenchError(f'bench list: unknown kind "{what}"; {did_you_mean(what, KINDS)}')
    for file in plugin or ():
        load_plugin_file(file)
    if name:
        return _describe(what, name, config, json)
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


def _describe(what: str, name: str, config: str | None, json: bool) -> int:
    """Print what is known of one name."""
    if what == GRIDS:
        known = {row["name"]: row for row in _grids(config)}
        if name not in known:
            raise BenchError(f'bench list: unknown grid "{name}"; {did_you_mean(name, known)}')
        told = {**known[name], "text": "", "options": []}
    else:
        from bench.cli.description import described

        told = described(REGISTRIES[what], name)
    if json:
        console.as_json(told)
        return 0
    console.facts([(key, str(value)) for key, value in told.items() if key not in ("text", "options")])
    for part in told["text"].split("\n\n") if told["text"] else ():
        console.line()
        console.line(part if "\n- " in f"\n{part}" else " ".join(part.split()))
    if told["options"]:
        console.line()
        rows = [[one["option"], value_text(one["default"]) or '""', one["meaning"]] for one in told["options"]]
        console.table(["option", "default", "meaning"], rows)
    return 0


def _registered(what: str) -> list[dict[str, Any]]:
    shown = ("name", "summary", "origin", "version", "aliases", "title", "paper", *MORE.get(what, ()))
    return [{name: getattr(row, name) for name in shown} for row in REGISTRIES[what].rows()]


def _grids(config: str | None) -> list[dict[str, Any]]:
    layers = read_layers(config)
    grids = layers.values.get("grid", {})
    if not isinstance(grids, dict):
        raise BenchError(f"{layers.origin(('grid',))}: grid = {grids!r}: expected a table for each grid, [grid.NAME].")
    return [
        {"name": name, "summary": table.get("summary", ""), "origin": layers.origin(("grid", name))}
        for name, table in grids.items()
        if isinstance(table, dict)
    ]
