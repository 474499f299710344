"""`bench noise`: the labels that a grid's cells are given, as tables, figures and mask files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import console, dataset_name
from bench.cli.app import DEFAULT_GRID, AsJson, ConfigFile, Grid, Plugins, Sets, examples, verbs
from bench.cli.selection import Selection
from bench.contracts import mask_file
from bench.contracts.noise import OUTSIDE
from bench.engine import mask_export
from bench.engine.labellings import LABELLING_AXES, Combination, distinct
from bench.errors import BenchError
from bench.execution.labels import Drawing
from bench.files import is_file, is_folder, local_path
from bench.grid.expansion import expand
from bench.records.cell import Cell, noise_text
from bench.settings.schema import Config
from bench.variants import axis_text, shown, variant_text

DETAILED = 3  # combinations at most that are shown class by class
CLASSES = 40  # classes at most in one such table
CONFUSIONS = 12
DIGITS = 12  # of a digest
UNKNOWN = "–"
OTHER_IMAGES = "*"
COLUMNS = (
    "#", "data set", "noise", "shots", "seed", "nominal %", "realised %", "validation %", "lowest class %",
    "highest class %", "no clean sample", "digest",
)  # fmt: skip


app = verbs(
    "The labels that the cells of a grid are given: show them, draw them, write them to a file.",
    examples(
        "bench noise show --set noise=symmetric --set seed=1",
        "bench noise export --set noise=symmetric --set rate=0.5 --set seed=1 --out mask.csv",
    ),
)


@app.command(
    "show",
    epilog=examples(
        "bench noise show",
        "bench noise show --set noise=symmetric --set rate=0.25,0.5 --set seed=1 --out figures",
        "bench noise show --grid noise --json",
    ),
)
def show_noise(
    grid: Grid = DEFAULT_GRID,
    sets: Sets = None,
    out: Annotated[str | None, typer.Option(help="Folder for figures and their data.  [default: none drawn]")] = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Print the label noise of a grid's cells: rates, classes, confusions, digests; with --out also draw it."""
    settings, cells = _selected(grid, sets, plugin, config)
    folder = None if out is None else local_path(out, "--out")
    if folder is not None and is_file(folder):
        raise BenchError(f'--out "{out}" is a file; give a folder for the figures.')
    found, problems = Drawing(settings, grid).draw_all(cells)
    files = [] if folder is None else _figures(found, folder)
    if json:
        console.as_json({"combinations": _entries(found), "files": [str(file) for file in files], "problems": problems})
        return 0
    for text in problems:
        console.warn(text)
    _table(found)
    if len(found) <= DETAILED:
        for combination in found:
            _detail(combination)
    else:
        console.line(f"class by class: narrow these to {DETAILED} or fewer, for example {_narrow(cells)}")
    if out is None:
        console.line("figures: add --out FOLDER")
    else:
        console.line(f"figures: {len(files)} files in {out}" if files else "figures: no sample has a wrong label.")
    return 0


