"""Chunks of work in other processes: the same results in the same order, and errors that are one line."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bench import machine
from bench.errors import BenchError
from bench.images.loader import CHUNK_SIZE, ENVIRONMENT, LoaderLimits, allowed, in_order


def squares(positions: range) -> dict[str, Any]:
    return {"squares": np.array(positions) ** 2, "threads": torch.get_num_threads(), "process": os.getpid()}


@pytest.mark.parametrize("count", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE + 5])
@pytest.mark.parametrize("workers", [0, 2])
def test_chunks_come_in_order_and_with_one_thread(count: int, workers: int) -> None:
    before = torch.get_num_threads()
    found = list(in_order(squares, count, workers if count else 0))
    assert [len(chunk["squares"]) for chunk in found] == [CHUNK_SIZE] * (count // CHUNK_SIZE) + [count % CHUNK_SIZE] * (
        count % CHUNK_SIZE > 0
    )
    assert [n for chunk in found for n in chunk["squares"].tolist()] == [n**2 for n in range(count)]
    assert {chunk["threads"] for chunk in found} <= {1}
    assert torch.get_num_threads() == before
    if workers and count:
        assert os.getpid() not in {chunk["process"] for chunk in found}


def test_no_global_generator_is_drawn_from() -> None:
    before = torch.random.get_rng_state()
    list(in_order(squares, 2 * CHUNK_SIZE, 1))
    assert torch.equal(torch.random.get_rng_state(), before)


def failing(error: Exception) -> Callable[[range], int]:
    def work(positions: range) -> int:
        if CHUNK_SIZE in positions:
            raise error
        return positions[0]

    return work


class Stubborn(Exception):
    """Cannot be pickled and made again."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (BenchError('image "a/b.jpg" cannot be decoded; put it right.'), BenchError, '^image "a/b.jpg" cannot'),
        (MemoryError("no room"), MemoryError, "^no room$"),
    ],
)
def test_an_error_arrives_as_it_was(workers: int, error: Exception, kind: type[Exception], message: str) -> None:
    results = in_order(failing(error), 3 * CHUNK_SIZE, workers)
    assert next(results) == 0
    with pytest.raises(kind, match=message) as caught:
        next(results)
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children(), "processes end with the pass, whoever holds the error"


def test_an_error_that_does_not_travel_arrives_as_text() -> None:
    with pytest.raises(RuntimeError, match=r"^Stubborn: 1 and 2$"):
        list(in_order(failing(Stubborn(1, 2)), 3 * CHUNK_SIZE, 1))


def test_a_process_that_is_killed_is_one_line() -> None:
    def work(positions: range) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(BenchError, match="a process that loads images was lost") as caught:
        list(in_order(work, 3 * CHUNK_SIZE, 1))
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()


def daemonic(results: Any) -> None:
    results.put(LoaderLimits(4).processes(10**6, 224))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_how_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    six, one = LoaderLimits(6, memory=1), LoaderLimits(1, memory=1)
    assert six.processes(10**4, 224) == 6
    assert six.processes(3 * CHUNK_SIZE, 224) == 3, "no more than there are chunks"
    assert six.processes(900, 32) == 0, "what fits in memory and is small is done here"
    assert one.processes(10**4, 224) == 0, "on one processor nothing is gained"
    assert one.processes(10**4, 224, "cuda") == 1, "where this process waits for the device something is"
    assert LoaderLimits(6, memory=2**60).processes(10**4, 224) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert (allowed(), LoaderLimits().processes(10**4, 224), LoaderLimits().threads()) == (1, 0, 1)
    monkeypatch.setenv(ENVIRONMENT, "3")
    assert (allowed(), allowed(5)) == (3, 3)
    monkeypatch.setenv(ENVIRONMENT, "many")
    with pytest.raises(BenchError, match=f'{ENVIRONMENT}="many" is no number'):
        allowed()
    monkeypatch.delenv(ENVIRONMENT)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=daemonic, args=(results,), daemon=True)
    process.start()
    assert results.get(timeout=60) == 0, "a daemon may have no children"
    process.join()


def test_this_machines_processors_are_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1000000,2")
    assert allowed() == machine.cpus()
