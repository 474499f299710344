"""Tables of the options of a plugin: default, values, when each counts, and what it means."""

from __future__ import annotations

import html
from typing import Any

from allowed import allowed
from pydantic.fields import FieldInfo
from typeset import cell

from bench.contracts.options import Options
from bench.variants import value_text

EMPTY = '""'
HEAD = "| option | default | values | meaning |\n| --- | --- | --- | --- |"


def option_table(options: type[Options], defaults: dict[str, Any]) -> str:
    """Write the options that a class declares itself, and below, folded, those that it inherits.

    Args:
        options: the class.
        defaults: those that `bench.toml` sets.
    """
    own = [name for name in options.__annotations__ if name in options.model_fields]
    rows = {name: _row(name, field, defaults) for name, field in options.model_fields.items()}
    inherited = [row for name, row in rows.items() if name not in own]
    parts = []
    if own:
        parts.append("\n".join([HEAD, *(rows[name] for name in own)]))
    if inherited:
        table = "\n".join(f"    {line}" for line in [*HEAD.splitlines(), *inherited])
        title = f"{len(inherited)} inherited option{'s' if len(inherited) > 1 else ''}"
        parts.append(f'{"???" if own else "???+"} note "{title}"\n\n{table}')
    return stacked("\n\n".join(parts)) if parts else "None."


def stacked(table: str) -> str:
    """Mark a table of options, whose rows the style sheet shows one below the other on a phone."""
    return f'<div class="options" markdown>\n\n{table}\n\n</div>'


def _row(name: str, field: FieldInfo, defaults: dict[str, Any]) -> str:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    meaning = html.escape(str(field.description or ""), quote=False)
    if when := extra.get("when"):
        meaning += f"; counts with `{when}`"
    if extra.get("role") == "scalar":
        meaning += " *(scalar: cells that differ in it are trained in lockstep)*"
    value = defaults.get(name, field.default)
    cells = (f"`{name}`", f"`{value_text(value) or EMPTY}`", allowed(field.annotation, field.metadata), meaning)
    return f"| {' | '.join(map(cell, cells))} |"
