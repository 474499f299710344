"""The references of the command line, of the Python API and of the form of a record."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

from committed import ROOT
from typer.main import get_command
from typeset import cell

import bench
from bench.cli.app import EVERYWHERE, VERBS, app

API = {
    "Run and read": ("run", "plan", "load", "report", "compare", "Results", "BenchError"),
    "Register": ("register",),
    "Methods": ("Method", "CoOp", "Objective", "Needs", "Context", "Inputs", "Batch", "Phase", "Losses", "FullPass"),
    "Losses and splits": ("CleanSplit",),
    "Options": ("Options", "structural", "scalar"),
    "Noise": ("NoiseKind", "Scene", "Sampled", "NoisyLabels"),
    "Data sets": ("Dataset", "Split"),
    "Randomness": ("Stream",),
}  # fmt: skip

# Its docstring is the page of the method; "[.]" in it would be a reference to another page.
ELSEWHERE = "\n    options: { show_docstring_description: false }"


def cli_page() -> str:
    """Write every verb with its options and examples, from the command line itself."""
    root: Any = get_command(app)
    parts = [
        "# Command line",
        "Generated from `bench` itself. `bench VERB -h` prints the same. Exit codes: 0 success, 1 worse than the "
        "baseline or parts of it missing, or something for `bench doctor` to mend, 2 an error in the input (told in "
        "one line), 3 nothing compared, 4 some cells did not finish, 130 interrupted, 141 the output's reader is gone.",
        "Before or behind every verb:",
        _options(root, [one for one in root.params if one.name in EVERYWHERE]),
    ]  # fmt: skip
    for name in VERBS:
        verb = root.get_command(None, name)
        inner = getattr(verb, "commands", {})
        parts.append(_command(name, verb, 2))
        parts += [_command(f"{name} {word}", one, 3) for word, one in inner.items()]
    return "\n\n".join(parts) + "\n"


def _command(words: str, command: Any, level: int) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and one.name not in EVERYWHERE]
    usage = " ".join(["bench", words, *(_metavar(one) for one in arguments)])
    examples = [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("bench ")]
    parts = [f"{'#' * level} {words}", " ".join((command.help or "").split())]
    if not getattr(command, "commands", {}):
        parts.append(f"```text\n{usage} [OPTIONS]\n```")
    if arguments:
        parts.append("\n".join(f"- `{_metavar(one)}`: {_told(one.help or '')}" for one in arguments))
    if options:
        parts.append(_options(command, options))
    if examples:
        parts.append("\n".join(["```sh", *examples, "```"]))
    return "\n\n".join(parts)


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return f"[{name}]" if not argument.required else str(name)


def _told(text: str) -> str:
    return cell(html.escape(" ".join(text.split()), quote=False)).replace("[", "&#91;")


def _options(command: Any, options: list[Any]) -> str:
    """Write a table of options, each as the help text of the command has it."""
    context = command.context_class(command)
    records = [one.get_help_record(context) for one in options]
    rows = [f"| `{record[0]}` | {_told(record[1])} |" for record in records if record]
    return "\n".join(["| option | meaning |", "| --- | --- |", *rows])


def api_page() -> str:
    """Write what `import bench` offers, rendered from its docstrings by mkdocstrings."""
    listed = {name for names in API.values() for name in names}
    more = tuple(name for name in bench.__all__ if name not in listed)
    parts = ["# Python API", "How the pieces are used together: [From Python](../python.md)."]
    for heading, names in {**API, "More": more}.items():
        there = [name for name in names if name in bench.__all__]
        parts += [f"## {heading}"] * bool(there)
        for name in there:
            module, attribute = bench.HOMES[name]
            parts.append(f"::: {module}.{attribute}" + ELSEWHERE * (name == "CoOp"))
    return "\n\n".join(parts) + "\n"


def record_page() -> str:
    """Write the form of a record from the published schema."""
    schema = json.loads((ROOT / "docs" / "record.schema.json").read_text(encoding="utf-8"))
    parts = [
        "# Form of a record",
        "Generated from [record.schema.json](../record.schema.json), which a program can validate records against; "
        "[Records](../records.md) says what a key holds and what is noted beside it.",
        "Shares are fractions in [0, 1], times are seconds, absent numbers are null.",
        *(_part(name, part) for name, part in {"Record": schema, **schema["$defs"]}.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _part(name: str, part: dict[str, Any]) -> str:
    about, _, attributes = part.get("description", "").partition("Attributes:")
    told = dict(_attributes(attributes))
    rows = [
        f"| `{field}` | {_type(value)} | {told.get(field, '')} |" for field, value in part.get("properties", {}).items()
    ]
    text = re.sub(r"\s+", " ", html.escape(about, quote=False)).strip()
    return "\n".join([f"## {name}", "", text, "", "| field | type | meaning |", "| --- | --- | --- |", *rows])


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"^    (\w+): (.*(?:\n {8,}.*)*)", text, re.MULTILINE):
        yield found[1], _told(found[2])


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type(one) for one in value["anyOf"]))
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {})) or 'anything'}"
    if value.get("type") == "object":
        inner = value.get("additionalProperties")
        return f"by name, {_type(inner)}" if isinstance(inner, dict) and inner else "object"
    if {"minimum", "maximum"} <= {*value}:
        return f"{value['type']} from {value['minimum']:g} to {value['maximum']:g}"
    limits = [f"{sign} {value[key]:g}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if key in value]
    return " ".join([str(value.get("type", value.get("const", "anything"))), *limits])
