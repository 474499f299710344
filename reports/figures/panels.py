"""What figures are put together from: panels of levels and curves, and the legend below them."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from bench.reports.figures.style import NEUTRALS, Look
from bench.reports.names import REFERENCE, noise_name

BESIDE = 18  # letters in a line of a label beside a panel
WIDE = 30  # span from which on powers of ten are enough for a logarithmic axis
LEVEL = 2  # kinds of noise whose names have room beside each other


def accuracy_panel(axes: Axes, panel: pd.DataFrame, looks: dict[str, Look]) -> None:
    """Draw means with their spread against `rate_percent`, a line for each label."""
    rates = sorted(set(panel["rate_percent"]))
    step = min((b - a for a, b in itertools.pairwise(rates)), default=25.0)
    labels = _labels(panel, looks)
    trained = [label for label in labels if looks[label].marker]
    for label in labels:
        rows = panel[panel["label"] == label].set_index("rate_percent").reindex(rates)
        shift = _shift(trained, label, 0.03, 0.4) * step
        chosen = looks[label]
        axes.errorbar(
            [rate + shift for rate in rates], rows["mean"], yerr=rows["sd"] if chosen.marker else None, label=label,
            marker=chosen.marker or None, capsize=1.5, elinewidth=0.8, capthick=0.8, **chosen.line(),
        )  # fmt: skip
    axes.set_xticks(rates, [f"{rate:.4g}" for rate in rates])
    axes.set_xlabel("Noise rate (%)")


def kinds_panel(axes: Axes, panel: pd.DataFrame, looks: dict[str, Look]) -> None:
    """Draw means with their spread by `noise`; no line joins kinds, which have no order."""
    kinds = list(dict.fromkeys(panel["noise"]))
    labels = _labels(panel, looks)
    trained = [label for label in labels if looks[label].marker]
    for label in labels:
        rows = panel[panel["label"] == label].set_index("noise").reindex(kinds)
        chosen, shift = looks[label], _shift(trained, label, 0.08, 0.8)
        if not chosen.marker:
            dash: Any = chosen.dash  # which matplotlib takes here as well, but does not say
            left, right = ([position + side for position in range(len(kinds))] for side in (-0.4, 0.4))
            axes.hlines(rows["mean"], left, right, colors=chosen.color, linestyles=dash, label=label)
            continue
        axes.errorbar(
            [position + shift for position in range(len(kinds))], rows["mean"], yerr=rows["sd"], label=label,
            marker=chosen.marker, capsize=1.5, elinewidth=0.8, capthick=0.8, **{**chosen.line(), "linestyle": "none"},
        )  # fmt: skip
    slanted: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(kinds)), [noise_name(kind) for kind in kinds], **(slanted if len(kinds) > LEVEL else {}))
    axes.set_xlim(-0.5, len(kinds) - 0.5)


def _labels(panel: pd.DataFrame, looks: Mapping[str, Look]) -> list[str]:
    return [label for label in looks if panel.loc[panel["label"] == label, "mean"].notna().any()]


def _shift(side_by_side: Sequence[str], label: str, width: float, room: float) -> float:
    """Compute how far to move a label's marks aside, so that no bar hides another."""
    if label not in side_by_side:
        return 0.0
    count = len(side_by_side)
    return (side_by_side.index(label) - (count - 1) / 2) * min(width, room / count)


def level(axes: Axes, name: str, value: float) -> None:
    """Draw a dotted line across a panel; nothing where there is no number."""
    if math.isfinite(value):
        axes.axhline(value, color="black", linestyle=":", linewidth=1.0, label=name)


def curve_panel(axes: Axes, panel: pd.DataFrame, looks: dict[str, Look], top: float = 100.0) -> None:
    """Draw means over epochs with bands of their spread; dotted, the level without training.

    Bands end at 0 and at `top`, beyond which the quantity has no values.
    """
    dotted = panel[(panel["method"] == REFERENCE) & (panel["epoch"] == 0)]["mean"]
    start = panel[(panel["section"] == "method") & (panel["epoch"] == 0)]["mean"]
    for name, before in (("Zero-shot", dotted), ("Epoch 0", start)):
        if len(before):
            level(axes, name, float(before.mean()))
            break
    for label, chosen in looks.items():
        rows = panel[(panel["label"] == label) & (panel["method"] != REFERENCE)].sort_values("epoch")
        if not rows.empty:
            line_panel(axes, rows, label, chosen, top)
    epochs_axis(axes)


