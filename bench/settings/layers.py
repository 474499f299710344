"""Merge TOML settings files key by key, and remember the source of each value.

Nothing but the standard library is imported here, so that listing the grids answers at once.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from bench.errors import BenchError
from bench.files import is_file
from bench.toml_text import parse_toml

NAME = "bench.toml"
PACKAGED = "packaged"
Table: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, ...]


@dataclass
class Layers:
    """Merged settings.

    Attributes:
        values: the nested tables, the last layer's value at each key.
        origins: the layer of each value, by the path of its key.
    """

    values: Table = field(default_factory=dict)
    origins: dict[Place, str] = field(default_factory=dict)

    def lay(self, table: Mapping[str, Any], origin: str, place: Place = ()) -> None:
        """Lay `table` over the current values: tables merge, everything else replaces."""
        here = self.at(place)
        for key, value in table.items():
            if isinstance(value, Mapping):
                if not isinstance(here.setdefault(key, {}), dict):
                    here[key] = {}
                self.lay(value, origin, (*place, key))
            else:
                here[key] = value
                self.origins = {p: o for p, o in self.origins.items() if p[: len(place) + 1] != (*place, key)}
                self.origins[(*place, key)] = origin

    def at(self, place: Place) -> Table:
        """Return the table at a path of keys, created where there is none."""
        here = self.values
        for key in place:
            here = here.setdefault(key, {})
        return here

    def origin(self, place: Place) -> str:
        """Return the layer of a value, or of the nearest value under or above it."""
        for length in range(len(place), 0, -1):
            for known, origin in self.origins.items():
                if known[:length] == place[:length]:
                    return origin
        return PACKAGED

    def flat(self) -> Iterator[tuple[Place, Any, str]]:
        """List path, value and layer of every value, in the order of the files."""
        yield from self._flat(self.values, ())

    def _flat(self, table: Table, place: Place) -> Iterator[tuple[Place, Any, str]]:
        for key, value in table.items():
            if isinstance(value, dict):
                yield from self._flat(value, (*place, key))
            else:
                yield (*place, key), value, self.origins[(*place, key)]


def packaged_file() -> Path:
    """Return the file of default settings: inside an installed package, or at the root of a checkout.

    Raises:
        BenchError: neither is there.
    """
    package = Path(__file__).parents[1]
    for candidate in (package / NAME, package.parent / NAME):
        if candidate.is_file():
            return candidate
    raise BenchError(f"the packaged {NAME} is missing; install noisy-prompt-bench again.")


def packaged_layers() -> Layers:
    """Read the packaged settings alone."""
    layers = Layers()
    layers.lay(read_toml(packaged_file(), NAME), PACKAGED)
    return layers


def read_layers(config: str | None = None) -> Layers:
    """Read the packaged settings, overlaid by the file `config`, or by ./bench.toml if it exists.

    Raises:
        BenchError: a file is missing or is not TOML.
    """
    packaged, layers = packaged_file(), packaged_layers()
    overlay = Path(config or NAME)
    if not is_file(overlay) and (config is not None or os.path.lexists(overlay)):
        found = "is no file" if os.path.lexists(overlay) else "does not exist"
        raise BenchError(f'settings file "{overlay}" {found}; give the path of a TOML file.')
    if is_file(overlay) and not overlay.samefile(packaged):
        layers.lay(read_toml(overlay, str(overlay)), str(overlay))
    return layers


def read_toml(file: Path, shown: str) -> Table:
    """Read the tables of one file; `shown` is its name in messages.

    Raises:
        BenchError: it cannot be read, or is not TOML; names the line.
    """
    try:
        return parse_toml(file.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f"{shown} is not valid TOML: {error}; correct that line.") from error
    except UnicodeDecodeError as error:
        raise BenchError(f"{shown} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except OSError as error:
        raise BenchError(f"{shown} cannot be read: {error.strerror}.") from error
