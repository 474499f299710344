"""Says in words what a setting or an option may be, from its annotation."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from bench.contracts.options import Registered

SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", dict: "table"}


def allowed(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """Describe the values of an annotation, with the limits that its metadata give."""
    words, marks = _unwrapped(annotation, list(metadata))
    if chosen := next((one for one in marks if isinstance(one, Registered)), None):
        return ", ".join(f"`{word}`" for word in chosen.words)
    limits = {name: getattr(one, name) for one in marks for name in SIGNS if getattr(one, name, None) is not None}
    if {*limits} == {"ge", "le"}:
        return f"{words} from {_number(limits['ge'])} to {_number(limits['le'])}"
    return f"{words} {' and '.join(f'{SIGNS[name]} {_number(limit)}' for name, limit in limits.items())}".strip()


def _number(limit: float) -> str:
    return f"{limit:,.0f}" if limit == int(limit) and 1 <= abs(limit) < 1e9 else f"{limit:g}"


def _unwrapped(annotation: Any, marks: list[Any]) -> tuple[str, list[Any]]:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [mark for one in parts[1:] for mark in (one, *getattr(one, "metadata", ()))]
        return _unwrapped(parts[0], [*marks, *inner])
    if origin is Literal:
        return ", ".join(f"`{str(part).lower() if isinstance(part, bool) else part}`" for part in parts), marks
    if origin in (Union, types.UnionType):
        each = [_unwrapped(part, []) for part in parts]
        return " or ".join(words for words, _ in each), [*marks, *(mark for _, inner in each for mark in inner)]
    if origin in (list, tuple):
        words, inner = _unwrapped(parts[0], [])
        return f"one or a list: {words}", [*marks, *inner]
    return WORDS.get(origin or annotation, getattr(annotation, "__name__", str(annotation))), marks
