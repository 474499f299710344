"""A job that another process does while this one goes on, where the system can fork."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from bench.machine import cpus
from bench.processes import may_fork

T = TypeVar("T")


def begin(job: Callable[[], T]) -> Callable[[], T]:
    """Start a job in a forked process, and return what waits for its result.

    The job is done when its result is asked for where nothing can be forked, where there is one processor, and where
    the process was lost or the job failed in it.
    """
    if cpus() < 2 or not may_fork():
        return job
    context = multiprocessing.get_context("fork")  # the job is not sent but inherited
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(job, receiver, sender), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, which have nothing to do
        try:
            process.start()
        except OSError:  # where the limit of processes, or the memory, is reached
            return job
    sender.close()

    def result() -> T:
        try:
            found: T = receiver.recv()
        except (EOFError, OSError):
            return job()
        finally:
            receiver.close()
            process.join()
        return found

    return result


def _do(job: Callable[[], Any], receiver: Connection, sender: Connection) -> None:
    receiver.close()  # so that nobody is written to once the process that asks has gone
    try:
        sender.send(job())
    except BaseException:  # noqa: BLE001 - the process that asks does the job again, and tells what is wrong
        os._exit(1)
