"""What pydantic finds wrong, as one line."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.validation import complaint, first_problem


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    shots: int = Field(le=1_000)


class Outer(BaseModel):
    inner: Inner
    rates: tuple[float, ...] = Field(default=(0.0,), min_length=1)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"inner": {"shots": 1, "shot": 1}}, 'unknown key "shot" in [inner]; did you mean "shots"?'),
        ({"inner": {"shots": "many", "shot": 1}}, 'unknown key "shot" in [inner]; did you mean "shots"?'),
        ({"inner": {}}, "inner.shots is missing; add it."),
        ({"inner": {"shots": 2_000}}, "inner.shots = 2000: expected at most 1,000."),
        (
            {"inner": {"shots": "x"}},
            "inner.shots = 'x': expected a valid integer, unable to parse string as an integer.",
        ),
        ({"inner": {"shots": 1}, "rates": ()}, "rates = (): expected at least one value."),
    ],
)
def test_one_line(given: dict[str, object], line: str) -> None:
    with pytest.raises(ValidationError) as error:
        Outer.model_validate(given)
    problem, steps = first_problem(error.value)
    assert complaint(problem, ".".join(steps), Inner.model_fields, ".".join(steps[:-1])) == line
