"""Options of methods: their limits, and how a method declares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bench.limits import MOST_EPOCHS

EPOCHS: Mapping[str, Any] = {"le": MOST_EPOCHS}  # of a number of epochs
WEIGHT: Mapping[str, Any] = {"ge": 0, "le": 1e6}  # limits of what multiplies a loss
Q: Mapping[str, Any] = {"ge": 1e-3, "le": 1}  # of the exponent of GCE: below, (1 - p^q) / q is float32's rounding
ENTROPY: Mapping[str, Any] = {"ge": 1e-6, "le": 1e6}  # of the entropy's weight in a transport


def structural(default: Any, description: str, when: str = "", unseen: str = "", **limits: Any) -> Any:
    """An option that is equal within a pack: it changes shapes or code paths.

    Args:
        default: its value where none is given.
        description: one line.
        when: the condition under which it counts, such as "loss=gce or rest=gce and split!=none", see
            `bench.contracts.conditions`; empty where it always does.
        unseen: why the short run of `bench test` does not show what it does; empty where it does.
        limits: pydantic's (ge, le …).
    """
    return _option("structural", default, description, {"when": when, "unseen": unseen}, limits)


def scalar(default: float, description: str, when: str = "", unseen: str = "", **limits: Any) -> Any:
    """An option that the members of a pack may differ in; the method keeps it as a 0-dimensional buffer.

    Arguments as for `structural`.
    """
    return _option("scalar", default, description, {"when": when, "unseen": unseen}, limits)


def _option(role: str, default: Any, description: str, notes: Mapping[str, str], limits: Mapping[str, Any]) -> Any:
    extra: Any = {"role": role} | {name: note for name, note in notes.items() if note}
    return Field(default=default, description=description, json_schema_extra=extra, **limits)


class Options(BaseModel):
    """The options of a method, validated and frozen; an unknown option is an error, and so is an infinite number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def scalar_options(options: type[Options]) -> tuple[str, ...]:
    """Names of the options that the members of a pack may differ in."""
    extras = {name: field.json_schema_extra for name, field in options.model_fields.items()}
    return tuple(name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("role") == "scalar")
