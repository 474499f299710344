"""Figures, each as PDF, SVG and PNG with the data behind it as CSV. Nothing here needs a display."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.names import FAMILIES, FAMILY_WORDS, NOISE, REFERENCE, SECTIONS, column_name, family, noise_name, order
from reports.style import COLUMN_WIDTH, RC, TEXT_WIDTH, Look, look
from reports.tables import Column, describe, parts, summarize

PANELS = 4
LINES = 12  # more in one panel cannot be told apart
ANCHORS = "references"
QUANTITIES = {
    "memorized": "Memorized (%)",
    "recovered": "Recovered (%)",
    "train_clean_accuracy": "Clean-sample\naccuracy (%)",
    "test_accuracy": "Test accuracy (%)",
}
FROM_ZERO = ("memorized", "recovered")
_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


@dataclass(frozen=True)
class Drawn:
    """A figure on disk: its kind, setting, name (kind first), what it shows, and the files written."""

    kind: str
    setting: str
    name: str
    caption: str
    files: tuple[Path, ...]


def draw(frame: pd.DataFrame, curves: pd.DataFrame, folder: Path) -> list[Drawn]:
    """Draw every figure of every setting: overview, accuracy against rate, memorization over epochs.

    Args:
        frame: `reports.frame.tidy`.
        curves: `reports.frame.curves`.
        folder: an existing folder.
    """
    drawn: list[Drawn] = []
    with style.context(["default", RC]):
        for setting, part in parts(frame):
            levels = _levels(curves[curves["setting"] == setting])
            for suffix, words, rows in _families(part):
                looks, summary, text = _looks(rows), summarize(rows), describe(part) + words
                seen = levels[levels["label"].isin(list(looks))]
                name = setting + suffix
                found = _overview(name, text, summary, seen, looks, folder)
                found += _accuracy(name, text, summary, looks, folder)
                found += _memorization(name, text, seen, looks, folder)
                drawn += [replace(one, setting=setting) for one in found]
    return drawn


def _families(part: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """File suffix, words of the caption and rows of each figure.

    All rows where they are few, else family by family beside the references; of a family that is still too large, the
    methods as they are, and then those that have variants with their variants.
    """
    if part["label"].nunique() <= LINES:
        return [("", "", part)]
    families, plain = part["method"].map(family), part["variant"] == part["method"]
    anchor = (families == ANCHORS) & plain
    figures = []
    for name in [*FAMILIES, "others"]:
        mine = (families == name) & ~anchor
        words = f", {FAMILY_WORDS.get(name, name)}"
        if part[mine | anchor]["label"].nunique() <= LINES:
            figures.append((f"-{name}", words, mine))
            continue
        varied = part["method"].isin(part.loc[mine & ~plain, "method"])
        figures.append((f"-{name}", words, mine & plain))
        figures.append((f"-{name}-variants", f"{words} and their variants", mine & varied))
    return [(suffix, words, part[rows | anchor]) for suffix, words, rows in figures if rows.any()]


def _overview(
    setting: str, text: str, summary: pd.DataFrame, levels: pd.DataFrame, looks: dict[str, Look], folder: Path
) -> list[Drawn]:
    """Accuracy against rate, and beside it what is memorized over epochs at one rate, 50 % symmetric if it is there."""
    columns = _columns(levels[levels["quantity"] == "memorized"])
    if not columns:
        return []
    first = columns[0][0]
    kind, rate = ("symmetric", 0.5) if ("symmetric", 0.5) in columns else max(c for c in columns if c[0] == first)
    figure = Figure(figsize=(TEXT_WIDTH, 2.1 + _legend_height(looks, TEXT_WIDTH)), layout="constrained")
    left, right = figure.subplots(1, 2)
    rates = _panel(summary, kind)
    memorized = _at(levels, "memorized", (kind, rate))
    _accuracy_panel(left, rates, looks)
    left.set(title=f"{noise_name(kind)} noise", ylabel="Test accuracy (%)")
    _curve_panel(right, memorized, looks)
    right.set_ylim(bottom=0)
    right.set(title=column_name(kind, rate), ylabel=QUANTITIES["memorized"], xlabel="Epoch")
    _legend(figure, [left, right], looks)
    data = pd.concat([rates.assign(panel="accuracy"), memorized.assign(panel="memorized")], ignore_index=True)
    caption = (
        f"{text}. Left: test accuracy against the rate of {kind} noise. Right: share of the mislabeled training "
        f"samples predicted as their given wrong label, at {column_name(kind, rate).lower()}; dotted: zero-shot."
    )
    return [_save(figure, data, f"overview-{setting}", caption, setting, folder)]


def _accuracy(setting: str, text: str, summary: pd.DataFrame, looks: dict[str, Look], folder: Path) -> list[Drawn]:
    """Accuracy against the noise rate, one panel per noise kind."""
    kinds = [k for k in order([str(k) for k in summary.loc[summary["n"] > 0, "noise"]], NOISE) if k != "none"]
    if not kinds:
        return []
    columns = min(len(kinds), 2)
    rows = math.ceil(len(kinds) / columns)
    width = TEXT_WIDTH if columns > 1 else COLUMN_WIDTH
    legend = _legend_height(looks, width)
    figure = Figure(figsize=(width, 2.1 * rows + legend), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    panels, data = list(grid.flat), []
    for axes, kind in zip(panels, kinds, strict=False):
        panel = _panel(summary, kind)
        _accuracy_panel(axes, panel, looks)
        axes.set_title(f"{noise_name(kind)} noise")
        data.append(panel.assign(panel=kind))
    for axes in panels[len(kinds) :]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel("Test accuracy (%)")
    _legend(figure, panels, looks)
    caption = f"{text}. Test accuracy after the last epoch against the noise rate; bars: ± sample standard deviation."
    return [_save(figure, pd.concat(data, ignore_index=True), f"accuracy-{setting}", caption, setting, folder)]


def _memorization(setting: str, text: str, levels: pd.DataFrame, looks: dict[str, Look], folder: Path) -> list[Drawn]:
    """Curves over epochs, noise in columns and quantities in rows; in parts of at most `PANELS` columns."""
    columns = _columns(levels[levels["quantity"] == "memorized"])
    kinds = list(dict.fromkeys(kind for kind, _ in columns))
    groups = [columns] if len(columns) <= PANELS else [[c for c in columns if c[0] == kind] for kind in kinds]
    chunks = [group[i : i + PANELS] for group in groups for i in range(0, len(group), PANELS)]
    drawn = []
    for index, chunk in enumerate(chunks):
        suffix = f"-{index + 1}" if len(chunks) > 1 else ""
        drawn.append(
            _memorization_figure(f"memorization-{setting}{suffix}", setting, text, chunk, levels, looks, folder)
        )
    return drawn


def _memorization_figure(
    name: str,
    setting: str,
    text: str,
    columns: Sequence[Column],
    levels: pd.DataFrame,
    looks: dict[str, Look],
    folder: Path,
) -> Drawn:
    present = [q for q in QUANTITIES if (levels["quantity"] == q).any()]
    width = TEXT_WIDTH if len(columns) > 1 else COLUMN_WIDTH
    height = 1.4 * len(present) + 0.3 + _legend_height(looks, width)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(present), len(columns), squeeze=False, sharex=True, sharey="row")
    data = []
    for row, quantity in zip(grid, present, strict=True):
        row[0].set_ylabel(QUANTITIES[quantity])
        for axes, column in zip(row, columns, strict=True):
            panel = _at(levels, quantity, column)
            _curve_panel(axes, panel, looks)
            data.append(panel)
        if quantity in FROM_ZERO:  # after all panels, because a limit once set no longer follows those that share it
            row[0].set_ylim(bottom=0)
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column_name(*column))
    for axes in grid[-1]:
        axes.set_xlabel("Epoch")
    figure.align_ylabels()
    _legend(figure, list(grid.flat), looks)
    where = ", ".join(column_name(*column).lower() for column in columns)
    caption = (
        f"{text}, at {where}. Mislabeled training samples predicted as their given label (memorized) and as their true "
        "one (recovered), accuracy on clean training samples and on the test set, over epochs. Means over seeds, bands "
        "± sample standard deviation; dotted: zero-shot, the level without training (or the mean at epoch 0)."
    )
    return _save(figure, pd.concat(data, ignore_index=True), name, caption, setting, folder)


def _looks(part: pd.DataFrame) -> dict[str, Look]:
    """Label to look, in the order of the tables."""
    rows = part[["label", "method", "variant", "section"]].drop_duplicates()
    rows = rows.sort_values("section", key=lambda names: names.map(SECTIONS.index), kind="stable")
    return {str(r["label"]): look(r["method"], r["variant"], r["section"]) for r in rows.to_dict("records")}


def _levels(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean and sample standard deviation over seeds of every curve, by label, noise, rate, quantity and epoch."""
    by = ["section", "method", "label", "noise", "rate", "quantity", "epoch"]
    grouped = curves.groupby(by, sort=False)["value"]
    return grouped.agg(n="count", mean="mean", sd="std").reset_index()


