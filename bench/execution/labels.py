"""Draw the labels of a grid's cells as a run would draw them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bench import dataset_name
from bench.contracts.dataset import Dataset, SplitName
from bench.contracts.noise import Labels
from bench.data.library import Library
from bench.engine.labelling import FEW, draw, scene_of
from bench.engine.labellings import Combination
from bench.errors import BenchError
from bench.execution.execute import trial_settings
from bench.machine import this_machine
from bench.records.cell import Cell, noise_text
from bench.settings.schema import Config

if TYPE_CHECKING:
    from bench.engine.resources import TrialSettings


class Drawing:
    """Drawer of labels, with the data, encoders and settings of a run of the grid."""

    def __init__(self, config: Config, grid: str) -> None:
        self._config, self._grid = config, grid
        self._values = trial_settings(config, grid, "cpu")

    def opened(self, name: str) -> Dataset:
        """Open a data set by name, from the folder in the settings."""
        library: Library = self._values["library"]
        return library.open(name)

    def draw(self, cell: Cell) -> Combination:
        """Draw the labels of a cell.

        Raises:
            BenchError: data are missing, or the kind of noise cannot be applied to them.
        """
        dataset = self.opened(cell.dataset)

        def features(encoder: str, split: SplitName, positions: Labels) -> NDArray[np.float32]:
            from bench.engine.resources import encoder_features
            from bench.engine.trial import one_thread

            with one_thread():
                return encoder_features(dataset, encoder, split, positions, self._settings)

        def texts(encoder: str) -> NDArray[np.float32]:
            from bench.engine.resources import encoder_texts
            from bench.engine.trial import one_thread

            with one_thread():
                return encoder_texts(dataset, encoder, self._settings)

        with threadpool_limits(1):
            few = {split: draw(scene_of(dataset, cell, split, features, texts, self.opened), cell) for split in FEW}
        return Combination(cell, dataset.class_names, few)

    def draw_all(self, cells: Iterable[Cell]) -> tuple[list[Combination], list[str]]:
        """Draw the labels of cells, and return a line for each that cannot be drawn.

        Raises:
            BenchError: none can.
        """
        found: list[Combination] = []
        errors: dict[str, BenchError] = {}
        for cell in cells:
            try:
                found.append(self.draw(cell))
            except BenchError as error:
                errors[f"{dataset_name.shown(cell.dataset)} · {noise_text(cell.noise, cell.rate)}: {error}"] = error
        if not found:
            raise next(iter(errors.values()))
        return found, list(errors)

    @cached_property
    def _settings(self) -> TrialSettings:
        """Settings as a trial has them. They are made with the first encoder, because torch comes with it."""
        from bench.engine.resources import TrialSettings

        device = "cuda" if this_machine(self._config.settings.grid[self._grid].device).gpus else "cpu"
        return TrialSettings(**{**self._values, "device": device})
