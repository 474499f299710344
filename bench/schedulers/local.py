"""Packs in this process, or in a few processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from bench.schedulers.base import POLL_SECONDS, THREADS, Driver, Outcome, Pack, Report, Work


class Local:
    """One worker: in this process. More: spawned processes, each with a single thread."""

    def run(self, packs: Sequence[Pack], work: Work, workers: int, report: Report, stop: Callable[[], bool]) -> None:
        """Run every pack once; see the contract in `bench.schedulers.base`."""
        if workers > 1:
            _Pool(replace(work, driver=Driver.here()), report, stop).run(packs, workers)
            return
        for pack in packs:
            if stop():
                return
            for outcome in work(pack):
                report(outcome)


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    pack: Pack = ()
    since: float = 0.0


class _Pool:
    """Worker processes that are replaced when they die; only the pack in hand is lost with one."""

    def __init__(self, work: Work, report: Report, stop: Callable[[], bool]) -> None:
        self.work, self.report, self.stop = work, report, stop
        self.workers: list[_Worker] = []

    def run(self, packs: Sequence[Pack], count: int) -> None:
        waiting = deque(packs)
        try:
            while (waiting or any(worker.pack for worker in self.workers)) and not self.stop():
                while waiting and len(self.workers) < count:
                    self.workers.append(_start(self.work))
                for worker in self.workers:
                    if not worker.pack and waiting:
                        worker.pack, worker.since = waiting.popleft(), time.monotonic()
                        _send(worker, worker.pack)
                self._collect()
        finally:
            for worker in self.workers:
                worker.process.terminate()
            for worker in self.workers:
                worker.process.join(5)
                worker.process.kill()
                worker.pipe.close()

    def _collect(self) -> None:
        """Take in what has come back, and bury the dead."""
        pipes: list[Any] = [worker.pipe for worker in self.workers if worker.pack]
        wait(pipes, timeout=POLL_SECONDS)
        for worker in list(self.workers):
            if not worker.pack:
                continue
            outcomes = _received(worker)
            if outcomes is None and worker.process.is_alive():
                if self._overdue(worker):
                    worker.process.kill()
                continue
            if outcomes is None:
                outcomes = self._lost(worker)
                self.workers.remove(worker)
            worker.pack = ()
            for outcome in outcomes:
                self.report(outcome)

    def _overdue(self, worker: _Worker) -> bool:
        limit = self.work.limit
        return limit is not None and time.monotonic() - worker.since > limit * len(worker.pack) + 2 * self.work.grace

    def _lost(self, worker: _Worker) -> list[Outcome]:
        worker.process.join()
        overdue = self._overdue(worker)
        code = worker.process.exitcode or 0
        how = (
            f"was ended by signal {-code} ({signal.Signals(-code).name})"
            if code < 0
            else f"ended with exit code {code}"
        )
        return [
            Outcome(key, "timeout" if overdue else "failed", f"the worker {how} before it left a record", lost=True)
            for key, _ in worker.pack
        ]


def _start(work: Work) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(work, theirs), daemon=True)
    with _environment(THREADS):
        process.start()
    theirs.close()
    return _Worker(process, ours)


def _send(worker: _Worker, pack: Pack) -> None:
    try:
        worker.pipe.send(pack)
    except OSError:  # it died while idle; _collect finds it
        return


def _received(worker: _Worker) -> list[Outcome] | None:
    try:
        if not worker.pipe.poll():
            return None
        outcomes: list[Outcome] = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join(5)
        return None
    return outcomes


def _serve(work: Work, pipe: Connection) -> None:
    """A worker's life; Ctrl-C is the driver's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work.begin()
    while True:
        try:
            pack = pipe.recv()
        except EOFError:
            return
        pipe.send(work(pack))


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