def _columns(levels: pd.DataFrame) -> list[Column]:
    """Noise kinds and rates above 0, in order."""
    kinds = order([str(kind) for kind in levels["noise"]], NOISE)
    pairs = {(str(k), float(r)) for k, r in zip(levels["noise"], levels["rate"], strict=True) if r > 0}
    return sorted(pairs, key=lambda pair: (kinds.index(pair[0]), pair[1]))


def _panel(summary: pd.DataFrame, kind: str) -> pd.DataFrame:
    """One noise kind with the clean cells as its rate 0, rates in percent."""
    chosen = summary[summary["noise"].isin([kind, "none"])]
    columns = chosen[["section", "method", "label", "n", "mean", "sd"]]
    return columns.assign(noise=kind, rate_percent=chosen["rate"] * 100).reset_index(drop=True)


def _at(levels: pd.DataFrame, quantity: str, column: Column) -> pd.DataFrame:
    kind, rate = column
    mask = (levels["quantity"] == quantity) & (levels["noise"] == kind) & (levels["rate"] == rate)
    return levels[mask].reset_index(drop=True)


def _accuracy_panel(axes: Axes, panel: pd.DataFrame, looks: dict[str, Look]) -> None:
    rates = sorted(set(panel["rate_percent"]))
    step = min((b - a for a, b in itertools.pairwise(rates)), default=25.0)
    labels = [label for label in looks if (panel["label"] == label).any()]
    trained = [label for label in labels if looks[label].marker]
    for label in labels:
        rows = panel[panel["label"] == label].set_index("rate_percent").reindex(rates)
        shift = 0.0
        if label in trained:  # side by side, so that no bar hides another
            shift = (trained.index(label) - (len(trained) - 1) / 2) * min(0.03, 0.4 / len(trained)) * step
        chosen = looks[label]
        axes.errorbar(
            [rate + shift for rate in rates], rows["mean"], yerr=rows["sd"] if chosen.marker else None, label=label,
            marker=chosen.marker or None, capsize=1.5, elinewidth=0.8, capthick=0.8, **chosen.line(),
        )  # fmt: skip
    axes.set_xticks(rates, [f"{rate:.4g}" for rate in rates])
    axes.set_xlabel("Noise rate (%)")


