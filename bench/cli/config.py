"""`bench config`: the settings as TOML that can be copied into a settings file."""

from __future__ import annotations

import json as json_text
import re
from typing import Any

from bench import console
from bench.cli.app import DEFAULT_GRID, AsJson, ConfigFile, Grid, Sets, examples, verbs
from bench.cli.selection import Selection

app = verbs()


@app.command(
    "config",
    epilog=examples("bench config", "bench config --grid ci --set seed=1..5 --json", "bench config --config mine.toml"),
)
def show_config(grid: Grid = DEFAULT_GRID, sets: Sets = None, config: ConfigFile = None, json: AsJson = False) -> int:
    """Print each value of the settings and where it came from; --set values stand in the grid."""
    settings = Selection(grid, sets, None, config).configuration
    if json:
        console.as_json(settings.entries())
        return 0
    for place, value, origin in settings.layers.flat():
        console.result(f"{'.'.join(map(_key, place))} = {_toml(value)}  # {origin}")
    return 0


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json_text.dumps(name)


def _toml(value: Any) -> str:
    """Format a value in one line of TOML, with strings escaped as in JSON."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_toml(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json_text.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