def end_at(axes: Axes, most: float = 100.0) -> None:
    """End the axis beside a panel close above the highest value that there can be."""
    low, high = axes.get_ylim()
    axes.set_ylim(top=min(high, most + 0.04 * max(most - low, 1.0)))


def epochs_axis(axes: Axes) -> None:
    """Set few whole epochs below, and few levels beside."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.margins(x=0.02)


def line_panel(
    axes: Axes, rows: pd.DataFrame, label: str, chosen: Look, top: float = math.inf, dense: float = 1.0
) -> None:
    """Draw one line over epochs with its band, which is paler with a lower `dense`."""
    every = max(1, len(rows) // 5)
    axes.plot(
        rows["epoch"], rows["mean"], label=label, marker=chosen.marker or None, markevery=every, markersize=3.2,
        **chosen.line(),
    )  # fmt: skip
    if rows["sd"].notna().any() and len(rows) > 1:
        low, high = (rows["mean"] - rows["sd"]).clip(lower=0), (rows["mean"] + rows["sd"]).clip(upper=top)
        edge = to_rgba(chosen.color, 0.5)  # which keeps bands apart that overlap
        face = to_rgba(chosen.color, 0.13 * dense)
        axes.fill_between(rows["epoch"], low, high, facecolor=face, edgecolor=edge, linewidth=0.4)


def logarithmic(axes: Axes) -> None:
    """Set a logarithmic axis below, its numbers written out."""
    low, high = axes.dataLim.intervalx
    axes.set_xscale("log")
    axes.set_xlim(low / 1.5, high * 1.5)
    wide = high > WIDE * low
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 100 else f"{value:.3g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def box_panel(axes: Axes, boxes: pd.DataFrame, labels: Sequence[str], groups: Sequence[str]) -> None:
    """Draw lying boxes of p5, p25, median, p75 and p95, one of each of two groups per label."""
    places = {label: place for place, label in enumerate(labels)}
    for index, (group, color) in enumerate(zip(groups, NEUTRALS[:2], strict=True)):
        rows = boxes[boxes["group"] == group]
        y = rows["label"].map(places) + 0.4 * index - 0.2
        axes.hlines(y, rows["p5"], rows["p95"], color=color, linewidth=0.9)
        axes.barh(
            y, rows["p75"] - rows["p25"], 0.3, left=rows["p25"], color="white", edgecolor=color, label=group,
            hatch="////" if index else "", linewidth=0.9,
        )  # fmt: skip
        axes.vlines(rows["median"], y - 0.15, y + 0.15, color=color, linewidth=1.8)
    axes.set_yticks(range(len(labels)), [textwrap.fill(label, BESIDE) for label in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Loss")


def _legend_columns(labels: Collection[str], width: float) -> int:
    """Choose as many columns as the widest label allows: at most six, and no more than the rows need."""
    widest = 0.61 + 0.062 * max(map(len, labels), default=0)
    most = max(1, min(6, int(width / widest)))
    return max(1, math.ceil(len(labels) / math.ceil(len(labels) / most))) if labels else 1


def legend_height(labels: Collection[str], width: float) -> float:
    """Compute the inches that the legend below the panels takes."""
    return 0.17 * math.ceil(len(labels) / _legend_columns(labels, width)) + 0.1


def legend(figure: Figure, panels: Sequence[Axes], looks: dict[str, Look]) -> None:
    """Draw one legend below all panels, in the order of the tables."""
    handles: dict[str, Any] = {}
    for axes in panels:
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True)) | handles
    rank = {label: index for index, label in enumerate(looks)}
    labels = sorted(handles, key=lambda label: rank.get(label, -1))
    figure.legend(
        [handles[label] for label in labels], labels, loc="outside lower center",
        ncols=_legend_columns(labels, float(figure.get_figwidth())), columnspacing=1.2,
    )  # fmt: skip
