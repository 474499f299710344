"""Limits of a cell's numbers, and the values that options take."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

Value: TypeAlias = bool | int | float | str
OptimizerName: TypeAlias = Literal["sgd", "adam", "adamw"]
BudgetName: TypeAlias = Literal["equal", "paper", "tuned"]
Precision: TypeAlias = Literal["float32", "tf32", "bf16"]
Schedule: TypeAlias = Literal["cosine", "cosine-step", "constant"]
MOST_FOLDS = 1000
MOST_EPOCHS = 100_000
MOST_SPREAD = 10_000  # whole numbers that one range may stand for
RANGE = re.compile(r"\s*(\d{1,19})\s*\.\.\s*(\d{1,19})\s*")
LARGEST = 1e30  # a float32 ends at 3.4e38, and torch refuses a larger step with a traceback


def _number(when: str = "", **limits: Any) -> Any:
    """Annotate a number with its limits and when it counts (`bench.contracts.conditions`). Truth values are refused."""
    return Field(strict=True, json_schema_extra={"when": when} if when else None, **limits)


# The numbers of a cell, with their limits: settings, `--set` and cells share them.
Shots: TypeAlias = Annotated[int, _number(ge=1, le=1_000_000)]
Rate: TypeAlias = Annotated[float, _number(ge=0, lt=1)]
Seed: TypeAlias = Annotated[int, _number(ge=0, le=2**63 - 1)]
Epochs: TypeAlias = Annotated[int, _number(ge=1, le=MOST_EPOCHS)]
BatchSize: TypeAlias = Annotated[int, _number(ge=1, le=100_000)]
LearningRate: TypeAlias = Annotated[
    float, _number("schedule!=cosine or epochs>warmup_epochs", gt=0, le=LARGEST, allow_inf_nan=False)
]
Epsilon: TypeAlias = Annotated[float, _number("optimizer!=sgd", gt=0, le=LARGEST, allow_inf_nan=False)]
Momentum: TypeAlias = Annotated[float, _number("optimizer=sgd", ge=0, lt=1)]
Decay: TypeAlias = Annotated[float, _number(ge=0, le=LARGEST, allow_inf_nan=False)]
WarmupEpochs: TypeAlias = Annotated[int, _number("schedule=cosine", ge=0, le=MOST_EPOCHS)]
WarmupRate: TypeAlias = Annotated[
    float, _number("schedule=cosine and warmup_epochs>0", gt=0, le=LARGEST, allow_inf_nan=False)
]
Views: TypeAlias = Annotated[int, _number(ge=0, le=10_000)]
EvalEvery: TypeAlias = Annotated[int, _number("epochs>1", ge=1, le=1_000_000)]


def spread(values: list[Any]) -> list[Any]:
    """Expand each range "1..5" to its whole numbers, both ends included; all else stays.

    Raises:
        ValueError: a range is of another form, goes down or is too long; says what was expected.

    >>> spread([7, "1..3"])
    [7, 1, 2, 3]
    """
    found: list[Any] = []
    for value in values:
        if not isinstance(value, str) or ".." not in value:
            found.append(value)
            continue
        match = RANGE.fullmatch(value)
        if match is None:
            raise ValueError('a range of whole numbers such as "1..5"')
        first, last = int(match[1]), int(match[2])
        if first > last:
            raise ValueError(f'the lower number first, "{last}..{first}"')
        if last - first >= MOST_SPREAD:
            raise ValueError(f"at most {MOST_SPREAD:,} values in a range, these are {last - first + 1:,}")
        found += range(first, last + 1)
    return found
