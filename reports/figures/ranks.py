"""Draws the critical-difference diagram of a Friedman test with Nemenyi's after it (Demšar 2006)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reports.document import Drawn
from bench.reports.figures.folder import FigureFolder, svg
from bench.reports.figures.style import RC, TEXT_WIDTH, look
from bench.reports.names import column_name
from bench.reports.statistics.friedman import ALPHA, MEAN, Ranking
from bench.reports.tables.averages import DatasetGroup

SHOWN = 24  # methods whose names stand apart
LINE = 0.17  # inches of one line of names
ABOVE = 2.9  # lines above the axis: its numbers, and the critical difference
LETTER = 0.068  # inches of one letter of a name, at most


def draw_ranks(group: DatasetGroup, ranking: Ranking, folder: FigureFolder) -> Drawn | None:
    """Write the diagram and its data; None where methods are more than `SHOWN`."""
    if len(ranking.ranks) > SHOWN:
        return None
    with style.context(["default", folder.page.rc]):
        figure = diagram(ranking, colors_of(group, ranking), folder.page.inches(wide=True))
        data = pd.DataFrame({"label": list(ranking.ranks), "mean_rank": list(ranking.ranks.values())})
        data = data.assign(critical_difference=ranking.difference, datasets=ranking.datasets, p_friedman=ranking.p)
        return folder.save(figure, data, f"ranks-{group.name}", caption(group, ranking), group.name)


def ranks_svg(ranking: Ranking, colors: Mapping[str, str]) -> str:
    """Draw the diagram as the text of an SVG file; empty where methods are more than `SHOWN`."""
    if len(ranking.ranks) > SHOWN:
        return ""
    with style.context(["default", RC]):
        return svg(diagram(ranking, colors))


def colors_of(group: DatasetGroup, ranking: Ranking) -> dict[str, str]:
    """Find the colour of each label of a ranking, as in all figures."""
    rows = group.rows.drop_duplicates("label")
    return {
        str(label): look(str(method), str(variant), "method").color
        for label, method, variant in zip(rows["label"], rows["method"], rows["variant"], strict=True)
        if label in ranking.ranks
    }


def diagram(ranking: Ranking, colors: Mapping[str, str], width: float = TEXT_WIDTH) -> Figure:
    """Draw mean ranks on a line `width` inches wide, with bars over those that are not apart.

    The library draws them; around them stands what it leaves to chance: room for the names, the axis, and its length.
    """
    from scikit_posthocs import critical_difference_diagram

    figure = Figure(figsize=(width, 1.0))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.grid(visible=False)
    pairs = ranking.pairs if ranking.p < ALPHA else ranking.pairs * 0 + 1
    ranks = pd.Series(dict(ranking.ranks))
    made = critical_difference_diagram(
        ranks, pairs, alpha=ALPHA, ax=axes, color_palette=dict(colors), text_h_margin=0.1,
        label_fmt_left="{label}  {rank:.2f} ", label_fmt_right=" {rank:.2f}  {label}", label_props={"fontsize": 7.5},
        marker_props={"s": 14}, elbow_props={"linewidth": 0.9}, crossbar_props={"linewidth": 2.2},
    )  # fmt: skip
    for text in made["labels"]:
        text.set_color("black")  # pale colours are for lines
    for (bar,) in made["crossbars"]:  # the library lists its points in the order of a set, another in each process
        bar.set_xdata(sorted(bar.get_xdata()))
    bottom = min(text.get_position()[1] for text in made["labels"]) - 0.7
    figure.set_size_inches(width, LINE * (ABOVE - bottom))
    axes.set_ylim(bottom, ABOVE)
    _scale(axes, ranks, ranking.difference, width)
    return figure


def _scale(axes: Axes, ranks: pd.Series[float], difference: float, width: float) -> None:
    """Set limits that leave room for the names on both sides, the axis, and the critical difference above it."""
    low, high = math.floor(ranks.min()), math.ceil(ranks.max())
    room = LETTER * (max(map(len, ranks.index)) + 8) / width
    left, right = min(ranks.min() - 0.1, low), max(ranks.max() + 0.1, high, ranks.min() + difference)
    beside = (right - left) * room / max(1 - 2 * room, 0.2)
    axes.set_xlim(left - beside, right + beside)
    axes.spines["top"].set(visible=True, bounds=(low, high))
    step = max(1, (high - low) // 8)
    axes.set_xticks([*range(low, high + 1, step)])
    axes.tick_params(axis="x", length=2.5, pad=1.5)
    start = float(ranks.min())
    axes.plot([start, start + difference], [1.7, 1.7], color="black", linewidth=0.9, marker="|", markersize=5)
    axes.text(
        start + difference / 2, 1.8, f"critical difference {difference:.2f}", ha="center", va="bottom", fontsize=7
    )


def caption(group: DatasetGroup, ranking: Ranking) -> str:
    """Describe the diagram."""
    if ranking.column == MEAN:
        where = "mean accuracy over the noise columns"
    else:
        where = f"accuracy at {column_name(*ranking.column)}"
    bars = (
        f"bars join methods whose mean ranks are within Nemenyi's critical difference of {ranking.difference:.2f} (5 %)"
        if ranking.p < ALPHA
        else f"Friedman's test finds no difference (p = {ranking.p:.2f}), so one bar joins all methods"
    )
    return (
        f"Mean rank by {where} over {ranking.datasets} data sets, {group.words}; 1 is best, {bars}. The line above the "
        "axis is as long as the critical difference."
    )
