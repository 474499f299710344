from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import style
from matplotlib.figure import Figure

from bench.reports.figures.folder import FigureFolder
from bench.reports.figures.ranks import SHOWN, diagram, draw_ranks, ranks_svg
from bench.reports.figures.style import RC
from bench.reports.frame import tidy
from bench.reports.statistics.friedman import Ranking, friedman_test
from bench.reports.tables.averages import dataset_groups
from tests import ROOT
from tests.reports.factory import grid


def ranking(count: int, spread: float, datasets: int = 12) -> Ranking:
    generator = np.random.default_rng(count)
    values = generator.normal(0, 1, (datasets, count)) + spread * np.arange(count)
    return friedman_test(pd.DataFrame(values, columns=[f"method {i}" for i in range(count)]))


def drawn(found: Ranking) -> Figure:
    with style.context(["default", RC]):
        figure = diagram(found, dict.fromkeys(found.ranks, "#0072B2"))
        figure.draw_without_rendering()
        return figure


@pytest.mark.parametrize(("count", "spread"), [(3, 2.0), (7, 0.8), (8, 0.0), (SHOWN, 0.5)])
def test_bars_join_exactly_the_pairs_that_are_not_apart(count: int, spread: float):
    found = ranking(count, spread)
    figure = drawn(found)
    (axes,) = figure.axes
    lines = [(line.get_linewidth(), np.asarray(line.get_xdata(), dtype=float)) for line in axes.lines]
    bars = [(points.min(), points.max()) for width, points in lines if width > 2]
    labels = list(found.ranks)
    for a in range(count):
        for b in range(a + 1, count):
            apart = found.p < 0.05 and found.pairs.loc[labels[a], labels[b]] < 0.05
            low, high = found.ranks[labels[a]], found.ranks[labels[b]]
            assert any(first <= low and high <= last for first, last in bars) != apart
    names = [text for text in axes.texts if "method" in text.get_text()]
    boxes = [name.get_window_extent() for name in names]
    assert len(boxes) == count
    assert not any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[:i])  # no name on another
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width and 0 <= box.y0 <= figure.bbox.height for box in boxes)
    (critical,) = [points for width, points in lines if width < 1 and len(points) == 2 and points[0] != points[1]]
    assert critical[1] - critical[0] == pytest.approx(found.difference)


def test_too_many_methods_are_not_drawn(tmp_path: Path):
    many = ranking(SHOWN + 1, 1.0)
    assert ranks_svg(many, {}) == ""
    (group,) = dataset_groups(tidy([r for name in ("a", "b") for r in grid(dataset=name, epochs=1)]))
    assert draw_ranks(group, many, FigureFolder(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []


def test_the_diagram_is_the_same_in_every_process():
    script = (
        "from tests.reports.figures.test_ranks import ranking, ranks_svg; from hashlib import sha256;"
        "found = ranking(7, 0.3); text = ranks_svg(found, dict.fromkeys(found.ranks, 'red'));"
        "print(sha256(text.encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(digests) == 1
