"""Options of methods: their limits, and how a method declares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from bench.errors import did_you_mean
from bench.limits import MOST_EPOCHS
from bench.registry import Registry

PerImage: TypeAlias = Literal["", "texts", "pixels"]
EPOCHS: Mapping[str, Any] = {"le": MOST_EPOCHS}  # of a number of epochs
WEIGHT: Mapping[str, Any] = {"ge": 0, "le": 1e6}  # limits of what multiplies a loss
Q: Mapping[str, Any] = {"ge": 1e-3, "le": 1}  # of the exponent of GCE: below, (1 - p^q) / q is float32's rounding
ENTROPY: Mapping[str, Any] = {"ge": 1e-6, "le": 1e6}  # of the entropy's weight in a transport


def structural(default: Any, description: str, when: str = "", unseen: str = "", **limits: Any) -> Any:
    """Create an option that is equal within a pack: it changes shapes or code paths.

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
    """Create an option in which members of a pack may differ; it becomes a 0-dimensional buffer.

    Arguments as for `structural`.
    """
    return _option("scalar", default, description, {"when": when, "unseen": unseen}, limits)


def _option(role: str, default: Any, description: str, notes: Mapping[str, str], limits: Mapping[str, Any]) -> Any:
    extra: Any = {"role": role} | {name: note for name, note in notes.items() if note}
    return Field(default=default, description=description, json_schema_extra=extra, **limits)


class Options(BaseModel):
    """Options of a plugin, validated and frozen; an unknown option is an error, and so is an infinite number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def per_image(self) -> PerImage:
        """What a step computes for each image by itself: "texts", or in the image tower its "pixels"; for estimates."""
        return ""


def check_class(plugin: type, functions: Sequence[str] = ()) -> None:
    """Check the class of a plugin: its options, and that these names are functions.

    Raises:
        TypeError: they are something else.
    """
    found = plugin.Options  # type: ignore[attr-defined]
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise TypeError(f"{plugin.__name__}.Options is {found!r}; derive a class from Options")
    for name in functions:
        if not callable(value := getattr(plugin, name)):
            raise TypeError(f"{plugin.__name__}.{name} is {value!r}; expected a class method that takes the options")


def scalar_options(options: type[Options]) -> tuple[str, ...]:
    """List the options in which members of a pack may differ."""
    extras = {name: field.json_schema_extra for name, field in options.model_fields.items()}
    return tuple(name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("role") == "scalar")


@dataclass(frozen=True)
class Registered:
    """The type of an option that names a row of a registry: `Annotated[str, Registered(LOSSES)]`.

    Attributes:
        registry: whose names, or aliases, the option may have.
        others: further words that it may have.
    """

    registry: Registry[Any]
    others: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """All that the option may be."""
        return (*self.others, *self.registry)

    def chosen(self, name: str) -> str:
        """Find the registered name. Raises ValueError where it is unknown."""
        if name in self.others:
            return name
        row = self.registry.find(name)
        if row is None:
            known = [*self.words, *(alias for row in self.registry.rows() for alias in row.aliases)]
            raise ValueError(f"a {self.registry.kind}, {did_you_mean(name, known)}")
        return row.name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return pydantic's schema of a text that `chosen` checks."""
        return core_schema.no_info_after_validator_function(self.chosen, core_schema.str_schema())


def registered(field: FieldInfo) -> Registered | None:
    """Find the registry of which an option names a row; None where it names none."""
    return next((one for one in field.metadata if isinstance(one, Registered)), None)
