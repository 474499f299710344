"""Time that one cell has used, alone or as its share of a pack's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TimedOut(TimeoutError):
    """Error of a cell that has used up its time."""


class Stopwatch:
    """Clock of one cell.

    Attributes:
        limit: seconds that the cell may take, or None.
        spent: seconds so far, without those of a run in progress.
    """

    def __init__(self, limit: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit, self.clock, self.spent = limit, clock, 0.0
        self._since: float | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time until the end."""
        self._since = self.clock()
        try:
            yield
        finally:
            self.spent, self._since = self.seconds(), None

    def seconds(self) -> float:
        """Return the seconds so far."""
        return self.spent + (0.0 if self._since is None else self.clock() - self._since)

    def check(self, when: str) -> None:
        """Raise TimedOut past the limit; `when` says how far the run is."""
        if self.limit is not None and self.seconds() > self.limit:
            raise TimedOut(f"used up its time {when}")
