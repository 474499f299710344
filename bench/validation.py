"""What pydantic finds wrong, as one line for a user."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.errors import did_you_mean

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


def first_problem(error: ValidationError) -> tuple[ErrorDetails, tuple[str, ...]]:
    """Choose the error to report, an unknown key before all others, and the keys that lead to it."""
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    return first, tuple(step for step in first["loc"] if isinstance(step, str))


def complaint(problem: ErrorDetails, key: str, known: Iterable[str], table: str = "") -> str:
    """Describe one error in a sentence.

    Args:
        problem: as pydantic has it.
        key: the key as the user wrote it.
        known: the keys that could stand in its place.
        table: that it stands in, for an unknown key; empty at the top.
    """
    match problem["type"]:
        case "extra_forbidden":
            where = f" in [{table}]" if table else ""
            return f'unknown key "{problem["loc"][-1]}"{where}; {did_you_mean(str(problem["loc"][-1]), known)}'
        case "missing":
            return f"{key} is missing; add it."
        case _:
            return f"{key} = {problem['input']!r}: {expectation(problem)}."


def expectation(problem: ErrorDetails) -> str:
    """Describe what pydantic wanted, as the end of a sentence: "expected ..."."""
    if problem["type"] == "too_short":
        return "expected at least one value"
    if problem["type"] == "less_than_equal":
        most = problem["ctx"]["le"]
        return f"expected at most {most:,}" if isinstance(most, int) else f"expected at most {most:,.15g}"
    text = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"expected {text[:1].lower()}{text[1:]}"
