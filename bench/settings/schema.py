"""Validated models of the settings: protocol, grids, method defaults, data set folders, paths.

A grid's table names only what it changes; which keys those are is asked of the layers (`Config.named`), so that no
value ever stands for "unset".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from bench import limits
from bench.console import YEAR
from bench.errors import BenchError
from bench.settings.layers import NAME, PACKAGED, Layers, Place, read_layers
from bench.validation import complaint, first_problem

T = TypeVar("T")
SET = "--set"
MOST_CELLS = 1000  # of a pack
AUTO = "auto"
EVERY_EPOCH = "epochs"  # in place of a number of views: as many as there are epochs


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _numbers(value: Any) -> Any:
    return limits.spread(_listed(value))


def _within_a_year(seconds: float) -> float:
    if YEAR < seconds < math.inf:
        raise ValueError(f"at most {YEAR:,} seconds, a year, or inf for no limit")
    return seconds


def _entry(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _views(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, str) and value != EVERY_EPOCH:
        raise ValueError(f'a whole number, or "{EVERY_EPOCH}" for a new view in every epoch')
    return value if value == EVERY_EPOCH else check(value)


def _pack_size(value: Any) -> Any:
    if value == AUTO or (type(value) is int and 1 <= value <= MOST_CELLS):
        return value
    raise ValueError(f'a whole number from 1 to {MOST_CELLS:,}, or "{AUTO}" for as many as keep all workers busy')


Seconds: TypeAlias = Annotated[float, Field(gt=0, strict=True), AfterValidator(_within_a_year)]
Name: TypeAlias = Annotated[str, Field(min_length=1)]
Axis: TypeAlias = Annotated[list[T], BeforeValidator(_listed), Field(min_length=1)]
Numbers: TypeAlias = Annotated[list[T], BeforeValidator(_numbers), Field(min_length=1)]
ViewCount: TypeAlias = Annotated[limits.Views, WrapValidator(_views), PlainSerializer(lambda value: value)]
PackSize: TypeAlias = Annotated[int | Literal["auto"], PlainValidator(_pack_size)]
Rows: TypeAlias = Annotated[list[Name], BeforeValidator(_listed)]


class SettingsTable(BaseModel):
    """Table of the settings file; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NoiseEntry(SettingsTable):
    """Kind of noise with its rates. They are inherited from the grid and the protocol where `rate` is not given."""

    kind: Name
    rate: Axis[limits.Rate] = Field(default_factory=list)

    @property
    def has_rates(self) -> bool:
        """Whether the entry names its own rates."""
        return "rate" in self.model_fields_set


Entry: TypeAlias = Annotated[NoiseEntry, BeforeValidator(_entry)]


class Optimizer(SettingsTable):
    """Training of a paper. Each key counts only where it is given, and only under `budget = "paper"`."""

    epochs: limits.Epochs = 50
    batch_size: limits.BatchSize = 32
    optimizer: limits.OptimizerName = "sgd"
    learning_rate: limits.LearningRate = 0.002
    schedule: limits.Schedule = "cosine"
    epsilon: limits.Epsilon = 1e-8
    momentum: limits.Momentum = 0.9
    weight_decay: limits.Decay = 5e-4
    warmup_epochs: limits.WarmupEpochs = 1
    warmup_learning_rate: limits.WarmupRate = 1e-5
    drop_last: bool = False
    validation: Literal["noisy", "clean"] = "noisy"
    views: ViewCount = 0


class PaperPart(Optimizer):
    """Optimizer of a paper and its options of the method."""

    options: dict[str, Any] = Field(default_factory=dict)


class When(PaperPart):
    """Paper settings for some cells: those that match every axis given, each a value or a list.

    Data sets and kinds of noise need not be known here: a paper may name more than this installation has.
    """

    dataset: Axis[Name] = Field(default_factory=list)
    noise: Axis[Name] = Field(default_factory=list)
    rate: Axis[limits.Rate] = Field(default_factory=list)
    shots: Numbers[limits.Shots] = Field(default_factory=list)

    def matches(self, meant: Mapping[str, Callable[[Any], bool]]) -> bool:
        """Return whether every axis given here has a value that is meant, as the predicate of the axis tells."""
        return all(any(map(meant[axis], getattr(self, axis))) for axis in self.model_fields_set & set(meant))


class Paper(PaperPart):
    """Settings of a paper and, in order, its changes for some cells."""

    when: list[When] = Field(default_factory=list)
    shots: limits.Shots = 16


