"""Contract of a scheduler: packs of cells in, outcomes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from bench.errors import BenchError
from bench.records.cell import Cell
from bench.records.record import Status

Pack: TypeAlias = tuple[tuple[str, Cell], ...]

if TYPE_CHECKING:
    from bench.schedulers.work import Work


@dataclass(frozen=True)
class CellOutcome:
    """How one cell ended.

    Attributes:
        lost: its worker did not say so: the driver looks for a record, or has to make one.
        died: it is lost because the worker died, which the cell may have had no part in.
        node: of a cluster, where it died.
        unwritten: why the store takes no record any more, empty where it does.
        host: of a cluster, the name of the node where it ran, for people.
        elsewhere: another run has trained it ("ended"), or is about to ("held"), so that it was not run here.
        handed: the bytes of its record and of the files beside it, by the ending of their names, for the driver to
            write, where its worker does not see the driver's store.
    """

    key: str
    status: Status
    reason: str | None = None
    seconds: float = 0.0
    lost: bool = False
    died: bool = False
    node: str = ""
    unwritten: str = ""
    elsewhere: Literal["", "held", "ended"] = ""
    host: str = ""
    handed: tuple[tuple[str, bytes], ...] = ()


class ClusterLost(BenchError):
    """Loss of the machines that run the cells, in mid-run: an incomplete run (exit code 4).

    Attributes:
        advice: what to do before the same command continues.
    """

    exit_code = 4

    def __init__(self, text: str, advice: str = "start the cluster again, and ") -> None:
        super().__init__(text)
        self.advice = advice


class StoreLost(BenchError):
    """Loss of the store in mid-run, full or no longer writable: an incomplete run (exit code 4)."""

    exit_code = 4


Report: TypeAlias = Callable[[CellOutcome], None]


class Scheduler(Protocol):
    """Runner of packs on workers."""

    def run(self, packs: Sequence[Pack], work: Work, workers: int, report: Report, stop: Callable[[], bool]) -> None:
        """Run every pack once.

        Args:
            packs: keys and cells.
            work: called with each pack in a worker.
            workers: how many packs run at a time, at least 1.
            report: called in the driver, once per cell, as outcomes arrive.
            stop: asked between packs; where it says yes, what runs is abandoned and nothing is started any more. What
                abandoned packs have published stays.

        Raises:
            BenchError: the workers cannot be started.
            ClusterLost: they cannot be reached any more.
            KeyboardInterrupt: after the workers are gone.
        """
