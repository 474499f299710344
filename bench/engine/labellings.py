"""Distinct labellings among the cells of a grid, drawn exactly as a trial draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import dataset_name
from bench.contracts.dataset import SplitName
from bench.contracts.noise import OUTSIDE, NoisyLabels, Sampled
from bench.grid.expansion import Grid
from bench.records.cell import Cell, Role, noise_text

LABELLING_AXES = ("dataset", "noise", "rate", "shots", "seed")  # in the order of display


@dataclass(frozen=True)
class Combination:
    """One labelling: the few shots, by split, of the first cell that is given it."""

    cell: Cell
    class_names: tuple[str, ...]
    few: Mapping[SplitName, Sampled]

    @property
    def noisy(self) -> NoisyLabels:
        """Labels of the training samples."""
        return self.few["train"].noisy

    @property
    def label(self) -> str:
        """Short text for display."""
        cell, noise = self.cell, noise_text(self.cell.noise, self.cell.rate)
        return f"{dataset_name.shown(cell.dataset)} · {noise} · {cell.shots} shots · seed {cell.seed}"

    @cached_property
    def matrix(self) -> NDArray[np.int64]:
        """Counts by true class (rows) and observed class, [C, C]. One more row for foreign images, if any."""
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
        """Return whether another labelling has the same training images, in the same order."""
        return self.cell.dataset == other.cell.dataset and self.images() == other.images()

    def images(self) -> list[tuple[str, int]]:
        """Return data set ("" for the cell's own) and position of each training image."""
        train = self.few["train"]
        guests = np.full(len(train.positions), -1) if train.foreign is None else train.foreign.positions
        other = "" if train.foreign is None else train.foreign.dataset
        pairs = zip(train.positions.tolist(), guests.tolist(), strict=True)
        return [("", own) if guest < 0 else (other, guest) for own, guest in pairs]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Classes with a sample that truly belongs to them, [C]."""
        found: NDArray[np.bool_] = self.matrix[: len(self.class_names)].sum(1) > 0
        return found

    @property
    def unsupported(self) -> list[int]:
        """Classes with samples, but none correctly labelled; none where the truth is unknown."""
        if not self.noisy.truth:
            return []
        seen = self.present | (self.matrix.sum(0) > 0)
        return [int(label) for label in np.flatnonzero(seen & (self.matrix.diagonal() == 0))]

    @property
    def extremes(self) -> tuple[int, int] | None:
        """Classes with the lowest and the highest share of wrong labels; None where the truth is unknown."""
        rates = self.noisy.per_class_rate
        if rates is None or not self.present.any():
            return None
        classes = [int(label) for label in np.flatnonzero(self.present)]
        return min(classes, key=rates.__getitem__), max(classes, key=rates.__getitem__)

    def confusions(self) -> list[tuple[str, str, int]]:
        """List wrong pairs (true, observed, count) by falling count; none where the truth is unknown."""
        if not self.noisy.truth:
            return []
        pairs = sorted(self.noisy.confusion, key=lambda pair: (-pair[2], pair[0], pair[1]))
        return [(self.name(true), self.name(observed), count) for true, observed, count in pairs]

    def name(self, label: int) -> str:
        """Return a class name by its number; foreign images are "outside"."""
        return "outside" if label in (OUTSIDE, len(self.class_names)) else self.class_names[label]


def distinct(grid: Grid) -> list[Cell]:
    """Return one cell for each labelling among those of a grid, in its order."""
    found: dict[tuple[Any, ...], Cell] = {}
    for planned in grid.cells:
        found.setdefault(tuple(getattr(planned.cell, name) for name in Cell.fields_of(Role.LABELS)), planned.cell)
    return list(found.values())
