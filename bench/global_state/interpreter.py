"""State of the Python interpreter and of its standard library."""

from __future__ import annotations

import builtins
import decimal
import gc
import locale
import logging
import multiprocessing
import random
import socket
import sys
import threading
import warnings
from typing import Any

from bench.global_state.item import Item, attributes

DECIMAL = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
COLLECTOR = {"enabled": gc.isenabled, "thresholds": gc.get_threshold, "debug": gc.get_debug}


def _collector() -> dict[str, Any]:
    return {name: read() for name, read in COLLECTOR.items()}


def _set_collector(before: dict[str, Any]) -> None:
    (gc.enable if before["enabled"] else gc.disable)()
    gc.set_threshold(*before["thresholds"])
    gc.set_debug(before["debug"])


def _decimal() -> dict[str, Any]:
    context = decimal.getcontext()
    traps = sorted(kind.__name__ for kind, on in context.traps.items() if on)
    return {name: getattr(context, name) for name in DECIMAL} | {"traps": traps}


def _set_decimal(before: dict[str, Any]) -> None:
    context = decimal.getcontext()
    for name in DECIMAL:
        setattr(context, name, before[name])
    for kind in context.traps:
        context.traps[kind] = kind.__name__ in before["traps"]


def _builtins() -> dict[str, Any]:
    return {name: value for name, value in vars(builtins).items() if name != "_"}


def _set_builtins(before: dict[str, Any]) -> None:
    for name in vars(builtins).keys() - before.keys() - {"_"}:
        delattr(builtins, name)
    vars(builtins).update(before)


def _logging() -> tuple[Any, ...]:
    return logging.root.level, tuple(logging.root.handlers), logging.root.manager.disable


def _set_logging(before: tuple[Any, ...]) -> None:
    logging.root.setLevel(before[0])
    logging.root.handlers[:] = before[1]
    logging.disable(before[2])


def _set_path(before: list[str]) -> None:
    sys.path[:] = before


def _set_filters(before: list[Any]) -> None:
    warnings.resetwarnings()  # the public call that also forgets what was decided by the filters of before
    warnings.filters[:] = before  # type: ignore[index] # a list, whatever it is declared as


def _denormal() -> bool:
    """Return whether subnormal numbers are flushed to zero. Only a calculation reveals it."""
    return sys.float_info.min / float(2) == 0


def _set_denormal(before: bool) -> None:
    import torch

    torch.set_flush_denormal(before)


def _rounding() -> tuple[bool, bool]:
    """Return whether sums that lie half-way are rounded to the nearest even number."""
    one, little = float(1), sys.float_info.epsilon / 2
    return one + little == one, -one - little == -one


INTERPRETER: tuple[Item, ...] = (
    Item("builtins", _builtins, _set_builtins),
    Item("trace function", sys.gettrace, sys.settrace),
    Item("profile function", sys.getprofile, sys.setprofile),
    Item("trace function of threads", threading.gettrace, threading.settrace),
    Item("profile function of threads", threading.getprofile, threading.setprofile),
    Item("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Item("switch interval", sys.getswitchinterval, sys.setswitchinterval),
    Item("garbage collector", _collector, _set_collector),
    attributes("streams and hooks", "sys", "stdin", "stdout", "stderr", "excepthook", "unraisablehook", "displayhook"),
    attributes("exception hook of threads", "threading", "excepthook"),
    attributes("compiled modules", "sys", "dont_write_bytecode"),
    Item("sys.path", lambda: list(sys.path), _set_path, quiet=True),
    Item("warning filters", lambda: list(warnings.filters), _set_filters, quiet=True),
    attributes("warnings", "warnings", "showwarning"),
    Item("logging", _logging, _set_logging),
    Item("locale", lambda: locale.setlocale(locale.LC_ALL), lambda before: locale.setlocale(locale.LC_ALL, before)),
    Item("decimal context", _decimal, _set_decimal),
    Item("socket timeout", socket.getdefaulttimeout, socket.setdefaulttimeout),
    Item(
        "start method of processes",
        lambda: multiprocessing.get_start_method(allow_none=True),
        lambda before: multiprocessing.set_start_method(before, force=True),
    ),
    Item("denormal numbers", _denormal, _set_denormal),
    Item("rounding of numbers", _rounding),
    Item("Python's random generator", random.getstate, random.setstate, draws=True),
)
