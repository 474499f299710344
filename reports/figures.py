"""Figures, each as PDF, SVG and PNG with the data behind it as CSV. Nothing here needs a display."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from reports.frame import truth_known
from reports.names import FAMILIES, FAMILY_WORDS, NOISE, SECTIONS, UNCHANGED, column_name, family, noise_name, order
from reports.panels import accuracy_panel, curve_panel, kinds_panel, legend, legend_height
from reports.style import COLUMN_WIDTH, RC, TEXT_WIDTH, Look, look
from reports.tables import Column, describe, measured, parts, summarize

PANELS = 4
COLUMN_KINDS = 2  # kinds of noise without rates that have room in one column
LINES = 12  # more in one panel cannot be told apart
ANCHORS = "references"
QUANTITIES = {
    "memorized": "Memorized (%)",
    "recovered": "Recovered (%)",
    "train_clean_accuracy": "Clean-sample\naccuracy (%)",
    "test_accuracy": "{} (%)",
}
WITHOUT_TRUTH = {"train_given_accuracy": "Agrees with\ngiven (%)", "test_accuracy": "{} (%)"}
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


@dataclass(frozen=True)
class _Material:
    """What the figures of some rows of a setting are drawn from.

    Attributes:
        name: of the files, behind the kind.
        text: the setting in words.
        measure: what the numbers on the test set are, in words.
        summary: `reports.tables.summarize`.
        levels: curves over seeds, see `_levels`.
        looks: label to look, in the order of the tables.
        folder: where files go.
    """

    name: str
    text: str
    measure: str
    summary: pd.DataFrame
    levels: pd.DataFrame
    looks: dict[str, Look]
    folder: Path

    def save(self, figure: Figure, data: list[pd.DataFrame], kind: str, caption: str, suffix: str = "") -> Drawn:
        """Write a figure of this material."""
        name = f"{kind}-{self.name}{suffix}"
        return save(figure, pd.concat(data, ignore_index=True), name, f"{self.text}{caption}", self.name, self.folder)


def draw(frame: pd.DataFrame, curves: pd.DataFrame, folder: Path) -> list[Drawn]:
    """Draw every figure of every setting: overview, accuracy against rate, and memorization over epochs, or where the
    truth is unknown agreement with the given labels.

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
                looks = _looks(rows)
                seen = levels[levels["label"].isin(list(looks))]
                material = _Material(
                    setting + suffix, describe(part) + words, measured(part), summarize(rows), seen, looks, folder
                )
                found = [*_overview(material), *_accuracy(material)]
                found += _memorization(material) if truth_known(part) else _agreement(material)
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


def _overview(material: _Material) -> list[Drawn]:
    """Accuracy against rate, and beside it what is memorized over epochs at one rate, 50 % symmetric if it is there."""
    columns, looks = _columns(material.levels, "memorized"), material.looks
    if not columns:
        return []
    kind, rate = _chosen(columns)
    figure = Figure(figsize=(TEXT_WIDTH, 2.1 + legend_height(looks, TEXT_WIDTH)), layout="constrained")
    left, right = figure.subplots(1, 2)
    memorized = _at(material.levels, "memorized", (kind, rate))
    if rate:
        shown, against = _panel(material.summary, kind), f"the rate of {kind} noise"
        accuracy_panel(left, shown, looks)
        left.set(title=f"{noise_name(kind)} noise")
    else:
        shown, against = _fixed(material.summary, _kinds(material.summary)[1]), "the kind of noise"
        kinds_panel(left, shown, looks)
    curve_panel(right, memorized, looks)
    left.set(ylabel=f"{material.measure} (%)")
    right.set_ylim(bottom=0)
    right.set(title=column_name(kind, rate), ylabel=QUANTITIES["memorized"], xlabel="Epoch")
    legend(figure, [left, right], looks)
    caption = (
        f". Left: {_small(material.measure)} against {against}. Right: share of the mislabeled training samples "
        f"predicted as their given wrong label, at {_small(column_name(kind, rate))}; dotted: zero-shot."
    )
    data = [shown.assign(panel="accuracy"), memorized.assign(panel="memorized")]
    return [material.save(figure, data, "overview", caption)]


