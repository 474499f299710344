"""Diagnoses of an examination, and what is examined."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bench.data.library import Library
from bench.settings.schema import Config, GridTable

State: TypeAlias = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was examined.

    Attributes:
        check: what it is about, a word or two.
        state: "problem" must be mended, "note" is worth knowing.
        found: a clause without a full stop.
        mend: the command, or the step, that mends it; empty where nothing is to do.
    """

    check: str
    state: State
    found: str
    mend: str = ""


def judged(check: str, found: str, problem: bool, mend: str) -> Diagnosis:
    """Build the diagnosis of what is a problem or not; `mend` is told of a problem alone."""
    return Diagnosis(check, "problem" if problem else "ok", found, mend if problem else "")


@dataclass(frozen=True)
class Subject:
    """What is examined.

    Attributes:
        config: the settings, with `--set` laid over the grid.
        grid: name of a grid of the settings.
        store: folder or URL of records.
    """

    config: Config
    grid: str
    store: str

    @property
    def table(self) -> GridTable:
        """Settings of the grid."""
        return self.config.settings.grid[self.grid]

    @property
    def library(self) -> Library:
        """Opener of the data sets of the settings."""
        return Library.of(self.config.settings.dataset)


Check: TypeAlias = Callable[[Subject], Iterable[Diagnosis]]
