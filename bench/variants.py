"""A method as people write it: `name`, `name[option=value,...]`, and `@clean` for the truly clean subset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.cell import Value
from bench.errors import BenchError

_FORM = re.compile(r"(?P<name>[^\[\]@=,\s]+)(\[(?P<options>.*)\])?(?P<clean>@[^\[\]]*)?", re.DOTALL)


@dataclass(frozen=True)
class Variant:
    """A method's name or alias, the options given in place, and the samples it is trained on."""

    method: str
    options: dict[str, Value] = field(default_factory=dict)
    subset: Literal["all", "clean"] = "all"


def parse_variant(text: str) -> Variant:
    """Read a variant.

    Raises:
        BenchError: it is not of the form above.

    >>> parse_variant("gce-coop[q=0.5]@clean")
    Variant(method='gce-coop', options={'q': 0.5}, subset='clean')
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise BenchError(f'method "{text}" is not of the form name[option=value,...]; check brackets and commas.')
    if match["clean"] not in (None, "@clean"):
        raise BenchError(f'method "{text}" ends in "{match["clean"]}"; only "@clean" may follow a method.')
    options: dict[str, Value] = {}
    for part in split_list(match["options"] or ""):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise BenchError(f'method "{text}": "{part}" is not of the form option=value.')
        if name.strip() in options:
            raise BenchError(f'method "{text}" gives option "{name.strip()}" twice; keep one of the two.')
        options[name.strip()] = parse_value(value)
    return Variant(match["name"], options, "clean" if match["clean"] else "all")


def variant_text(method: str, options: Mapping[str, Value]) -> str:
    """The method as it is written on the command line: what `parse_variant` reads.

    >>> variant_text("gce-coop", {"q": 0.5})
    'gce-coop[q=0.5]'
    """
    inside = ",".join(f"{name}={_plain(value)}" for name, value in sorted(options.items()))
    return f"{method}[{inside}]" if inside else method


def _plain(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def split_list(text: str) -> list[str]:
    """The parts between top-level commas, stripped; commas inside brackets or double quotes do not split.

    >>> split_list("coop,visprompt[form=identity,evidence=pooled]")
    ['coop', 'visprompt[form=identity,evidence=pooled]']
    """
    parts, depth, quoted = [""], 0, False
    for character in text:
        if character == '"':
            quoted = not quoted
        elif not quoted:
            depth += (character == "[") - (character == "]")
        if character == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts] if text.strip() else []


def parse_value(text: str) -> Value:
    """true, false, a whole number, a number, or else text, in double quotes where it has commas or edge spaces."""
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def shown(values: Iterable[object]) -> str:
    """Values in a row, for messages.

    >>> shown([0.25, 0.5])
    '0.25, 0.5'
    """
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