@app.command(
    "export",
    epilog=examples(
        "bench noise export --set noise=symmetric --set rate=0.5 --set seed=1 --out mask.csv",
        "bench noise export --set dataset=letters --set noise=asymmetric --set rate=0.25 --set seed=2 --out l.csv",
    ),
)
def export_mask(
    out: Annotated[str, typer.Option(help="The CSV file to write.")],
    grid: Grid = DEFAULT_GRID,
    sets: Sets = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Write one labelling as a mask: image path, true and observed label; noise "mask[file=FILE]" replays it."""
    settings, cells = _selected(grid, sets, plugin, config)
    if len(cells) > 1:
        raise BenchError(f"a mask holds one labelling, these options give {len(cells)}; narrow them: {_narrow(cells)}.")
    drawing, path = Drawing(settings, grid), local_path(out, "--out")
    if is_folder(path):
        raise BenchError(f'--out "{out}" is a folder; give the name of a file, for example {out.rstrip("/")}/mask.csv.')
    combination = drawing.draw(cells[0])
    header, rows = mask_export.mask_of(cells[0], drawing.opened(cells[0].dataset), combination.few, drawing.opened)
    mask_file.write(path, header, rows)
    count = {split: sum(row[0] == split for row in rows) for split in mask_file.SPLITS}
    console.line(f"{combination.label}: {count['train']} training and {count['validation']} validation labels in {out}")
    replay = variant_text("mask", {"file": out})
    console.line(f"to replay it: --set {shlex.quote(f'noise={replay}')} --set shots={cells[0].shots}")
    return 0


def _selected(
    grid: str, sets: Sequence[str] | None, plugins: Sequence[str] | None, config: str | None
) -> tuple[Config, list[Cell]]:
    settings = Selection(grid, sets, None, config, plugins).configuration
    return settings, distinct(expand(settings, grid))


def _narrow(cells: Sequence[Cell]) -> str:
    """Format the options that select the last of these combinations alone."""
    values = {axis: list(dict.fromkeys(getattr(cell, axis) for cell in cells)) for axis in LABELLING_AXES}
    last = cells[-1]
    named = [axis for axis in LABELLING_AXES if len(values[axis]) > 1 and not (axis == "rate" and not last.rate)]
    return " ".join(f"--set {shlex.quote(f'{axis}={axis_text(getattr(last, axis))}')}" for axis in named)


def _table(found: Sequence[Combination]) -> None:
    same, rows = _same(found), []
    for number, one in enumerate(found):
        others = [f"#{j + 1}{'' if one.same_images(found[j]) else OTHER_IMAGES}" for j in same[number]]
        rows.append([*_row(number, one), shown(others)])
    hidden = -1 if not any(same) else None  # the last column, where no two combinations have the same labels
    console.table([*COLUMNS, "same labels as"][:hidden], [row[:hidden] for row in rows])
    console.line("These are the samples and labels that every method is given; its records hold the same digests.")
    if any(OTHER_IMAGES in row[-1] for row in rows):
        console.line(f"{OTHER_IMAGES}: of other images; this digest is of the observed labels, records hold both.")
    if any(not one.noisy.truth for one in found):
        console.line(f"{UNKNOWN}: the true labels are unknown, so nothing can be compared with them.")


def _row(number: int, one: Combination) -> list[str]:
    cell, noisy, ends = one.cell, one.noisy, one.extremes
    rates = noisy.per_class_rate or []
    low, high = (f"{_percent(rates[end])} {one.name(end)}" for end in ends) if ends else (UNKNOWN, UNKNOWN)
    if one.has_outside:
        high = f"{_percent(1.0)} {one.name(OUTSIDE)}"
    validation = one.few["validation"].noisy.realised_rate
    return [
        str(number + 1), dataset_name.shown(cell.dataset), cell.noise, str(cell.shots), str(cell.seed),
        f"{100 * cell.rate:.4g}" if cell.rate else UNKNOWN, _percent(noisy.realised_rate), _percent(validation),
        low, high, str(len(one.unsupported)) if noisy.truth else UNKNOWN, noisy.digest[:DIGITS],
    ]  # fmt: skip


def _same(found: Sequence[Combination]) -> list[list[int]]:
    """Find for each combination the others with the same training labels."""
    digests = [one.noisy.digest for one in found]
    return [[j for j, other in enumerate(digests) if j != i and other == mine] for i, mine in enumerate(digests)]


def _detail(one: Combination) -> None:
    console.line()
    console.table(*_classes(one), title=one.label)
    if len(one.class_names) > CLASSES:
        console.line(f"the worst (or largest) {CLASSES} of {len(one.class_names)} classes; --json has all.")
    pairs = [f"{true} -> {observed} {count}" for true, observed, count in one.confusions()]
    if pairs:
        more = f" and {len(pairs) - CONFUSIONS} more pairs" if len(pairs) > CONFUSIONS else ""
        console.line(f"strongest confusions: {', '.join(pairs[:CONFUSIONS])}{more}")
    if one.unsupported:
        console.line(f"without any clean sample: {', '.join(map(one.name, one.unsupported))}")
    short = one.few["train"].short
    if short:
        console.line(f"fewer images than shots: {', '.join(f'{one.name(k)} {n}' for k, n in short.items())}")
    for name, value in one.few["train"].facts.items():
        told = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        console.line(f"{name}: {told}")


def _classes(one: Combination) -> tuple[list[str], list[list[str]]]:
    """Format the table of classes; observed counts alone where the true labels are unknown."""
    counts, rates = one.matrix, one.noisy.per_class_rate
    labels = range(len(one.class_names))
    if len(labels) > CLASSES:  # the largest, or the worst
        order = [-float(counts[:, n].sum()) if rates is None else -rates[n] for n in labels]
        shown_labels = sorted(labels, key=order.__getitem__)[:CLASSES]
    else:
        shown_labels = list(labels)
    if rates is None:
        return ["class", "labeled so"], [[one.name(n), str(counts[:, n].sum())] for n in shown_labels]
    rows = [
        [one.name(n), str(counts[n].sum()), str(counts[n].sum() - counts[n, n]), _percent(rates[n]),
         str(counts[:, n].sum())]
        for n in shown_labels
    ]  # fmt: skip
    if one.has_outside:
        rows.append([one.name(OUTSIDE), str(counts[-1].sum()), str(counts[-1].sum()), _percent(1.0), "0"])
    return ["class", "samples", "mislabeled", "mislabeled %", "labeled so"], rows


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.1f}"


def _entries(found: Sequence[Combination]) -> list[dict[str, Any]]:
    """Describe each combination as its records do."""
    return [
        {
            **{axis: getattr(one.cell, axis) for axis in LABELLING_AXES},
            "label": noise_text(one.cell.noise, one.cell.rate),
            "class_names": list(one.class_names),
            **{split: part.summary() for split, part in one.few.items()},
            "classes_without_clean_sample": [one.name(label) for label in one.unsupported],
            "classes_short_of_shots": {one.name(k): n for k, n in one.few["train"].short.items()},
            "strongest_confusions": [list(pair) for pair in one.confusions()[:CONFUSIONS]],
            "same_labels_as": [found[other].label for other in same],
        }
        for one, same in zip(found, _same(found), strict=True)
    ]


def _figures(found: Sequence[Combination], folder: Path) -> list[Path]:
    from bench.reports.figures.label_noise import draw_noise

    return draw_noise(found, folder)
