"""Settings, store and plugins that a verb was given."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from bench import console
from bench.cli.app import DEFAULT_GRID
from bench.errors import BenchError
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

    def load(self) -> Config:
        """The settings, with plugins imported and `--set` laid over the grid."""
        for plugin in self.plugins or ():
            load_plugin_file(plugin)
        read_plugins()
        config = load_config(self.config)
        config = override(config, self.grid or DEFAULT_GRID, self.sets or ()) if self.sets or self.grid else config
        origins = dict.fromkeys(config.layers.origins.values())
        layers = [f"{PACKAGED} ({packaged_file()})" if name == PACKAGED else name for name in origins]
        console.detail(f"settings: {', then '.join(layers)}")
        return config

    def open(self, config: Config) -> Store:
        """The store that was named, or the settings' own."""
        store = Store(self.store or config.settings.paths.store)
        origin = "--store" if self.store else f"paths.store, {config.layers.origin(('paths', 'store'))}"
        console.detail(f"store: {store.root} ({origin})")
        return store

    def existing(self, config: Config) -> Store:
        """As `open`.

        Raises:
            BenchError: it does not exist.
        """
        store = self.open(config)
        if not store.exists():
            raise BenchError(f'store "{store.root}" does not exist; run `bench run` first, or change --store.')
        return store

    def flags(self) -> str:
        """The options that lead another verb to the same store, as a shell takes them."""
        given = [("store", self.store), ("config", self.config), *(("plugin", plugin) for plugin in self.plugins or ())]
        return "".join(f" --{name} {shlex.quote(value)}" for name, value in given if value)
