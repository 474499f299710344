"""Label noise as figures: which class is taken for which, wrong labels by class, and nesting over rates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bench import dataset_name
from bench.engine.labellings import Combination
from bench.records.cell import noise_text
from bench.reports.document import Drawn
from bench.reports.figures.folder import FigureFolder
from bench.reports.figures.fonts import class_texts, tell
from bench.reports.figures.style import BLUE, COLUMN_WIDTH, GREY, RC, TEXT_WIDTH, VERMILLION
from bench.reports.names import clipped, noise_name, percent
from bench.reports.staging import fresh_folder
from bench.variants import parse_variant

NUMBERED = 12  # classes up to which counts stand in the cells and one column is wide enough
NAMED = 30  # classes up to which names stand at the axes
SHADED = 200  # classes up to which a cell can be seen; more are dots
LETTERS = 22  # of a class name
CORRECT = "#E6E6E6"
ABSENT, CLEAN, WRONG, CHANGED = range(4)
STATES = ("not drawn", "correct", "wrong", "changed")
COLORS = ("#FFFFFF", CORRECT, BLUE, VERMILLION)


def draw_noise(combinations: Sequence[Combination], folder: Path) -> list[Path]:
    """Draw every combination that has a wrong label or none known, and nesting over the rates of each kind.

    Args:
        combinations: what `bench.engine.labellings` drew.
        folder: made if need be; figures of the same names in it are replaced.

    Returns:
        The files written: PDF, SVG, PNG and CSV of each figure.

    Raises:
        BenchError: the folder cannot be written.
    """
    names = (text for one in combinations for text in (*one.class_names, dataset_name.shown(one.cell.dataset)))
    tell([*names, *(one.cell.noise for one in combinations)])
    with fresh_folder(folder, "noise", f'"{folder}"') as fresh, style.context(["default", RC]):
        files = [file for drawn in _figures(combinations, FigureFolder(fresh)) for file in drawn.files]
        return [file.replace(folder / file.name) for file in files]


def _figures(combinations: Sequence[Combination], folder: FigureFolder) -> Iterator[Drawn]:
    names: set[str] = set()
    for one in combinations:
        if one.noisy.truth and not one.noisy.mislabeled.any():
            continue
        yield _combination(one, _free(_name(one), names), folder)
    seeds: dict[tuple[str, int], int] = {}
    for one in combinations:
        seeds.setdefault((one.cell.dataset, one.cell.shots), one.cell.seed)
    for (dataset, shots), seed in seeds.items():
        rates: dict[str, list[Combination]] = {}
        for one in combinations:
            cell = one.cell
            if (cell.dataset, cell.shots, cell.seed) == (dataset, shots, seed) and cell.rate and one.noisy.truth:
                rates.setdefault(cell.noise, []).append(one)
        kinds = {kind: sorted(found, key=lambda one: one.cell.rate) for kind, found in rates.items() if len(found) > 1}
        if kinds:
            yield _nesting(kinds, names, folder)


def _combination(one: Combination, name: str, folder: FigureFolder) -> Drawn:
    """Draw the confusion matrix and wrong labels by class; counts alone where the truth is unknown."""
    cell, data, setting = one.cell, _data(one), _setting(one)
    title = f"{noise_name(_short(cell.noise))}{f' {percent(cell.rate)}' if cell.rate else ''}: {setting}"
    if not one.noisy.truth:
        figure = Figure(figsize=(COLUMN_WIDTH, _height(len(one.class_names))), layout="constrained")
        _observed(figure.subplots(), one)
        caption = f"{title}. Samples by observed class; the truth is unknown."
        figure.suptitle(title, fontsize=8)
        return folder.save(figure, data, name, caption, setting)
    rows, columns = one.matrix.shape
    width = COLUMN_WIDTH if columns <= NUMBERED or columns > NAMED else TEXT_WIDTH
    figure = Figure(figsize=(width, _height(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.6, 1))
    _matrix(figure, left, one)
    _rates(right, one)
    figure.suptitle(title, fontsize=8)
    caption = (
        f"{title}. Left: wrongly labeled training samples by true and observed class; grey: correctly labeled. "
        "Right: share of wrong labels of each true class; dashed: of the whole set."
    )
    return folder.save(figure, data, name, caption, setting)


def _setting(one: Combination) -> str:
    return f"{dataset_name.shown(one.cell.dataset)}, {one.cell.shots} shots, seed {one.cell.seed}"


def _matrix(figure: Figure, axes: Axes, one: Combination) -> None:
    counts, classes = one.matrix, len(one.class_names)
    own = np.zeros(counts.shape, dtype=bool)
    own[np.arange(classes), np.arange(classes)] = True
    wrong = np.ma.masked_array(counts, mask=own)
    top = max(1, int(wrong.max()))
    axes.imshow(np.where(own, 1.0, np.nan), cmap=ListedColormap([CORRECT]), interpolation="nearest", aspect="auto")
    if classes > SHADED:
        rows, columns = np.nonzero(wrong.filled(0))
        axes.scatter(columns, rows, s=0.8, c=BLUE, marker="s", linewidths=0, rasterized=True)
        image = None
    else:
        image = axes.imshow(wrong, cmap="Blues", vmin=0, vmax=top, interpolation="nearest", aspect="auto")
    axes.grid(visible=False)
    if classes <= NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            dark = not own[row, column] and count > 0.6 * top
            if count:
                axes.text(column, row, str(count), ha="center", va="center", fontsize=6, color="w" if dark else "k")
    if len(counts) > classes:
        axes.axhline(classes - 0.5, color="black", linewidth=0.6)
    _class_ticks(axes, one, len(counts))
    axes.set(xlabel="Observed class", ylabel="True class")
    if classes > NUMBERED and image is not None:
        bar = figure.colorbar(image, ax=axes, location="top", shrink=0.7, pad=0.02, aspect=30)
        bar.ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        bar.set_label("Wrong samples", fontsize=7)
        bar.ax.tick_params(labelsize=6.5)


def _rates(axes: Axes, one: Combination) -> None:
    shares = [100 * rate for rate in one.noisy.per_class_rate or []]
    shares += [100.0] * (len(one.matrix) - len(shares))
    _bars(axes, shares)
    axes.axvline(100 * (one.noisy.realised_rate or 0.0), color="black", linestyle=(0, (4.0, 2.0)), linewidth=1.0)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", left=False, labelleft=False)
    axes.set_xlim(0, 100 if max(shares) > 50 else 1.15 * max(shares))
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axes.set_xlabel("Wrong (%)")


def _observed(axes: Axes, one: Combination) -> None:
    counts = np.bincount(one.noisy.observed, minlength=len(one.class_names))
    _bars(axes, counts)
    axes.set_ylim(len(counts) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    _class_ticks(axes, one, len(counts), columns=False)
    axes.set(xlabel="Samples", ylabel="Observed class")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _bars(axes: Axes, values: Sequence[float] | NDArray[np.int64]) -> None:
    """Draw a bar per class; many classes are one outline, which is drawn sooner."""
    if len(values) <= NAMED + 1:
        axes.barh(range(len(values)), values, height=0.8, color=BLUE, linewidth=0)
    else:
        axes.stairs(values, np.arange(len(values) + 1) - 0.5, orientation="horizontal", fill=True, color=BLUE)


def _class_ticks(axes: Axes, one: Combination, rows: int, columns: bool = True) -> None:
    """Label the axes by class names where there are few, else by numbers."""
    classes = len(one.class_names)
    if classes <= NAMED:
        names = [name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…" for name in class_texts(one.class_names)]
        size = 7 if classes <= NUMBERED else 6.5
        axes.set_yticks(range(rows), [*names, "outside"][:rows], fontsize=size)
        if columns:
            axes.set_xticks(range(classes), names, fontsize=size, rotation=90)
        return
    step = next(step for step in (10, 20, 50, 100, 200, 500, 1000, 10**9) if classes / step <= 6)
    ticks = list(range(0, classes, step))
    axes.set_yticks([*ticks, *range(classes, rows)], [*map(str, ticks), *["outside"] * (rows - classes)])
    if columns:
        axes.set_xticks(ticks)


def _height(rows: int) -> float:
    return 1.0 + 0.19 * max(rows, 4) if rows <= NUMBERED + 1 else 1.6 + 0.15 * rows if rows <= NAMED + 1 else 3.2


def _data(one: Combination) -> pd.DataFrame:
    """Collect the figure's numbers: counts of the matrix, and shares by class."""
    noisy, names = one.noisy, one.class_names
    if not noisy.truth:
        observed = np.bincount(noisy.observed, minlength=len(names))
        return pd.DataFrame({"panel": "observed", "true": "", "observed": names, "value": observed})
    rows, columns = np.nonzero(one.matrix)
    true, observed_names = [one.name(int(row)) for row in rows], [names[column] for column in columns]
    counts = pd.DataFrame(
        {"panel": "confusion", "true": true, "observed": observed_names, "value": one.matrix[rows, columns]}
    )
    shares = pd.DataFrame({"panel": "wrong_percent", "true": names, "observed": "", "value": noisy.per_class_rate})
    shares["value"] *= 100
    return pd.concat([counts, shares], ignore_index=True)


