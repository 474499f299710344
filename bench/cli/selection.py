"""Settings, store and plugins that a verb was given."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench import console
from bench.cli.app import DEFAULT_GRID
from bench.errors import BenchError
from bench.files import local_path
from bench.grid.code import read_plugins
from bench.grid.overrides import override
from bench.records.store import Store
from bench.registry import load_plugin_file
from bench.settings.layers import PACKAGED, packaged_file
from bench.settings.schema import Config, load_config


@dataclass(frozen=True)
class Selection:
    """Options that several verbs share; None where the user named none."""

    grid: str | None = None
    sets: Sequence[str] | None = None
    store: str | None = None
    config: str | None = None
    plugins: Sequence[str] | None = None

    @cached_property
    def configuration(self) -> Config:
        """Settings with `--set` laid over the grid; plugins are imported first."""
        for plugin in self.plugins or ():
            load_plugin_file(plugin)
        read_plugins()
        config = load_config(self.config)
        config = override(config, self.grid or DEFAULT_GRID, self.sets or ()) if self.sets or self.grid else config
        origins = dict.fromkeys(config.layers.origins.values())
        layers = [f"{PACKAGED} ({packaged_file()})" if name == PACKAGED else name for name in origins]
        console.detail(f"settings: {', then '.join(layers)}")
        return config

    def open(self) -> Store:
        """Open the store that was named, or that of the settings."""
        config = self.configuration
        store = Store(self.store or config.settings.paths.store)
        origin = "--store" if self.store else f"paths.store, {config.layers.origin(('paths', 'store'))}"
        console.detail(f"store: {store.root} ({origin})")
        return store

    def existing(self) -> Store:
        """Open the store. Raises BenchError where it does not exist."""
        store = self.open()
        if not store.exists():
            raise BenchError(f'store "{store.root}" does not exist; run `bench run` first, or change --store.')
        return store

    def flags(self) -> str:
        """Format the options that lead another verb to the same store, for a shell."""
        given = [("store", self.store), ("config", self.config), *(("plugin", plugin) for plugin in self.plugins or ())]
        return "".join(f" --{name} {shlex.quote(value)}" for name, value in given if value)

    def flags_to(self, name: str) -> str:
        """Format the options of a verb that writes a folder. It has to be named where the store is a URL."""
        root = self.store or self.configuration.settings.paths.store
        return self.flags() + (f" --out {name}" if "://" in root else "")


def with_pack(sets: Sequence[str] | None, pack: int | None) -> Sequence[str] | None:
    """Add the option `--pack` to those of `--set`, as which it is laid over the grid."""
    return sets if pack is None else [*(sets or ()), f"pack={pack}"]


@contextmanager
def writing(option: str, path: str) -> Iterator[None]:
    """Convert an OSError into a BenchError that names the option whose path cannot be written."""
    try:
        yield
    except OSError as error:
        raise BenchError(f'{option} "{path}" cannot be written: {error.strerror}; give another path.') from error


def report_folder(root: str, out: str | None, name: str) -> Path:
    """Choose the folder of a store's report: `out`, or one of this name in the store.

    Raises:
        BenchError: the store is a URL and no folder is given, or a file is there.
    """
    if out is None and "://" in root:
        raise BenchError(f'store "{root}" is a URL; name the folder of the {name} with --out.')
    return local_path(out or Path(root) / name, "--out")
