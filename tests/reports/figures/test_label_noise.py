"""Figures of label noise: many classes, and wrong labels that do not stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.contracts.noise import NoisyLabels, Sampled
from bench.engine.labellings import Combination
from bench.errors import BenchError
from bench.reports.figures import label_noise
from bench.reports.figures.folder import FigureFolder
from tests.cells import make_cell
from tests.reports.drawing import Seen


def combination(
    true: list[int], observed: list[int], classes: int, rate: float, rows: list[int], truth: bool = True
) -> Combination:
    sampled = Sampled(np.array(rows), NoisyLabels(np.array(true), np.array(observed), classes, truth))
    names = tuple(f"class {number}" for number in range(classes))
    return Combination(make_cell(noise="symmetric", rate=rate), names, {"train": sampled, "validation": sampled})


def test_counts_of_many_classes_have_a_scale(tmp_path: Path) -> None:
    labels: list[list[str]] = []
    folder = Seen(tmp_path, look=lambda figure, _: labels.append([axes.get_xlabel() for axes in figure.axes]))
    one = combination(list(range(40)), [*range(1, 40), 0], 40, 0.5, list(range(40)))
    assert len(list(label_noise._figures([one], folder))) == 1
    assert labels == [["Observed class", "Wrong (%)", "Wrong samples"]]
    unknown = combination(list(range(40)), list(range(40)), 40, 0.0, list(range(40)), truth=False)
    assert len(list(label_noise._figures([unknown], folder))) == 1
    assert labels[1] == ["Samples"]


def test_a_sample_that_was_not_drawn_and_a_label_that_changed_are_counted(tmp_path: Path) -> None:
    low = combination([0, 0, 1], [1, 0, 1], 3, 0.25, [0, 1, 2])
    high = combination([0, 0, 1], [2, 1, 0], 3, 0.5, [0, 1, 3])
    states, samples = label_noise.nesting([low, high])
    assert [[label_noise.STATES[state] for state in row] for row in states] == [
        ["wrong", "correct", "not drawn", "correct"],
        ["changed", "wrong", "wrong", "not drawn"],
    ]
    assert samples == ["0", "1", "3", "2"]
    *_, drawn = label_noise._figures([low, high], FigureFolder(tmp_path, ()))
    assert "changed: wrong at a lower rate, and now correct or wrong in another way (1 labels)" in drawn.caption


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match=r'/file/x" cannot be written: .*; give --out a writable folder\.'):
        label_noise.draw_noise([], tmp_path / "file" / "x")
