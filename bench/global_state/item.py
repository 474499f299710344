"""Items of global state: how each is read and restored."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Item:
    """Item of global state.

    Attributes:
        name: for people.
        read: its value now, comparable; of a dictionary the entries that differ are named.
        write: puts a value back; None where nothing can.
        module: it is looked at only where this module is imported.
        draws: a random generator's position, which is put back to the bit.
        quiet: not worth a word, since libraries change it whenever they are imported.
        entries: which differences of a dictionary count: of "all" entries, of the "old" ones that were there before, or
            of "new" ones alone.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object] | None = None
    module: str = "builtins"
    draws: bool = False
    quiet: bool = False
    entries: Literal["all", "old", "new"] = "all"


def attributes(name: str, module: str, *names: str) -> Item:
    """Build one item of the attributes of a module."""

    def read() -> dict[str, Any]:
        return {one: getattr(sys.modules[module], one) for one in names if hasattr(sys.modules[module], one)}

    def write(values: dict[str, Any]) -> None:
        for one, value in values.items():
            if getattr(sys.modules[module], one) != value:
                setattr(sys.modules[module], one, value)

    return Item(name, read, write, module)