def _nesting(kinds: dict[str, list[Combination]], names: set[str], folder: FigureFolder) -> Drawn:
    """Draw a row per rate and a column per sample, in the order in which samples become wrong."""
    setting = _setting(next(iter(kinds.values()))[0])
    height = sum(0.5 + 0.17 * len(found) for found in kinds.values()) + 0.9
    figure = Figure(figsize=(COLUMN_WIDTH, height), layout="constrained")
    grid = figure.subplots(len(kinds), 1, squeeze=False, height_ratios=[1 + len(found) for found in kinds.values()])
    data, broken, seen = [], 0, {CLEAN, WRONG}
    for axes, (kind, found) in zip(grid[:, 0], kinds.items(), strict=True):
        states, samples = nesting(found)
        seen |= set(np.unique(states).tolist())
        broken += int((states == CHANGED).sum())
        image = axes.imshow(
            states, cmap=ListedColormap(COLORS), vmin=-0.5, vmax=3.5, interpolation="nearest", aspect="auto",
            origin="lower",
        )  # fmt: skip
        image.set_rasterized(True)
        axes.hlines(np.arange(1, len(found)) - 0.5, -0.5, states.shape[1] - 0.5, color="white", linewidth=0.8)
        axes.grid(visible=False)
        axes.set_yticks(range(len(found)), [percent(one.cell.rate) for one in found])
        axes.set_title(noise_name(_short(kind)), loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        for one, row in zip(found, states, strict=True):
            said = {"noise": kind, "rate": one.cell.rate, "sample": samples, "state": [STATES[s] for s in row]}
            data.append(pd.DataFrame(said))
    grid[-1, 0].set_xlabel("Training samples, as they become wrong")
    figure.suptitle(setting, fontsize=8)
    handles = [Patch(facecolor=COLORS[state], edgecolor=GREY, linewidth=0.4, label=STATES[state]) for state in seen]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    words = "every wrong label stays as it is at higher rates"
    if broken:
        words = f"changed: wrong at a lower rate, and now correct or wrong in another way ({broken} labels)"
    caption = f"{setting}. Training samples by noise rate; {words}."
    name = _free(f"nesting-{_slug(setting)}", names)
    return folder.save(figure, pd.concat(data, ignore_index=True), name, caption, setting)


def nesting(found: Sequence[Combination]) -> tuple[NDArray[np.int64], list[str]]:
    """Find the state of each sample at rising rates.

    Args:
        found: one data set, kind, shots and seed at several rates, the lowest first.

    Returns:
        States [rates, samples], among `STATES`, in the order in which samples become wrong; and the samples' names: the
        position in the training split, with the data set in front for foreign images, and which of several equal ones.
    """
    labels = [
        dict(zip(_samples(one), zip(one.noisy.true, one.noisy.observed, strict=True), strict=True)) for one in found
    ]
    samples = list(dict.fromkeys(sample for known in labels for sample in known))
    states = np.full((len(found), len(samples)), ABSENT, dtype=np.int64)
    for column, sample in enumerate(samples):
        before: Any = None
        for row, known in enumerate(labels):
            if sample not in known:
                continue
            true, observed = known[sample]
            kept = before is None or before == observed
            states[row, column] = (WRONG if true != observed else CLEAN) if kept else CHANGED
            if true != observed:
                before = observed
    ever = np.where((states >= WRONG).any(0), (states >= WRONG).argmax(0), len(found))
    order = np.lexsort([-(states != ABSENT).sum(0), ever])
    return states[:, order], [samples[column] for column in order]


def _samples(one: Combination) -> list[str]:
    taken: set[str] = set()
    names = (f"{dataset}:{position}" if dataset else str(position) for dataset, position in one.images())
    return [_free(name, taken, "{} ({})") for name in names]


def _name(one: Combination) -> str:
    cell = one.cell
    setting = f"{dataset_name.shown(cell.dataset)}-{cell.shots}shots-seed{cell.seed}"
    return f"noise-{_slug(setting)}-{_slug(noise_text(_short(cell.noise), cell.rate))}"


def _short(noise: str) -> str:
    """Format a kind with its options; a file stands by its name alone."""
    variant = parse_variant(noise, "noise")
    options = [f"{name}={Path(v).name if isinstance(v, str) else v}" for name, v in variant.options.items()]
    return f"{variant.name}[{','.join(options)}]" if options else variant.name


def _free(base: str, names: set[str], numbered: str = "{}-{}") -> str:
    """Return a name that is not taken, with a number behind it if need be, and take it."""
    name = next(
        name for number in count(1) if (name := numbered.format(base, number) if number > 1 else base) not in names
    )
    names.add(name)
    return name


def _slug(text: str) -> str:
    return clipped(re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_"))
