"""The distinct labellings among the cells of a grid, drawn as a trial draws them: what every method is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bench.cell import Cell, noise_text
from bench.config import Config
from bench.data import named
from bench.data.base import Dataset, SplitName
from bench.data.library import Library
from bench.errors import BenchError
from bench.execute import trial_settings
from bench.grid import Grid
from bench.labels import draw, scene_of
from bench.machine import this_machine
from noise.base import OUTSIDE, Labels, NoisyLabels, Sampled

if TYPE_CHECKING:
    from bench.material import Settings

FEW: tuple[SplitName, ...] = ("train", "validation")
AXES = ("dataset", "noise", "rate", "shots", "seed")


@dataclass(frozen=True)
class Combination:
    """One labelling.

    Attributes:
        cell: the first of the cells that are given it; its method plays no part.
        class_names: C names.
        few: training and validation samples.
    """

    cell: Cell
    class_names: tuple[str, ...]
    few: Mapping[SplitName, Sampled]

    @property
    def noisy(self) -> NoisyLabels:
        """Labels of the training samples."""
        return self.few["train"].noisy

    @property
    def label(self) -> str:
        """A short text for people."""
        cell = self.cell
        noise = noise_text(cell.noise, cell.rate)
        return f"{named.shown(cell.dataset)} · {noise} · {cell.shots} shots · seed {cell.seed}"

    @cached_property
    def matrix(self) -> NDArray[np.int64]:
        """Training samples by true class (rows) and observed class, [C, C]; one more row for foreign images, if any."""
        noisy, classes = self.noisy, len(self.class_names)
        rows = np.where(noisy.true == OUTSIDE, classes, noisy.true)
        counts = np.zeros((classes + int((rows == classes).any()), classes), dtype=np.int64)
        np.add.at(counts, (rows, noisy.observed), 1)
        return counts

    @property
    def has_outside(self) -> bool:
        """Whether there are foreign images."""
        return len(self.matrix) > len(self.class_names)

    def same_images(self, other: Combination) -> bool:
        """Whether the training images are those of another one, in the same order."""
        return self.cell.dataset == other.cell.dataset and self.images() == other.images()

    def images(self) -> list[tuple[str, int]]:
        """Data set ("" for the cell's own) and position of each training image."""
        train = self.few["train"]
        guests = np.full(len(train.positions), -1) if train.foreign is None else train.foreign.positions
        other = "" if train.foreign is None else train.foreign.dataset
        pairs = zip(train.positions.tolist(), guests.tolist(), strict=True)
        return [("", own) if guest < 0 else (other, guest) for own, guest in pairs]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which classes have a sample that is truly of them, [C]."""
        found: NDArray[np.bool_] = self.matrix[: len(self.class_names)].sum(1) > 0
        return found

    @property
    def unsupported(self) -> list[int]:
        """Classes that have samples, truly or by observed label, none of which is both; none where nothing is known."""
        if not self.noisy.truth:
            return []
        seen = self.present | (self.matrix.sum(0) > 0)
        return [int(label) for label in np.flatnonzero(seen & (self.matrix.diagonal() == 0))]

    @property
    def extremes(self) -> tuple[int, int] | None:
        """The classes with the lowest and the highest share of wrong labels; None where the truth is unknown."""
        rates = self.noisy.per_class_rate
        if rates is None or not self.present.any():
            return None
        classes = [int(label) for label in np.flatnonzero(self.present)]
        return min(classes, key=rates.__getitem__), max(classes, key=rates.__getitem__)

    def confusions(self) -> list[tuple[str, str, int]]:
        """Wrong pairs in words, true, observed and count, the strongest first; none where the truth is unknown."""
        if not self.noisy.truth:
            return []
        pairs = sorted(self.noisy.confusion, key=lambda pair: (-pair[2], pair[0], pair[1]))
        return [(self.name(true), self.name(observed), count) for true, observed, count in pairs]

    def name(self, label: int) -> str:
        """A class by its number; foreign images are "outside"."""
        return "outside" if label in (OUTSIDE, len(self.class_names)) else self.class_names[label]


def distinct(grid: Grid) -> list[Cell]:
    """One cell for each labelling among those of a grid, in its order."""
    found: dict[tuple[Any, ...], Cell] = {}
    for planned in grid.cells:
        cell = planned.cell
        found.setdefault((*(getattr(cell, axis) for axis in AXES), cell.validation), cell)
    return list(found.values())


class Drawing:
    """Draws labels with the data, encoders and settings that a run of the grid would use."""

    def __init__(self, config: Config, grid: str) -> None:
        self._config, self._grid = config, grid
        self._values = trial_settings(config, grid, "cpu")

    def opened(self, name: str) -> Dataset:
        """A data set by name, from where the settings say its files lie."""
        library: Library = self._values["library"]
        return library.open(name)

    def draw(self, cell: Cell) -> Combination:
        """What a cell is given.

        Raises:
            BenchError: data are missing, or the kind of noise cannot be applied to them.
        """
        dataset = self.opened(cell.dataset)

        def features(encoder: str, split: SplitName, positions: Labels) -> NDArray[np.float32]:
            from bench.material import encoder_features
            from bench.trial import one_thread

            with one_thread():
                return encoder_features(dataset, encoder, split, positions, self._settings)

        def texts(encoder: str) -> NDArray[np.float32]:
            from bench.material import encoder_texts
            from bench.trial import one_thread

            with one_thread():
                return encoder_texts(dataset, encoder, self._settings)

        with threadpool_limits(1):
            few = {split: draw(scene_of(dataset, cell, split, features, texts, self.opened), cell) for split in FEW}
        return Combination(cell, dataset.class_names, few)

    def draw_all(self, cells: Iterable[Cell]) -> tuple[list[Combination], list[str]]:
        """What cells are given, and a line for each that cannot be drawn.

        Raises:
            BenchError: none can.
        """
        found: list[Combination] = []
        errors: dict[str, BenchError] = {}
        for cell in cells:
            try:
                found.append(self.draw(cell))
            except BenchError as error:
                errors[f"{named.shown(cell.dataset)} · {noise_text(cell.noise, cell.rate)}: {error}"] = error
        if not found:
            raise next(iter(errors.values()))
        return found, list(errors)

    @cached_property
    def _settings(self) -> Settings:
        """As a trial has them; asked for with the first encoder, because torch comes with it."""
        from bench.material import Settings

        device = "cuda" if this_machine(self._config.settings.grid[self._grid].device).gpus else "cpu"
        return Settings(**{**self._values, "device": device})
