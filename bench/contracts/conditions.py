"""Conditions under which an option counts, declared beside it and read by code, messages and tests alike.

A pydantic field declares one as `json_schema_extra={"when": "loss=gce or rest=gce and split!=none"}`. Comparisons are
`name=value`, `name!=value` and `name>number`, where the number may be another field's name. An option without a
condition always counts; one whose condition names an option that does not count itself does not count either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal, TypeAlias, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bench.contracts.options import registered
from bench.limits import Value
from bench.variants import parse_value

_COMPARISON = re.compile(r"(?P<name>\w+)(?P<sign>!=|=|>)(?P<value>.*)")
_WORDS = {"=": "=", "!=": " other than ", ">": " above "}


@dataclass(frozen=True)
class OptionComparison:
    """One option against a value; behind ">" a text is another option's name."""

    name: str
    sign: str
    value: Value

    @property
    def names(self) -> set[str]:
        """The options that are compared."""
        return {self.name, self.value} if self.sign == ">" and isinstance(self.value, str) else {self.name}

    def holds(self, own: Any, others: Mapping[str, Any]) -> bool:
        """Check the comparison for the option's `own` value beside the `others`."""
        if self.sign == ">":
            return bool(own > (others[self.value] if isinstance(self.value, str) else self.value))
        return bool(own == self.value) == (self.sign == "=")

    @property
    def text(self) -> str:
        """The value as users write it."""
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value) or '""'

    def __str__(self) -> str:
        return f"{self.name}{_WORDS[self.sign]}{self.text}"


Alternatives: TypeAlias = tuple[tuple[OptionComparison, ...], ...]


def parsed(text: str) -> Alternatives:
    """Parse a condition into alternatives of comparisons that hold together.

    Raises:
        ValueError: it is not of the form above.

    >>> [[str(one) for one in both] for both in parsed("loss=gce or rest=gce and split!=none")]
    [['loss=gce'], ['rest=gce', 'split other than none']]
    """
    return tuple(tuple(map(_comparison, part.split(" and "))) for part in text.split(" or "))


def _comparison(text: str) -> OptionComparison:
    found = _COMPARISON.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'"{text.strip()}" is not of the form name=value, name!=value or name>number')
    return OptionComparison(found["name"], found["sign"], parse_value(found["value"]))


def met(text: str, values: Mapping[str, Any]) -> bool:
    """Check whether a condition holds for these values of all options.

    Raises:
        ValueError: it is malformed.
        KeyError: it names none of these options.

    >>> met("fine_tune>0", {"fine_tune": 2}), met("faithful=true", {"faithful": False})
    (True, False)
    """
    return any(all(one.holds(values[one.name], values) for one in both) for both in parsed(text))


@cache
def conditions_of(model: type[BaseModel]) -> Mapping[str, Alternatives]:
    """Collect the conditions of a model's options, by option; options that always count are left out.

    Raises:
        ValueError: a condition is malformed, names no option of the model, or depends on itself.
    """
    found = {name: parsed(_declared(field)) for name, field in model.model_fields.items() if _declared(field)}
    needed = {name: {option for both in alts for one in both for option in one.names} for name, alts in found.items()}
    for name, names in needed.items():
        if unknown := sorted(names - model.model_fields.keys()):
            raise ValueError(f'option {name} counts beside "{unknown[0]}", which is no option')
    try:
        TopologicalSorter(needed).prepare()
    except CycleError as error:
        raise ValueError(f"whether option {error.args[1][0]} counts depends on itself") from error
    return found


def _declared(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra.get("when", "")) if isinstance(extra, dict) else ""


def deciding(model: type[BaseModel], name: str) -> set[str]:
    """List the options that decide whether another one counts."""
    return {option for both in conditions_of(model).get(name, ()) for one in both for option in one.names}


def idle(options: BaseModel) -> dict[str, str]:
    """Find the options that have no effect, each with when it would have one, as the end of a sentence.

    Raises:
        ValueError: as `conditions_of`.
    """
    declared, values = conditions_of(type(options)), dict(options)

    def lacking(name: str) -> str:
        """Find the option whose condition is not met, `name` or one that it depends on; empty where it counts."""
        if name not in declared:
            return ""
        holding = [both for both in declared[name] if all(one.holds(values[one.name], values) for one in both)]
        behind = [next(filter(None, (lacking(one.name) for one in both)), "") for both in holding]
        return min(behind, key=bool) if behind else name

    return {name: _remedy(type(options), found) for name in declared if (found := lacking(name))}


def _remedy(model: type[BaseModel], name: str) -> str:
    """Describe when an option counts; alternatives that no allowed value fulfils are left out."""
    able = [b for b in conditions_of(model)[name] if all(_possible(model.model_fields[one.name], one) for one in b)]
    if not able:
        return "no value of the other options makes it count"
    return f"it counts with {', or with '.join(map(_words, able))}"


def _words(both: tuple[OptionComparison, ...]) -> str:
    """Describe comparisons that hold together; several values that one option must not have share its name."""
    told: dict[str, str] = {}
    for one in both:
        left = f"{one.name}!" if one.sign == "!=" else str(one)
        told[left] = f"{told[left]} or {one.text}" if left in told else str(one)
    return " and ".join(told.values())


def listed_values(field: FieldInfo) -> tuple[Any, ...]:
    """List the values that a field allows, by a literal or a registry; none where it does not say."""
    if (choice := registered(field)) is not None:
        return choice.words
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def _possible(field: FieldInfo, comparison: OptionComparison) -> bool:
    """Check whether an allowed value fulfils a comparison; true where values are not listed."""
    listed = listed_values(field)
    beside_another = comparison.sign == ">" and isinstance(comparison.value, str)
    return not listed or beside_another or any(comparison.holds(value, {}) for value in listed)


def settled(options: BaseModel) -> dict[str, Any]:
    """Return all values, with the defaults of options without effect, so that equal behaviour has equal values."""
    return options.model_dump(mode="json") | {name: type(options).model_fields[name].default for name in idle(options)}
