"""The reference of `bench.toml`: its keys, values and comments, and every grid."""

from __future__ import annotations

import html
import re

from allowed import allowed
from committed import ROOT
from option_tables import stacked

from bench.settings.schema import Protocol, load_config

# Settings with a validator of their own, which an annotation does not describe.
IN_WORDS = {
    "noise": "one or a list: a kind, or {kind, rate}",
    "pack": "whole number from 1 to 1,000, or `auto`",
    "views": "whole number ≥ 0, or `epochs`",
}
KEY = re.compile(r"^(\w+) = (.*?)(?:\s*# (.*))?$")
TABLE = re.compile(r"^\[+([^\]]+)\]+")


def settings_page() -> str:
    """Write the page from the packaged file, whose comments are the documentation."""
    text = (ROOT / "bench.toml").read_text(encoding="utf-8")
    top, grids_told = text.split("\n[protocol]", 1)[0], _comment_before(text, "[grid.quick]")
    parts = [
        "# Settings",
        "Generated from the packaged [`bench.toml`](../source/bench.toml.md), whose comments say what each key means. "
        "`bench config` shows every value and where it came from.",
        _prose(top),
        f"## `[protocol]`\n\n{_keys(_table(text, 'protocol'))}",
        f"## `[grid.NAME]`\n\n{grids_told}\n\n{_grids(text)}",
        f"## `[method.NAME]`\n\n{_comment_before(text, '[method.linear-probe.paper]')}\n\n"
        "The page of [each method](../methods.md) has its defaults, and its tables under `budget = \"paper\"`.",
        f"## `[tuned.BACKBONE]`\n\n{_comment_before(text, '[tuned.tiny]')}",
        f"```toml\n{_table(text, 'tuned.tiny')}\n```",
        f"## `[dataset.NAME]`\n\n{_told(_table(text, 'dataset'))}",
        f"## `[paths]`\n\n{_keys(_table(text, 'paths'))}",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _prose(comment: str) -> str:
    """Turn a comment into paragraphs; its indented lines are code."""
    lines = [line.removeprefix("#").removeprefix(" ") for line in comment.strip().splitlines()]
    return "\n".join(f"\n```text\n{line.strip()}\n```\n" if line.startswith("  ") else line for line in lines)


def _comment_before(text: str, heading: str) -> str:
    """Find the comment that stands above a table."""
    lines = text.split(f"\n{heading}", 1)[0].splitlines()
    found: list[str] = []
    while lines and (lines[-1].startswith("#") or not lines[-1].strip()):
        found.insert(0, lines.pop())
    return _prose("\n".join(found))


def _table(text: str, name: str) -> str:
    """Cut out the lines of a table, and those of its header behind the name."""
    body = re.split(rf"^\[{re.escape(name)}\]", text, maxsplit=1, flags=re.MULTILINE)[1]
    return re.split(r"^(?=\[|# )", body, maxsplit=1, flags=re.MULTILINE)[0].rstrip()


def _told(lines: str) -> str:
    return " ".join(line.strip().removeprefix("#").strip() for line in lines.splitlines())


def _keys(lines: str) -> str:
    rows: list[list[str]] = []
    for line in lines.splitlines():
        if found := KEY.match(line):
            rows.append([found[1], found[2], found[3] or ""])
        elif rows and line.strip().startswith("#"):
            rows[-1][2] += " " + line.strip().removeprefix("#").strip()
    fields = Protocol.model_fields
    shown_rows = [
        f"| `{name}` | `{value}` | {_values(name) if name in fields else 'text'} | {_escaped(meaning)} |"
        for name, value, meaning in rows
    ]
    return stacked("\n".join(["| key | packaged | values | meaning |", "| --- | --- | --- | --- |", *shown_rows]))


def _values(name: str) -> str:
    field = Protocol.model_fields[name]
    return IN_WORDS.get(name) or allowed(field.annotation, field.metadata)


def _escaped(meaning: str) -> str:
    pieces = meaning.split("`")
    return "`".join(piece if place % 2 else html.escape(piece, quote=False) for place, piece in enumerate(pieces))


def _grids(text: str) -> str:
    parts = []
    for name, grid in load_config().settings.grid.items():
        body = "\n".join(
            line for line in _table(text, f"grid.{name}").strip().splitlines() if not line.startswith("summary")
        )
        block = "\n".join(f"    {line}" for line in ["```toml", *body.splitlines(), "```"])
        parts.append(f'??? note "`{name}`: {grid.summary}"\n\n{block}')
    return "\n\n".join(parts)
