"""Process images in chunks, in worker processes, and return results in order.

A chunk always holds the same 64 images and is worked on by one thread, so no bit depends on how many processes there
are. torch's DataLoader runs them; it gets chunk numbers and hands back whole chunks.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import psutil
import torch
from torch.utils.data import DataLoader, Dataset

from bench.errors import BenchError
from bench.machine import WORKER_BYTES, cpus

T = TypeVar("T")
CHUNK_SIZE: Final = 64
ENVIRONMENT: Final = "NOISY_PROMPT_BENCH_LOADERS"
THREADS_VARIABLE: Final = "OMP_NUM_THREADS"


def allowed(most: int | None = None) -> int:
    """Return the processors that loading may use. NOISY_PROMPT_BENCH_LOADERS decides, else `most`, else those of this
    process.

    These are its affinity and quota, and OMP_NUM_THREADS at most: schedulers set it to 1 in their workers, so that a
    trial does not load with its neighbours' processors.

    Raises:
        BenchError: NOISY_PROMPT_BENCH_LOADERS is no number from 0 up.
    """
    named = os.environ.get(ENVIRONMENT)
    if named is not None:
        if not named.isdecimal():
            raise BenchError(f'{ENVIRONMENT}="{named}" is no number of processes; expected 0 or more.')
        return int(named)
    if most is not None:
        return most
    limit = os.environ.get(THREADS_VARIABLE, "").partition(",")[0].strip()
    return min(cpus(), int(limit)) if limit.isdecimal() and int(limit) else cpus()


@dataclass(frozen=True)
class LoaderLimits:
    """LoaderLimits on the processes that load images.

    Attributes:
        processors: that may be used; None as for `allowed`.
        small: pixels up to which a pass ends before processes have started.
        memory: bytes that a process needs.
    """

    processors: int | None = None
    small: int = CHUNK_SIZE * 224 * 224
    memory: int = WORKER_BYTES

    def processes(self, count: int, size: int, device: str = "cpu") -> int:
        """Return the number of processes for a pass over images; 0 works in this process.

        Args:
            count: images.
            size: height and width of what is made of them, in pixels.
            device: of the pass; where it is not the CPU, this process waits for the device and one more is a gain.
        """
        most, least = allowed(self.processors), 2 if device == "cpu" else 1
        if multiprocessing.current_process().daemon or count * size * size <= self.small or most < least:
            return 0
        return max(1, min(most, math.ceil(count / CHUNK_SIZE), psutil.virtual_memory().available // self.memory))

    def threads(self) -> int:
        """Return the number of threads that decode a batch here, at least 1."""
        return max(1, allowed(self.processors))


DEFAULT_LIMITS: Final = LoaderLimits()


def in_order(work: Callable[[range], T], count: int, processes: int = 0, pin: bool = False) -> Iterator[T]:
    """Yield the result of `work` on each chunk of `count` positions, in order.

    Args:
        work: called in a worker process, with one thread; pure.
        count: positions.
        processes: how many; 0 for none.
        pin: whether tensors are handed over in pinned memory.

    Raises:
        BenchError: `work` raised it, in whichever process; or a process was killed.
        MemoryError, RuntimeError: `work` raised that, or something else.
    """
    chunks = _Chunks(work, count)
    if not processes:
        for number in range(len(chunks)):
            with one_intra_op_thread():
                done = work(chunks.positions(number))
            yield done
        return
    results = _started(chunks, processes, pin)
    try:
        for _ in range(len(chunks)):
            found = _next(results)
            if isinstance(found, _Failure):
                raise found.error()
            yield found
    finally:
        del results  # ends the processes now; a later fork would inherit what the garbage collector has not found yet


def _next(results: Iterator[T]) -> T:
    """Return the next chunk, or raise BenchError where its process is gone."""
    try:
        return next(results)
    except RuntimeError as error:  # torch's
        reason = " ".join(str(error).split())
        raise BenchError(
            f"a process that loads images was lost ({reason}); set {ENVIRONMENT}=0, or free memory, and run again."
        ) from error.with_traceback(None)  # its frames hold `results`


def _started(chunks: _Chunks[T], processes: int, pin: bool) -> Iterator[T | _Failure]:
    """Start the worker processes. On Linux they are forked, and share the weights of a backbone with this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of more processes than processors; of a fork beside threads that do nothing
        loader: DataLoader[Any] = DataLoader(
            chunks, batch_size=None, num_workers=processes, collate_fn=_same, pin_memory=pin, prefetch_factor=2,
            multiprocessing_context="fork" if sys.platform == "linux" else None, generator=torch.Generator(),
        )  # fmt: skip
        return iter(loader)


@contextmanager
def one_intra_op_thread() -> Iterator[None]:
    """Limit torch to one thread, and restore its setting afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Failure:
    """Exception in transit between processes.

    An exception object may not survive pickling, and torch would add its traceback.
    """

    kind: str
    text: str

    @classmethod
    def of(cls, error: Exception) -> _Failure:
        kind = next((kind.__name__ for kind in (BenchError, MemoryError) if isinstance(error, kind)), "")
        text = str(error) if kind else f"{type(error).__name__}: {error}"
        return cls(kind, text)

    def error(self) -> Exception:
        kinds: dict[str, type[Exception]] = {"BenchError": BenchError, "MemoryError": MemoryError}
        return kinds.get(self.kind, RuntimeError)(self.text)


class _Chunks(Dataset[Any], Generic[T]):
    """Data set that maps chunk numbers to the result of `work` on their positions."""

    def __init__(self, work: Callable[[range], T], count: int) -> None:
        self.work, self.count = work, count

    def __len__(self) -> int:
        return math.ceil(self.count / CHUNK_SIZE)

    def positions(self, number: int) -> range:
        return range(number * CHUNK_SIZE, min((number + 1) * CHUNK_SIZE, self.count))

    def __getitem__(self, number: int) -> T | _Failure:
        try:
            return self.work(self.positions(number))
        except Exception as error:  # noqa: BLE001 - it is raised again in the process that asked
            return _Failure.of(error)


def _same(value: T) -> T:
    """Return the batch unchanged. torch would make tensors of arrays otherwise, and send them through shared memory."""
    return value
