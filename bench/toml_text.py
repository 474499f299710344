"""Parse TOML of a user or of a stranger's data set, within bounds: Python's parser has none."""

from __future__ import annotations

import re
import tomllib
from typing import Any

MOST_CHARACTERS = 2**20
MOST_STEPS = 64  # dots of one key; the parser's time and memory grow with their square
_ENDS = re.compile(r"[\n=,{}\[\]]")


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a text.

    Raises:
        tomllib.TOMLDecodeError: it is no TOML, larger or deeper than any settings are, or a text has a null character,
            which no path can hold; says what.
    """
    if len(text) > MOST_CHARACTERS:
        raise tomllib.TOMLDecodeError(f"it has {len(text):,} characters, expected at most {MOST_CHARACTERS:,}")
    if any(part.count(".") > MOST_STEPS for part in _ENDS.split(text)):
        raise tomllib.TOMLDecodeError(f"a key or text has more than {MOST_STEPS} dots")
    try:
        found = tomllib.loads(text.replace("\r\n", "\n"))
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("it is nested too deeply") from error
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # a whole number of thousands of digits
        raise tomllib.TOMLDecodeError(f"a number is too long ({error})") from error
    if _holds_null(found):
        raise tomllib.TOMLDecodeError("a text holds the null character, U+0000")
    return found


def _holds_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_null, [*value, *value.values()]))
    return any(map(_holds_null, value)) if isinstance(value, list) else isinstance(value, str) and "\0" in value
