"""The settings as validated models: protocol, grids, method defaults, data set folders, paths.

A grid's table names only what it changes; which keys those are is asked of the layers (`Config.named`), so that no
value ever stands for "unset".
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bench.console import YEAR
from bench.errors import BenchError, did_you_mean
from bench.limits import (
    BatchSize,
    Decay,
    Epochs,
    Epsilon,
    EvalEvery,
    LearningRate,
    Momentum,
    OptimizerName,
    Rate,
    Schedule,
    Seed,
    Shots,
    Views,
    WarmupEpochs,
    WarmupRate,
    spread,
)
from bench.settings.layers import NAME, PACKAGED, Layers, Place, read_layers

T = TypeVar("T")
SET = "--set"


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _within_a_year(seconds: float) -> float:
    if YEAR < seconds < math.inf:
        raise ValueError(f"at most {YEAR:,} seconds, a year, or inf for no limit")
    return seconds


def _entry(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Seconds: TypeAlias = Annotated[float, Field(gt=0, strict=True), AfterValidator(_within_a_year)]
Name: TypeAlias = Annotated[str, Field(min_length=1)]
Axis: TypeAlias = Annotated[list[T], BeforeValidator(_listed), Field(min_length=1)]
Numbers: TypeAlias = Annotated[list[T], BeforeValidator(spread), BeforeValidator(_listed), Field(min_length=1)]
Rows: TypeAlias = Annotated[list[Name], BeforeValidator(_listed)]


class Table(BaseModel):
    """A table of the settings file; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NoiseEntry(Table):
    """A kind of noise with its rates; rates are inherited from the grid and the protocol where `rate` is not given."""

    kind: Name
    rate: Axis[Rate] = Field(default_factory=list)

    @property
    def has_rates(self) -> bool:
        """Whether the entry names its own rates."""
        return "rate" in self.model_fields_set


Entry: TypeAlias = Annotated[NoiseEntry, BeforeValidator(_entry)]


class Optimizer(Table):
    """What a paper trains with; each key counts only where it is given, and only under `budget = "paper"`."""

    epochs: Epochs = 50
    batch_size: BatchSize = 32
    optimizer: OptimizerName = "sgd"
    learning_rate: LearningRate = 0.002
    schedule: Schedule = "cosine"
    epsilon: Epsilon = 1e-8
    momentum: Momentum = 0.9
    weight_decay: Decay = 5e-4
    warmup_epochs: WarmupEpochs = 1
    warmup_learning_rate: WarmupRate = 1e-5


class PaperPart(Optimizer):
    """A paper's optimizer and options of the method."""

    options: dict[str, Any] = Field(default_factory=dict)


class When(PaperPart):
    """What a paper changes for some cells: those that match every axis given, each a value or a list.

    Data sets and kinds of noise need not be known here: a paper may name more than this installation has.
    """

    dataset: Axis[Name] = Field(default_factory=list)
    noise: Axis[Name] = Field(default_factory=list)
    rate: Axis[Rate] = Field(default_factory=list)
    shots: Numbers[Shots] = Field(default_factory=list)

    def matches(self, **axes: Collection[Any]) -> bool:
        """Whether of every axis one of its names, or its value, is among those given."""
        given = self.model_fields_set & set(axes)
        return all(any(name in getattr(self, axis) for name in axes[axis]) for axis in given)


class Paper(PaperPart):
    """What a paper does and, in order, what it changes for some cells."""

    when: list[When] = Field(default_factory=list)


class Protocol(Table):
    """What every cell has unless its grid says otherwise; the meaning of each key is in `bench.toml`."""

    dataset: Axis[Name]
    backbone: Axis[Name]
    method: Axis[Name]
    noise: Axis[Entry]
    rate: Axis[Rate]
    reference: Rows
    shots: Numbers[Shots]
    seed: Numbers[Seed]
    epochs: Numbers[Epochs]
    budget: Literal["equal", "paper"]
    batch_size: BatchSize
    optimizer: OptimizerName
    learning_rate: LearningRate
    schedule: Schedule
    epsilon: Epsilon
    momentum: Momentum
    weight_decay: Decay
    warmup_epochs: WarmupEpochs
    warmup_learning_rate: WarmupRate
    precision: Literal["float32"]
    validation: Literal["noisy", "clean"]
    views: Views
    eval_every: EvalEvery
    timeout: Seconds
    keep_prompts: bool
    device: Literal["auto", "cpu", "cuda"]