def _curve_panel(axes: Axes, panel: pd.DataFrame, looks: dict[str, Look]) -> None:
    dotted = panel[(panel["method"] == REFERENCE) & (panel["epoch"] == 0)]["mean"]
    start = panel[(panel["section"] == "method") & (panel["epoch"] == 0)]["mean"]
    for name, level in (("Zero-shot", dotted), ("Epoch 0", start)):
        if len(level):
            axes.axhline(float(level.mean()), color="black", linestyle=":", linewidth=1.0, label=name)
            break
    for label, chosen in looks.items():
        rows = panel[(panel["label"] == label) & (panel["method"] != REFERENCE)].sort_values("epoch")
        if rows.empty:
            continue
        every = max(1, len(rows) // 5)
        axes.plot(
            rows["epoch"], rows["mean"], label=label, marker=chosen.marker or None, markevery=every, markersize=3.2,
            **chosen.line(),
        )  # fmt: skip
        if rows["sd"].notna().any():
            low, high = (rows["mean"] - rows["sd"]).clip(lower=0), rows["mean"] + rows["sd"]
            axes.fill_between(rows["epoch"], low, high, color=chosen.color, alpha=0.15, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]))
    axes.margins(x=0.02)


def _legend_columns(labels: Iterable[str], width: float) -> int:
    """As many columns as the widest label leaves room for, at most four."""
    widest = 0.55 + 0.062 * max(map(len, labels), default=0)
    return max(1, min(4, int(width / widest)))


def _legend_height(labels: Collection[str], width: float) -> float:
    """Inches that the legend below the panels takes."""
    return 0.17 * math.ceil(len(labels) / _legend_columns(labels, width)) + 0.1


def _legend(figure: Figure, panels: Sequence[Axes], looks: dict[str, Look]) -> None:
    """One legend below all panels, in the order of the tables."""
    handles: dict[str, Any] = {}
    for axes in panels:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    rank = {label: index for index, label in enumerate(looks)}
    labels = sorted(handles, key=lambda label: rank.get(label, -1))
    figure.legend(
        [handles[label] for label in labels], labels, loc="outside lower center",
        ncols=_legend_columns(labels, float(figure.get_figwidth())), columnspacing=1.2,
    )  # fmt: skip


def _save(figure: Figure, data: pd.DataFrame, name: str, caption: str, setting: str, folder: Path) -> Drawn:
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once for all formats
    files = []
    for suffix, metadata in _METADATA.items():
        files.append(folder / f"{name}.{suffix}")
        figure.savefig(files[-1], metadata=metadata)
    files.append(folder / f"{name}.csv")
    data.to_csv(files[-1], index=False, float_format="%.6g", lineterminator="\n")
    return Drawn(name.partition("-")[0], setting, name, caption, tuple(files))
