"""Process state that the operating system keeps."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import cache
from typing import Any

from bench.global_state.item import Item

FILES = {0: "standard input", 1: "standard output", 2: "standard error"}
ALIASES = ("RLIMIT_OFILE",)
BY_LIBRARIES = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")  # scikit-learn sets them when it is imported
TIMERS = ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in BY_LIBRARIES}


def _set_environment(before: dict[str, str]) -> None:
    for name in [name for name in _environment() if name not in before]:
        del os.environ[name]
    os.environ.update(before)
    if hasattr(time, "tzset"):
        time.tzset()  # of TZ


def _handlers() -> dict[str, Any]:
    return {number.name: signal.getsignal(number) for number in _signals()}


@cache
def _signals() -> tuple[signal.Signals, ...]:
    return tuple(number for number in signal.valid_signals() if isinstance(number, signal.Signals))


def _set_handlers(before: dict[str, Any]) -> None:
    """Set signal handlers in the main thread alone. A handler that was not set from Python cannot be set again."""
    for name, handler in before.items():
        if handler is not None and signal.getsignal(signal.Signals[name]) != handler:
            signal.signal(signal.Signals[name], handler)


def _timers() -> dict[str, bool]:
    return {name: signal.getitimer(getattr(signal, name))[0] > 0 for name in TIMERS}


def _stop_timers(before: dict[str, bool]) -> None:
    """Stop timers. A timer that ran before and was stopped cannot be restarted where it was."""
    for name, ran in before.items():
        if not ran:
            signal.setitimer(getattr(signal, name), 0)


def _mask() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def _limits() -> dict[str, tuple[int, int]]:
    import resource

    names = [name for name in dir(resource) if name.startswith("RLIMIT_") and name not in ALIASES]
    return {name: resource.getrlimit(getattr(resource, name)) for name in names}


def _set_limits(before: dict[str, tuple[int, int]]) -> None:
    import resource

    for name, limit in before.items():
        if resource.getrlimit(getattr(resource, name)) != limit:
            resource.setrlimit(getattr(resource, name), limit)


def _files() -> dict[str, tuple[int, int] | None]:
    found: dict[str, tuple[int, int] | None] = {}
    for number, name in FILES.items():
        try:
            state = os.fstat(number)
            found[name] = (state.st_dev, state.st_ino)
        except OSError:
            found[name] = None
    return found


def _threads() -> dict[str, Any]:
    """Return threads that were started from Python, by name."""
    return {thread.name: thread for thread in threading.enumerate()}


PROCESS: tuple[Item, ...] = (
    Item("working directory", os.getcwd, os.chdir),
    Item("umask", _umask, os.umask),
    Item("environment variables", _environment, _set_environment),
    Item("open standard streams", _files),
    Item("threads", _threads, entries="new"),
)
if sys.platform != "win32":
    PROCESS += (
        Item("signal handlers", _handlers, _set_handlers),
        Item("timers", _timers, _stop_timers),
        Item("signal mask", _mask, lambda before: signal.pthread_sigmask(signal.SIG_SETMASK, before)),
        Item("resource limits", _limits, _set_limits),
        Item(
            "priority",
            lambda: os.getpriority(os.PRIO_PROCESS, 0),
            lambda before: os.setpriority(os.PRIO_PROCESS, 0, before),
        ),
    )
if sys.platform == "linux":
    PROCESS += (
        Item("processor affinity", lambda: os.sched_getaffinity(0), lambda before: os.sched_setaffinity(0, before)),
    )