class Protocol(SettingsTable):
    """Defaults of every cell unless its grid overrides them; `bench.toml` explains each key."""

    dataset: Axis[Name]
    backbone: Axis[Name]
    method: Axis[Name]
    noise: Axis[Entry]
    rate: Axis[limits.Rate]
    reference: Rows
    shots: Numbers[limits.Shots]
    seed: Numbers[limits.Seed]
    epochs: Numbers[limits.Epochs]
    budget: limits.BudgetName
    batch_size: limits.BatchSize
    optimizer: limits.OptimizerName
    learning_rate: limits.LearningRate
    schedule: limits.Schedule
    epsilon: limits.Epsilon
    momentum: limits.Momentum
    weight_decay: limits.Decay
    warmup_epochs: limits.WarmupEpochs
    warmup_learning_rate: limits.WarmupRate
    precision: limits.Precision
    drop_last: bool
    validation: Literal["noisy", "clean"]
    views: ViewCount
    eval_every: limits.EvalEvery
    timeout: Seconds
    pack: PackSize
    keep_prompts: bool
    device: Literal["auto", "cpu", "cuda"]

    @property
    def pack_size(self) -> int | None:
        """Cells of a pack at most, None where that is left to the plan."""
        return None if self.pack == "auto" else self.pack


class Exclude(SettingsTable):
    """Axis values; a cell that matches every given axis is left out."""

    dataset: Axis[Name] = Field(default_factory=list)
    backbone: Axis[Name] = Field(default_factory=list)
    method: Axis[Name] = Field(default_factory=list)
    noise: Axis[Name] = Field(default_factory=list)
    rate: Axis[limits.Rate] = Field(default_factory=list)
    shots: Numbers[limits.Shots] = Field(default_factory=list)
    seed: Numbers[limits.Seed] = Field(default_factory=list)
    epochs: Numbers[limits.Epochs] = Field(default_factory=list)


class GridTable(Protocol):
    """A grid: the protocol with the grid's own keys laid over it, a summary and excludes."""

    summary: str = ""
    exclude: list[Exclude] = Field(default_factory=list)


class MethodTable(BaseModel):
    """Option defaults of a method, and its paper's settings.

    The defaults are free keys, checked when the method is used.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    paper: Paper = Field(default_factory=Paper)

    @property
    def options(self) -> dict[str, Any]:
        """Option defaults by name."""
        return dict(self.model_extra or {})


class DatasetTable(SettingsTable):
    """Settings of a data set. `root` is the folder of its files, empty for the default place or where it needs none.

    `skip_broken` leaves out images that cannot be decoded, and records which, instead of stopping.
    """

    root: str = ""
    skip_broken: bool = False


class Paths(SettingsTable):
    """Folders: the store of records and the cache of image features (empty: the user's cache folder)."""

    store: Name
    cache: str


class Settings(SettingsTable):
    """All tables of the settings file.

    Attributes:
        tuned: learning rates by method, of `budget = "tuned"`, under the backbone.
    """

    protocol: Protocol
    grid: dict[str, GridTable] = Field(default_factory=dict)
    method: dict[str, MethodTable] = Field(default_factory=dict)
    tuned: dict[str, dict[str, limits.LearningRate]] = Field(default_factory=dict)
    dataset: dict[str, DatasetTable] = Field(default_factory=dict)
    paths: Paths


@dataclass(frozen=True)
class Config:
    """Validated settings with the layers they came from."""

    settings: Settings
    layers: Layers

    def named(self, grid: str) -> frozenset[str]:
        """Return the keys that the table of a grid itself names."""
        return frozenset(self.layers.values.get("grid", {}).get(grid, {}))

    def entries(self) -> list[dict[str, Any]]:
        """List every value: {"key", "value", "origin"}."""
        return [{"key": ".".join(p), "value": value, "origin": origin} for p, value, origin in self.layers.flat()]


def load_config(config: str | None = None) -> Config:
    """Read, merge and validate the settings.

    Raises:
        BenchError: a file is missing or malformed, a key is unknown or a value out of range.
    """
    return validated(read_layers(config))


def validated(layers: Layers) -> Config:
    """Validate the settings of these layers.

    Raises:
        BenchError: a key is unknown or a value out of range; names the first such key and its file.
    """
    values = dict(layers.values)
    protocol, grids = values.get("protocol"), values.get("grid")
    if isinstance(protocol, dict) and isinstance(grids, dict):
        values["grid"] = {
            name: {**protocol, **table} if isinstance(table, dict) else table for name, table in grids.items()
        }
    try:
        return Config(Settings.model_validate(values), layers)
    except ValidationError as error:
        raise BenchError(_complaint(error, layers)) from error


def _complaint(error: ValidationError, layers: Layers) -> str:
    problem, steps = first_problem(error)
    origin = layers.origin(steps)
    file = NAME if origin == PACKAGED else origin
    shown = ".".join(steps[2:] if origin == SET else steps)
    return f"{file}: {complaint(problem, shown, _keys(steps[:-1]), '.'.join(steps[:-1]))}"


def _keys(place: Place) -> Iterable[str]:
    """Return the keys that a table may have."""
    match place:
        case ():
            return Settings.model_fields
        case ("protocol",):
            return Protocol.model_fields
        case ("grid", _):
            return GridTable.model_fields
        case ("grid", _, "exclude"):
            return Exclude.model_fields
        case ("grid", _, "noise") | ("protocol", "noise"):
            return NoiseEntry.model_fields
        case ("method", _, "paper"):
            return Paper.model_fields
        case ("method", _, "paper", "when"):
            return When.model_fields
        case ("tuned", _):
            return ()
        case ("dataset", _):
            return DatasetTable.model_fields
        case _:
            return Paths.model_fields
