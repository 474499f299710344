"""Worker process that runs pack after pack, watched from outside.

What a cell does to its process, it does to a worker: one that dies costs what its pack has not published, one that
hangs is killed when the time of all cells of its pack is over, one that a cell has left in another state is not used
again. Both schedulers run packs in such processes,
so cells run neither in the driver nor in a process of Ray's.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from types import ModuleType

from bench.errors import BenchError, escape
from bench.records.record import Status
from bench.schedulers.contract import CellOutcome, Pack
from bench.schedulers.signals import die_with, signal_text
from bench.schedulers.work import ONE_THREAD, Work, end_copy

POLL_SECONDS = 0.25
START_SECONDS = 300.0  # at least, that a worker may take before it is ready, on a busy machine
END_SECONDS = 5.0
READY = "ready"
TRACKER = "multiprocessing.resource_tracker"  # ends by itself, once it has tidied up


class Worker:
    """Process that runs packs.

    Args:
        work: on each pack.
        gpu: the only one that it sees, as CUDA_VISIBLE_DEVICES names it; "" leaves it those that this process sees.

    Attributes:
        gpu: as given.
        pipe: to it; something can be read there when `collected` has news.
        pack: in hand, empty where it is free.
        usable: whether it may be given another pack.
    """

    def __init__(self, work: Work, gpu: str = "") -> None:
        self.work, self.gpu, self.usable = work, gpu, True
        self.pack: Pack = ()
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(work, theirs, os.getpid()), name="bench worker")
        with _environment(ONE_THREAD | ({"CUDA_VISIBLE_DEVICES": gpu} if gpu else {})), _without_main():
            self._process.start()
        theirs.close()
        self._since, self._ready = time.monotonic(), False

    def give(self, pack: Pack) -> None:
        """Send a pack. It may still be on its way or dead by now, which `collected` finds out."""
        self.pack, self._since = pack, time.monotonic()
        with suppress(OSError):
            self.pipe.send(pack)

    def collected(self) -> list[CellOutcome] | None:
        """Return the outcomes of the pack in hand; None while it runs. A worker whose time is over is killed."""
        outcomes = self._received() or self._missed()
        if outcomes is not None:
            self.pack = ()
        return outcomes

    def end(self) -> None:
        """Kill the worker, and all processes that it has started."""
        import psutil

        if self._process.is_alive():  # otherwise its number may be another's by now
            with suppress(psutil.Error):
                below = psutil.Process(self._process.pid).children(recursive=True)
                self._process.kill()
                for process in below:
                    with suppress(psutil.Error):
                        if TRACKER not in " ".join(process.cmdline()):
                            process.kill()
        self._process.kill()
        self._process.join()
        self.pipe.close()
        self.usable = False

    def _received(self) -> list[CellOutcome] | None:
        try:
            while self.pipe.poll():
                said = self.pipe.recv()
                if said != READY:
                    outcomes, spent = said
                    if [outcome.key for outcome in outcomes] != [key for key, _ in self.pack]:
                        continue  # of nobody who was asked
                    self.usable = not spent
                    return list(outcomes)
                self._since, self._ready = time.monotonic(), True
        except (EOFError, OSError):
            self._process.join(END_SECONDS)
            return self._lost("failed", f"the worker {_how(self._process.exitcode)} before it left a record")
        return None

    def _missed(self) -> list[CellOutcome] | None:
        """Return the outcomes of a worker that will send none."""
        if not self._process.is_alive():  # a process that it has forked holds the pipe open
            return self._lost("failed", f"the worker {_how(self._process.exitcode)} before it left a record")
        if self.work.limit is None:
            return None
        passed, allowed = time.monotonic() - self._since, self.work.limit * len(self.pack) + self.work.grace
        if not self._ready:
            allowed = max(allowed, START_SECONDS)
            return self._lost("failed", f"the worker was not ready after {allowed:g} s") if passed > allowed else None
        return self._lost("timeout", f"no step ended within {self.work.limit:g} s") if passed > allowed else None

    def _lost(self, status: Status, reason: str) -> list[CellOutcome]:
        self.end()
        return [CellOutcome(key, status, reason, lost=True, died=status != "timeout") for key, _ in self.pack]


def _how(code: int | None) -> str:
    if code is None:
        return "closed its connection"
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal_text(-code)}"


def _serve(work: Work, pipe: Connection, parent: int) -> None:
    """Serve packs until the end. Ctrl-C is the driver's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(parent)
    broken, own = "", os.getpid()
    try:
        work.begin()
    except BenchError as error:
        broken = str(error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the reason why no cell can run
        broken = escape(error)
    end_copy(own)
    gc.collect()
    gc.freeze()  # what was imported is never looked at again, which would cost more than a short cell
    pipe.send(READY)
    while True:
        try:
            pack = pipe.recv()
        except EOFError:
            gc.unfreeze()  # libraries complain of objects that are left at the end
            return
        answer = ([CellOutcome(key, "failed", broken, lost=True) for key, _ in pack], False) if broken else work(pack)
        with suppress(Exception):  # a cell may have closed it
            sys.stdout.flush()
        pipe.send(answer)


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep a new process from importing the main module again. That is a user's script, or the process of Ray's."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
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
