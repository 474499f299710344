"""Draw how the cost of methods grows with classes, tokens, shots and members of a pack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.errors import BenchError
from bench.perf.result import PerfResult
from bench.reports.figures.folder import FigureFolder
from bench.reports.figures.panels import legend, legend_height, logarithmic
from bench.reports.figures.style import RC, TEXT_WIDTH, Look, look
from bench.variants import parse_variant

FORMATS = (".png", ".pdf", ".svg")
PANELS = (
    ("classes", "Classes", "ms of a step"),
    ("tokens", "Tokens of a class name", "ms of a step"),
    ("shots", "Shots per class", "ms of a cell of one epoch"),
)


def draw_growth(result: PerfResult, path: Path) -> None:
    """Draw to a PNG, PDF or SVG file.

    Raises:
        BenchError: the file has another ending.
        OSError: it cannot be written.
    """
    check_format(path)
    looks = {speed.method: _look(speed.method) for speed in result.speeds}
    with style.context(["default", RC]):
        figure = Figure(figsize=(TEXT_WIDTH, 4.0 + legend_height(looks, TEXT_WIDTH)), layout="constrained")
        panels = list(figure.subplots(2, 2).flat)
        for axes, (axis, label, unit) in zip(panels, PANELS, strict=False):
            for method, chosen in looks.items():
                rows = [one for one in result.growth if (one.method, one.axis) == (method, axis)]
                _line(axes, [one.value for one in rows], [1000 * one.seconds for one in rows], method, chosen)
            _label(axes, label, unit)
        for speed in result.speeds:
            points = {1: 1.0, **{count: ratio.median for count, ratio in speed.step.packs.items()}}
            seconds = [1000 * speed.step.seconds / ratio for ratio in points.values()]
            _line(panels[3], list(points), seconds, speed.method, looks[speed.method])
        _label(panels[3], "Members of a pack", "ms of a step per member")
        legend(figure, panels, looks)
        path.parent.mkdir(parents=True, exist_ok=True)
        FigureFolder(path.parent).write(figure, path)


def check_format(path: Path) -> None:
    """Reject an ending that is no format of a figure. Raises BenchError."""
    if path.suffix not in FORMATS:
        raise BenchError(f'--plot "{path}": expected a file that ends in {", ".join(FORMATS)}.')


def _look(method: str) -> Look:
    name = parse_variant(method).name
    return look(name, method, "")


def _line(axes: Axes, values: Sequence[float], spent: Sequence[float], method: str, chosen: Look) -> None:
    axes.plot(values, spent, label=method, marker=chosen.marker or "o", **chosen.line())


def _label(axes: Axes, label: str, unit: str) -> None:
    logarithmic(axes)
    low, high = axes.dataLim.intervaly
    axes.set_yscale("log")
    axes.set_ylim(low / 1.5, high * 1.5)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel=label, ylabel=unit)
