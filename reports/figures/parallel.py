"""Figures drawn by several processes, the same ones whatever their number."""

from __future__ import annotations

import multiprocessing
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeAlias

from bench.errors import BenchError
from bench.processes import may_fork
from bench.reports.document import Drawn

Job: TypeAlias = Callable[[], list[Drawn]]
FEW = 12  # jobs that are done before processes have paid
_JOBS: Sequence[Job] = ()  # of this process, and of those forked from it


def perform(jobs: Sequence[Job], most: int, processes: int = 1) -> tuple[list[Drawn], int]:
    """Run the jobs in order until there are `most` figures.

    Args:
        jobs: each draws some figures, perhaps none.
        most: figures from which on no further job is begun.
        processes: how many; more than one only where they can be forked, since jobs are not sent but inherited.

    Returns:
        The figures, and how many jobs were done for them. Figures that a process drew beyond are removed.

    Raises:
        BenchError: a process was killed.
    """
    if processes < 2 or len(jobs) < FEW or not may_fork():
        return _here(jobs, most)
    with _forked(jobs, processes) as executor:
        try:
            return _there(executor, len(jobs), most, 2 * processes)
        except BrokenProcessPool as error:
            raise BenchError(f"a process that draws figures was lost ({error}); free memory and run again.") from error


def _here(jobs: Sequence[Job], most: int) -> tuple[list[Drawn], int]:
    drawn: list[Drawn] = []
    for number, job in enumerate(jobs):
        if len(drawn) >= most:
            return drawn, number
        drawn += job()
    return drawn, len(jobs)


def _there(executor: ProcessPoolExecutor, count: int, most: int, ahead: int) -> tuple[list[Drawn], int]:
    drawn: list[Drawn] = []
    waiting: deque[Future[list[Drawn]]] = deque()
    begun = done = 0
    while True:
        while begun < count and len(waiting) < ahead and len(drawn) + len(waiting) < most:
            waiting.append(executor.submit(_perform, begun))
            begun += 1
        if not waiting:
            return drawn, done
        found = waiting.popleft().result()
        if len(drawn) < most:
            drawn += found
            done += 1
        else:
            for path in (path for figure in found for path in figure.files):
                path.unlink()


@contextmanager
def _forked(jobs: Sequence[Job], processes: int) -> Iterator[ProcessPoolExecutor]:
    global _JOBS  # noqa: PLW0603 - the only way into a forked process without pickling
    before, _JOBS = _JOBS, jobs
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, which draw nothing
            with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as executor:
                yield executor
    finally:
        _JOBS = before


def _perform(number: int) -> list[Drawn]:
    return _JOBS[number]()
