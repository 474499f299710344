"""Measure which part of the engine a cell's time goes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

from bench.clip.backbone import Backbone
from bench.engine import loop
from bench.engine.audit import Audit
from bench.engine.member import Member
from bench.engine.pack import Pack
from bench.perf.timing import Clock, clock_of
from bench.perf.workload import Scale, Workload

EPOCHS = 5
REST = "rest"
# The engine's functions by part; what one calls of another part counts there.
PARTS: Mapping[str, Sequence[tuple[Any, str]]] = {
    "set-up": ((Workload, "members"),),
    "batches": ((Member, "begin_epoch"), (Member, "open_phase"), (Member, "gather"), (Member, "close_phase")),
    "forward and backward": ((Member, "train_alone"), (Pack, "train")),
    "stacking": ((Pack, "__init__"),),
    "optimizer": ((Member, "finish"), (Pack, "finish"), (Member, "read_losses")),
    "predictions": ((Member, "prepare"), (Pack, "prepare"), (Member, "predict"), (Member, "probe")),
    "audit": ((loop, "measure"), (Audit, "append"), (Member, "report")),
}


@dataclass(frozen=True)
class CellParts:
    """Seconds per member of a cell of `EPOCHS` epochs by part; one member is alone."""

    method: str
    members: int
    seconds: Mapping[str, float]


def cell_parts(
    method: str, scale: Scale, backbone: Backbone, members: Sequence[int], clock: Clock | None = None
) -> list[CellParts]:
    """Run cells of a method, for each number of members in lockstep; the first time is warm-up."""
    work, clock = Workload(method, scale, backbone, EPOCHS), clock or clock_of(backbone.device)
    Workload(method, scale, backbone).run_cells(1)
    found = []
    for count in members:
        shares = _Shares(clock)
        with shares.watching():
            work.run_cells(count)
        found.append(CellParts(method, count, {part: spent / count for part, spent in shares.spent.items()}))
    return found


class _Shares:
    """Time by part; while one part calls another, only the inner one's goes on."""

    def __init__(self, clock: Clock) -> None:
        self.spent: dict[str, float] = {}
        self._clock, self._part, self._since = clock, REST, 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note the time of the functions of `PARTS`."""
        before = [(kind, name, vars(kind)[name]) for functions in PARTS.values() for kind, name in functions]
        parts = [part for part, functions in PARTS.items() for _ in functions]
        for (kind, name, function), part in zip(before, parts, strict=True):
            setattr(kind, name, self._noting(part, function))
        self.spent, self._since = dict.fromkeys((*PARTS, REST), 0.0), self._clock()
        try:
            yield
            self._switch(REST)
        finally:
            for kind, name, function in before:
                setattr(kind, name, function)

    def _noting(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def called(*arguments: Any, **named: Any) -> Any:
            outer = self._switch(part)
            try:
                return function(*arguments, **named)
            finally:
                self._switch(outer)

        return called

    def _switch(self, part: str) -> str:
        """Count the time since the last switch for the part in hand; returns that one."""
        outer, read = self._part, self._clock()
        self.spent[outer] += read - self._since
        self._part, self._since = part, read
        return outer