class Exclude(Table):
    """Axis values; a cell that matches every given axis is left out."""

    dataset: Axis[Name] = Field(default_factory=list)
    backbone: Axis[Name] = Field(default_factory=list)
    method: Axis[Name] = Field(default_factory=list)
    noise: Axis[Name] = Field(default_factory=list)
    rate: Axis[Rate] = Field(default_factory=list)
    shots: Numbers[Shots] = Field(default_factory=list)
    seed: Numbers[Seed] = Field(default_factory=list)
    epochs: Numbers[Epochs] = Field(default_factory=list)


class GridTable(Protocol):
    """A grid: the protocol with the grid's own keys laid over it, a summary and excludes."""

    summary: str = ""
    exclude: list[Exclude] = Field(default_factory=list)


class MethodTable(BaseModel):
    """Option defaults of a method (free keys, checked when the method is used) and what its paper does."""

    model_config = ConfigDict(frozen=True, extra="allow")

    paper: Paper = Field(default_factory=Paper)

    @property
    def options(self) -> dict[str, Any]:
        """The option defaults by name."""
        return dict(self.model_extra or {})


class DatasetTable(Table):
    """`root` is the folder of the data set's files, empty for the default place or where it needs none.

    `skip_broken` leaves out images that cannot be decoded, and records which, instead of stopping.
    """

    root: str = ""
    skip_broken: bool = False


class Paths(Table):
    """Folders: the store of records and the cache of image features (empty: the user's cache folder)."""

    store: Name
    cache: str


class Settings(Table):
    """All tables of the settings file."""

    protocol: Protocol
    grid: dict[str, GridTable] = Field(default_factory=dict)
    method: dict[str, MethodTable] = Field(default_factory=dict)
    dataset: dict[str, DatasetTable] = Field(default_factory=dict)
    paths: Paths


@dataclass(frozen=True)
class Config:
    """Validated settings beside the layers they came from."""

    settings: Settings
    layers: Layers

    def named(self, grid: str) -> frozenset[str]:
        """The keys that the table of a grid itself names."""
        return frozenset(self.layers.values.get("grid", {}).get(grid, {}))

    def entries(self) -> list[dict[str, Any]]:
        """Every value: {"key", "value", "origin"}."""
        return [{"key": ".".join(p), "value": value, "origin": origin} for p, value, origin in self.layers.flat()]


def load_config(config: str | None = None) -> Config:
    """Read, merge and validate the settings.

    Raises:
        BenchError: a file is missing or malformed, a key is unknown or a value out of range.
    """
    return validated(read_layers(config))


def validated(layers: Layers) -> Config:
    """The settings of these layers.

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
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    steps = tuple(step for step in first["loc"] if isinstance(step, str))
    origin = layers.origin(steps)
    file = NAME if origin == PACKAGED else origin
    shown = ".".join(steps[2:] if origin == SET else steps)
    match first["type"]:
        case "extra_forbidden":
            where = f" in [{'.'.join(steps[:-1])}]" if len(steps) > 1 else ""
            return f'{file}: unknown key "{steps[-1]}"{where}; {did_you_mean(steps[-1], _keys(steps[:-1]))}'
        case "missing":
            return f"{file}: {shown} is missing; add it."
        case _:
            return f"{file}: {shown} = {first['input']!r}: {expectation(first)}."


def expectation(error: Any) -> str:
    """What pydantic wanted, as the end of a sentence: "expected ..."."""
    if error["type"] == "too_short":
        return "expected at least one value"
    if error["type"] == "less_than_equal":
        most = error["ctx"]["le"]
        return f"expected at most {most:,}" if isinstance(most, int) else f"expected at most {most:,.15g}"
    text = str(error["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return f"expected {text[:1].lower()}{text[1:]}"


def _keys(place: Place) -> Iterable[str]:
    """The keys that a table may have."""
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
        case ("dataset", _):
            return DatasetTable.model_fields
        case _:
            return Paths.model_fields
