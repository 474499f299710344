"""Parse plugin variants: `name`, `name[option=value,...]`, and for methods a suffix that selects samples.

"@clean" stands for the truly clean samples, "@fold2of4" for all but the second of four folds, "@folds4" for each of the
four in turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from bench.errors import BenchError
from bench.limits import MOST_FOLDS, Value

_FORM = re.compile(r"(?P<name>[^\[\]@=,\s]+)(\[(?P<options>.*)\])?(?P<subset>@[^\[\]]*)?", re.DOTALL)
_FOLDS = re.compile(r"folds(?P<all>[1-9]\d{0,17})|fold(?P<one>[1-9]\d{0,17})of(?P<of>[1-9]\d{0,17})")
_QUOTED = re.compile(r'(?P<before>(\w+:)?)"(?P<inside>([^"]|"")*)"')
_RESERVED = frozenset(':*"')  # of data sets in folders, of "every method", of values with commas
SUBSETS = '"@clean", "@folds4" or "@fold2of4"'


@dataclass(frozen=True)
class Variant:
    """Plugin's name or alias, the options given in place, and a method's selection of training samples.

    Attributes:
        subsets: "all", "clean" or "fold2of4"; several where all folds are asked for.
    """

    name: str
    options: dict[str, Value] = field(default_factory=dict)
    subsets: tuple[str, ...] = ("all",)


def parse_variant(text: str, kind: str = "method") -> Variant:
    """Read a variant of a plugin of this kind ("method", "noise", "dataset").

    Raises:
        BenchError: it is not of the form above.

    >>> parse_variant("gce-coop[q=0.5]@clean")
    Variant(name='gce-coop', options={'q': 0.5}, subsets=('clean',))
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise BenchError(f'{kind} "{text}" is not of the form name[option=value,...]; check brackets and commas.')
    if match["subset"] is not None and kind != "method":
        raise BenchError(f'{kind} "{text}" ends in "{match["subset"]}", which only a method may; remove it.')
    options: dict[str, Value] = {}
    for part in split_list(match["options"] or ""):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            quote = "; a value with a comma in it stands in double quotes" if options else ""
            raise BenchError(f'{kind} "{text}": "{part}" is not of the form option=value{quote}.')
        if name.strip() in options:
            raise BenchError(f'{kind} "{text}" gives option "{name.strip()}" twice; keep one of the two.')
        options[name.strip()] = parse_value(value)
    return Variant(match["name"], options, _subsets(text, match["subset"]))


def is_name(text: object) -> bool:
    """Return whether a grid can name a plugin so.

    A name has no blank and none of []@=,:*".

    >>> is_name("gce-coop"), is_name("coop@clean"), is_name("folder:a")
    (True, False, False)
    """
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    return match is not None and match["name"] == text and _RESERVED.isdisjoint(match["name"])


def _subsets(text: str, suffix: str | None) -> tuple[str, ...]:
    if suffix is None:
        return ("all",)
    if suffix == "@clean":
        return ("clean",)
    folds = _FOLDS.fullmatch(suffix[1:])
    if folds is None:
        raise BenchError(f'method "{text}" ends in "{suffix}"; only {SUBSETS} may follow a method.')
    count = int(folds["all"] or folds["of"])
    if count < 2 or int(folds["one"] or 1) > count:
        raise BenchError(
            f'method "{text}": {suffix} is not a fold; expected 2 folds or more, and one of them, as @fold1of2.'
        )
    if count > MOST_FOLDS:
        raise BenchError(f'method "{text}": {suffix} asks for {count:,} folds; expected at most {MOST_FOLDS:,}.')
    return tuple(f"fold{n}of{count}" for n in range(1, count + 1)) if folds["all"] else (suffix[1:],)


def variant_text(method: str, options: Mapping[str, Value]) -> str:
    """Format a method as it is written on the command line: what `parse_variant` reads.

    >>> variant_text("gce-coop", {"q": 0.5})
    'gce-coop[q=0.5]'
    """
    inside = ",".join(f"{name}={value_text(value)}" for name, value in sorted(options.items()))
    return f"{method}[{inside}]" if inside else method


def value_text(value: Value) -> str:
    """Format a value so that `parse_value` reads it back, to the last digit.

    >>> value_text(0.1 + 0.2), value_text("a,b"), value_text("5")
    ('0.30000000000000004', '"a,b"', '"5"')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    text = str(value)
    if isinstance(value, str) and (any(mark in text for mark in ',[]"=') or _no_text(parse_value(text), text)):
        return _quoted(text)
    return text


def _no_text(read: Value, text: str) -> bool:
    """Return whether a text would be read as something else.

    The words true and false are what options say that have such values.
    """
    return read != text and not isinstance(read, bool)


@lru_cache(maxsize=1024)
def entry_text(text: str) -> str:
    """Format a text of an axis as one entry for `split_list` and `unquoted`.

    >>> entry_text("gce-coop[q=0.5,loss=mae]"), entry_text("folder:a,b")
    ('gce-coop[q=0.5,loss=mae]', '"folder:a,b"')
    """
    alone = split_list(f"{text},x") == [text, "x"] and unquoted(text) == text
    return text if alone else _quoted(text)


def axis_text(value: Value) -> str:
    """Format a value of an axis as one entry behind `--set axis=`."""
    return entry_text(value) if isinstance(value, str) else value_text(value)


def unquoted(text: str) -> str:
    """Strip the double quotes around an entry, or around all behind its first colon.

    >>> unquoted('"folder:a,b"'), unquoted('folder:"a,b"')
    ('folder:a,b', 'folder:a,b')
    """
    match = _QUOTED.fullmatch(text)
    return text if match is None else match["before"] + match["inside"].replace('""', '"')


def _quoted(text: str) -> str:
    inside = text.replace('"', '""')
    return f'"{inside}"'


def split_list(text: str) -> list[str]:
    """Split at top-level commas and strip. Commas inside brackets or double quotes do not split.

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
    """Parse a value: true, false, a whole number, a number, or else text.

    In double quotes it is text whatever it looks like, with commas and blanks; a double quote in it is written twice.
    """
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def shown(values: Iterable[object]) -> str:
    """Join values for messages.

    >>> shown([0.25, 0.5])
    '0.25, 0.5'
    """
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
