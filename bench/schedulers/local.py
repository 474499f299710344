"""Run packs in a few processes of this machine."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from bench.schedulers.contract import Pack, Report
from bench.schedulers.work import Work
from bench.schedulers.worker import POLL_SECONDS, Worker


@dataclass(frozen=True)
class Local:
    """Pool of single-threaded worker processes. Even a single worker is a process of its own.

    Attributes:
        gpus: GPUs of this machine that may be used. Each worker sees one of them, and all have equally many workers.
    """

    gpus: int = 0

    def run(self, packs: Sequence[Pack], work: Work, workers: int, report: Report, stop: Callable[[], bool]) -> None:
        """Run every pack once; see the contract in `bench.schedulers.work`."""
        waiting, team = deque(packs), list[Worker]()
        try:
            while (waiting or any(worker.pack for worker in team)) and not stop():
                while waiting and len(team) < workers:
                    team.append(Worker(work, self._gpu(team)))
                for worker in team:
                    if not worker.pack and waiting:
                        worker.give(waiting.popleft())
                _collect(team, report)
        finally:
            for worker in team:
                worker.end()

    def _gpu(self, team: Sequence[Worker]) -> str:
        """Choose the GPU of the fewest workers, as CUDA_VISIBLE_DEVICES names it; "" where there is no choice."""
        if self.gpus < 2:
            return ""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(self.gpus)))
        busy = Counter(worker.gpu for worker in team)
        return min((name.strip() for name in visible.split(",")[: self.gpus]), key=lambda name: busy[name])


def _collect(team: list[Worker], report: Report) -> None:
    """Collect results; replace dead workers."""
    pipes: list[Any] = [worker.pipe for worker in team if worker.pack]
    wait(pipes, timeout=POLL_SECONDS)
    for worker in [worker for worker in team if worker.pack]:
        outcomes = worker.collected()
        if outcomes is None:
            continue
        if not worker.usable:
            worker.end()
            team.remove(worker)
        for outcome in outcomes:
            report(outcome)
