"""The critical-difference diagram of mean ranks as the page draws it: positions, from which the template makes SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.reports.figures.ranks import SHOWN
from bench.reports.statistics.friedman import ALPHA, Ranking

AXIS = 380.0  # pixels between the ends of the axis
LETTER = 7.6  # pixels of one letter, at most
LINE, BAR, TOP = 22.0, 9.0, 58.0  # pixels of a line of names, between bars, and above the axis
ON_DARK = {"#000000": "#ffffff", "#777777": "#a9a9a9", "#0072B2": "#4a9edb"}  # as in script/theme.js


@dataclass(frozen=True)
class Named:
    """A method: its text, the path of its line from the axis to the text, where the text stands, and the colours."""

    text: str
    path: str
    x: float
    y: float
    anchor: str
    light: str
    dark: str


@dataclass(frozen=True)
class Diagram:
    """Sizes and positions in pixels; a line is (x from, x to, y), a tick (x, text)."""

    width: float
    height: float
    axis: tuple[float, float, float]
    ticks: tuple[tuple[float, str], ...]
    critical: tuple[float, float, float]
    difference: str
    bars: tuple[tuple[float, float, float], ...]
    methods: tuple[Named, ...]
    order: str


def diagram(ranking: Ranking, colors: Mapping[str, str]) -> Diagram | None:
    """The diagram of a ranking; None where methods are more than `SHOWN`."""
    if len(ranking.ranks) > SHOWN:
        return None
    ranks = list(ranking.ranks.values())
    low, high = math.floor(ranks[0]), max(math.ceil(ranks[-1]), math.floor(ranks[0]) + 1)
    room = LETTER * max(len(_text(*item)) for item in ranking.ranks.items()) + 24
    scale = AXIS / max(high - low, ranks[0] - low + ranking.difference)

    def at(rank: float) -> float:
        return round(room + (rank - low) * scale, 1)

    spans = joined(ranking)
    bars = tuple((at(ranks[a]) - 5, at(ranks[b]) + 5, TOP + BAR * (i + 1)) for i, (a, b) in enumerate(spans))
    first = TOP + BAR * (len(spans) + 1) + LINE / 2
    named = _named(ranking, colors, first, room, scale)
    step = max(1, (high - low) // 8)
    return Diagram(
        width=round(2 * room + AXIS, 1),
        height=max(one.y for one in named) + LINE / 2,
        axis=(at(low), at(high), TOP),
        ticks=tuple((at(rank), str(rank)) for rank in range(low, high + 1, step)),
        critical=(at(ranks[0]), at(ranks[0] + ranking.difference), 24.0),
        difference=f"{ranking.difference:.2f}",
        bars=bars,
        methods=named,
        order=", ".join(_text(*item) for item in ranking.ranks.items()),
    )


def joined(ranking: Ranking) -> list[tuple[int, int]]:
    """The longest runs of methods, by their places in the order of ranks, in which no two are apart; none of one."""
    labels = list(ranking.ranks)
    if ranking.p >= ALPHA:
        return [(0, len(labels) - 1)]
    alike = ranking.pairs.loc[labels, labels].to_numpy(dtype=float) >= ALPHA
    runs: list[tuple[int, int]] = []
    for first in range(len(labels)):
        last = max(i for i in range(first, len(labels)) if i == first or alike[first, i])
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def _named(ranking: Ranking, colors: Mapping[str, str], first: float, room: float, scale: float) -> tuple[Named, ...]:
    """The better half to the left of the axis and the others to the right, the outermost on top."""
    items, low = list(ranking.ranks.items()), math.floor(next(iter(ranking.ranks.values())))
    half = (len(items) + 1) // 2
    made = []
    for place, (label, rank) in enumerate(items):
        left = place < half
        x, y = round(room + (rank - low) * scale, 1), first + LINE * (place if left else len(items) - 1 - place)
        edge = room - 12 if left else room + AXIS + 12
        color = colors.get(label, "#000000")
        path = f"M{x:g} {TOP:g}V{y:g}H{edge:g}"
        text, anchor = _text(label, rank), "end" if left else "start"
        made.append(Named(text, path, edge + (-6 if left else 6), y, anchor, color, ON_DARK.get(color, color)))
    return tuple(made)


def _text(label: str, rank: float) -> str:
    return f"{label} {rank:.2f}"