def _chosen(columns: Sequence[Column]) -> Column:
    """The column that stands for all: 50 % symmetric, else the highest rate of the first kind with rates."""
    if ("symmetric", 0.5) in columns:
        return "symmetric", 0.5
    rated = [column for column in columns if column[1]]
    return max(column for column in rated if column[0] == rated[0][0]) if rated else columns[0]


def _accuracy(material: _Material) -> list[Drawn]:
    """Accuracy against the noise rate, one panel per noise kind; kinds without rates beside each other in one."""
    rated, fixed = _kinds(material.summary)
    count = len(rated) + bool(fixed)
    if not count:
        return []
    columns = min(count, 2)
    rows = math.ceil(count / columns)
    many = len(fixed) > COLUMN_KINDS
    width = TEXT_WIDTH if columns > 1 or many else COLUMN_WIDTH
    size = (width, 2.1 * rows + 0.6 * many + legend_height(material.looks, width))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    panels, data = list(grid.flat), []
    for axes, kind in zip(panels, rated, strict=False):
        data.append(_panel(material.summary, kind).assign(panel=kind))
        accuracy_panel(axes, data[-1], material.looks)
        axes.set_title(f"{noise_name(kind)} noise")
    if fixed:
        data.append(_fixed(material.summary, fixed).assign(panel="kinds without a rate"))
        kinds_panel(panels[len(rated)], data[-1], material.looks)
    for axes in panels[count:]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel(f"{material.measure} (%)")
    legend(figure, panels, material.looks)
    against = "the noise rate" if rated else "the kind of noise"
    caption = f". {material.measure} after the last epoch against {against}; bars: ± sample standard deviation."
    return [material.save(figure, data, "accuracy", caption)]


def _memorization(material: _Material) -> list[Drawn]:
    """What becomes of clean and mislabeled training samples over epochs."""
    return _curves(
        material, "memorization", "memorized", QUANTITIES,
        "Mislabeled training samples predicted as their given label (memorized) and as their true one (recovered), "
        "accuracy on clean training samples and on the test set, over epochs.",
    )  # fmt: skip


def _agreement(material: _Material) -> list[Drawn]:
    """What can be seen of the training samples where nobody knows which are mislabeled."""
    return _curves(
        material, "agreement", "train_given_accuracy", WITHOUT_TRUTH,
        "Share of all training samples predicted as their given label, right or wrong, and "
        f"{_small(material.measure)}, over epochs.",
    )  # fmt: skip


def _curves(material: _Material, kind: str, leading: str, quantities: Mapping[str, str], words: str) -> list[Drawn]:
    """Curves over epochs, noise in columns and quantities in rows; in parts of at most `PANELS` columns.

    A column is there where the leading quantity has a number.
    """
    columns = _columns(material.levels, leading)
    groups = [columns]
    if len(columns) > PANELS:
        kinds = dict.fromkeys(kind if rate else "" for kind, rate in columns)
        groups = [[column for column in columns if (column[0] if column[1] else "") == kind] for kind in kinds]
    chunks = [group[i : i + PANELS] for group in groups for i in range(0, len(group), PANELS)]
    drawn = []
    for index, chunk in enumerate(chunks if columns else []):
        figure, data = _curve_figure(material, chunk, quantities)
        where = ", ".join(_small(column_name(*column)) for column in chunk)
        caption = (
            f", at {where}. {words} Means over seeds, bands ± sample standard deviation; dotted: zero-shot, the level "
            "without training (or the mean at epoch 0)."
        )
        drawn.append(material.save(figure, data, kind, caption, f"-{index + 1}" if len(chunks) > 1 else ""))
    return drawn


