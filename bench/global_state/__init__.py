"""Save the global state of a process before foreign code runs, then compare and restore it.

A plugin that sets torch's default dtype, numpy's error mode or the working directory would change what the next cell of
its worker computes. `items` of the modules below say what is looked at and how it is put back.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from bench.global_state.interpreter import INTERPRETER
from bench.global_state.item import Item
from bench.global_state.libraries import LIBRARIES
from bench.global_state.process import PROCESS

ITEMS = (*INTERPRETER, *PROCESS, *LIBRARIES)
ENTRIES_SHOWN = 4  # entries that are named of one item
_active: list[Guard] = []
_absent = object()


class Guard:
    """Snapshot of this process's state; a context manager that restores it at the end.

    Attributes:
        changed: what was found changed so far, by name, in the order in which it was found.
        spent: whether anything but the position of a random generator was changed: it may not go back, or what was made
            meanwhile (a backbone that was loaded, a thread) bears its mark.
    """

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.spent = False
        self.renew()

    def renew(self) -> None:
        """Update the snapshot with the current state of the items that are kept."""
        self._before = [(item, _read(item)) for item in ITEMS if item.module in sys.modules]

    def put_back(self) -> None:
        """Restore what has changed, and record its name."""
        for item, before in self._before:
            now = _read(item)
            names = _differing(item, before, now)
            if not names:
                continue
            if item.write is not None and before is not _absent:
                with suppress(Exception):  # what cannot be put back is noted all the same
                    item.write(before)
            if item.quiet:
                continue
            name = item.name + _entries(names)
            self.changed += [] if name in self.changed else [name]
            self.spent = self.spent or not item.draws

    def __enter__(self) -> Guard:
        _active.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.put_back()
        _active.remove(self)


def note(name: str) -> None:
    """Record a change that was found elsewhere with the innermost guard."""
    if _active:
        _active[-1].changed.append(name)
        _active[-1].spent = True


def put_back() -> None:
    """Restore what has changed since the innermost guard began, before shared results are computed."""
    if _active:
        _active[-1].put_back()


def _read(item: Item) -> Any:
    try:
        return item.read()
    except Exception:  # noqa: BLE001 - a state that cannot be read (the working directory is gone) is another state
        return _absent


def _differing(item: Item, before: Any, now: Any) -> list[str]:
    """Return names of the entries that differ; the empty name where values have no entries."""
    if before is now:
        return []
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if _equal(before, now) else [""]
    names = {"all": dict.fromkeys((*before, *now)), "old": before, "new": now}[item.entries]
    return [str(name) for name in names if not _equal(before.get(name, _absent), now.get(name, _absent))]


def _equal(before: Any, now: Any) -> bool:
    try:
        return before is now or bool(before == now)
    except Exception:  # noqa: BLE001 - what cannot be compared is something else
        return False


def _entries(names: Sequence[str]) -> str:
    """Format entries as " (one, two, …)"; empty where there are none."""
    return f" ({', '.join(names[:ENTRIES_SHOWN])}{', …' if len(names) > ENTRIES_SHOWN else ''})" if names[0] else ""
