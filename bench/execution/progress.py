"""Track and display the progress of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate

from bench import console
from bench.console import PARTS, duration, line, live
from bench.errors import printable
from bench.execution.packs import makespan
from bench.schedulers.contract import CellOutcome


@dataclass
class Progress:
    """Progress of a run.

    Attributes:
        total: cells to run.
        expected: estimated seconds of each cell, its own share of its pack's, by key.
        workers: at a time.
        packs: keys of each pack.
        done: outcomes so far.
    """

    total: int
    expected: Mapping[str, float]
    workers: int
    packs: Sequence[Sequence[str]] = ()
    done: list[CellOutcome] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def left(self) -> float:
        """Estimate the remaining seconds until the last worker ends, corrected by what cells have taken so far.

        Cells of a pack end together, so that the time between two outcomes tells nothing; their own seconds do. What is
        in hand counts as not begun.
        """
        ended = {outcome.key for outcome in self.done}
        ahead = [sum(self.expected[key] for key in pack if key not in ended) for pack in self.packs]
        return makespan(ahead, self.workers) * self._pace()

    def _pace(self) -> float:
        """Compute the median of seconds over estimates, weighted by these; a worker's first cell waits for imports."""
        timed = [(outcome.seconds, self.expected.get(outcome.key)) for outcome in self.done if outcome.seconds > 0]
        ratios = sorted((seconds / expected, expected) for seconds, expected in timed if expected)
        half = sum(weight for _, weight in ratios) / 2
        passed = accumulate(weight for _, weight in ratios)
        return next((ratio for (ratio, _), sofar in zip(ratios, passed, strict=True) if sofar >= half), 1.0)

    @property
    def elsewhere(self) -> int:
        """Cells that another run has brought to an end."""
        return sum(outcome.elsewhere == "ended" for outcome in self.done)

    def add(self, outcome: CellOutcome) -> None:
        """Count an outcome."""
        self.done.append(outcome)


Listener = Callable[[CellOutcome, Progress], None]


@contextmanager
def shown(total: int, labels: dict[str, str]) -> Iterator[Callable[[CellOutcome, Progress], None]]:
    """Display the outcomes of a run: a bar on a terminal, else lines.

    There is one per tenth and per unfinished cell; with --verbose every cell has one.
    """
    if not live():
        yield _plain_listener(labels)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    screen = Console()
    bar = Bar(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"),
              console=screen, transient=True)  # fmt: skip
    with bar:
        task = bar.add_task("cells", total=total, left="")

        def listen(outcome: CellOutcome, state: Progress) -> None:
            if outcome.status != "done" or console.verbosity.verbose:
                screen.print(_ending(outcome, labels), markup=False, highlight=False, soft_wrap=True)
            bar.update(task, completed=len(state.done), left=f"{duration(state.left())} left")

        yield listen


def _plain_listener(labels: dict[str, str]) -> Callable[[CellOutcome, Progress], None]:
    shown = -1

    def listen(outcome: CellOutcome, state: Progress) -> None:
        nonlocal shown
        if outcome.status != "done" or console.verbosity.verbose:
            line(_ending(outcome, labels))
        part = len(state.done) * PARTS // state.total
        if part > shown:
            shown = part
            line(
                f"{len(state.done)} of {state.total} cells, {duration(state.elapsed)} passed, "
                f"about {duration(state.left())} left"
            )

    return listen


def _ending(outcome: CellOutcome, labels: dict[str, str]) -> str:
    how = f"{outcome.seconds:.1f} s" if outcome.status == "done" else outcome.reason
    by = " (by another run)" if outcome.elsewhere else ""
    on = f" on {outcome.host}" if outcome.host else ""
    return printable(f"{outcome.status}: {labels.get(outcome.key, outcome.key)}: {how}{on}{by}")