def _curve_figure(
    material: _Material, columns: Sequence[Column], quantities: Mapping[str, str]
) -> tuple[Figure, list[pd.DataFrame]]:
    levels, looks = material.levels, material.looks
    present = [q for q in quantities if (levels["quantity"] == q).any()]
    width = TEXT_WIDTH if len(columns) > 1 else COLUMN_WIDTH
    height = 1.4 * len(present) + 0.3 + legend_height(looks, width)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(present), len(columns), squeeze=False, sharex=True, sharey="row")
    data = []
    for row, quantity in zip(grid, present, strict=True):
        row[0].set_ylabel(quantities[quantity].format(material.measure.replace(" with ", "\nwith ")))
        for axes, column in zip(row, columns, strict=True):
            panel = _at(levels, quantity, column)
            curve_panel(axes, panel, looks)
            data.append(panel)
        if quantity in FROM_ZERO:  # after all panels, because a limit once set no longer follows those that share it
            row[0].set_ylim(bottom=0)
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column_name(*column))
    for axes in grid[-1]:
        axes.set_xlabel("Epoch")
    figure.align_ylabels()
    legend(figure, list(grid.flat), looks)
    return figure, data


def _small(text: str) -> str:
    """The text with a small first letter."""
    return text[:1].lower() + text[1:]


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


def _columns(levels: pd.DataFrame, quantity: str) -> list[Column]:
    """Noise kinds and rates in which a quantity has numbers, in order."""
    found = levels[levels["quantity"] == quantity]
    kinds = order([str(kind) for kind in found["noise"]], NOISE)
    pairs = {(str(k), float(r)) for k, r in zip(found["noise"], found["rate"], strict=True)}
    return sorted(pairs, key=lambda pair: (kinds.index(pair[0]), pair[1]))


def _kinds(summary: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The kinds of noise that have numbers, in order: those with rates, and those without."""
    known = summary[summary["n"] > 0]
    kinds = [k for k in order([str(k) for k in known["noise"]], NOISE) if k not in UNCHANGED]
    rated = set(known.loc[known["rate"] > 0, "noise"])
    return [kind for kind in kinds if kind in rated], [kind for kind in kinds if kind not in rated]


def _panel(summary: pd.DataFrame, kind: str) -> pd.DataFrame:
    """One noise kind with the cells without noise as its rate 0, rates in percent."""
    chosen = summary[summary["noise"].isin([kind, *UNCHANGED])]
    columns = chosen[["section", "method", "label", "n", "mean", "sd"]]
    return columns.assign(noise=kind, rate_percent=chosen["rate"] * 100).reset_index(drop=True)


def _fixed(summary: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """Kinds without rates and the cells without noise, in the order of their names."""
    names = [*UNCHANGED, *kinds]
    chosen = summary[summary["noise"].isin(names)]
    columns = chosen[["section", "method", "label", "noise", "n", "mean", "sd"]]
    return columns.sort_values("noise", key=lambda kind: kind.map(names.index), kind="stable").reset_index(drop=True)


def _at(levels: pd.DataFrame, quantity: str, column: Column) -> pd.DataFrame:
    kind, rate = column
    mask = (levels["quantity"] == quantity) & (levels["noise"] == kind) & (levels["rate"] == rate)
    return levels[mask].reset_index(drop=True)


def save(figure: Figure, data: pd.DataFrame, name: str, caption: str, setting: str, folder: Path) -> Drawn:
    """Write a figure as PDF, SVG and PNG with its data as CSV; `name` begins with the figure's kind and a hyphen."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once for all formats
    files = []
    for suffix, metadata in _METADATA.items():
        files.append(folder / f"{name}.{suffix}")
        figure.savefig(files[-1], metadata=metadata)
    files.append(folder / f"{name}.csv")
    data.to_csv(files[-1], index=False, float_format="%.6g", lineterminator="\n")
    return Drawn(name.partition("-")[0], setting, name, caption, tuple(files))
