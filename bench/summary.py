"""The table at the end of a run: per method and noise, what came out and what it took."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from bench.cell import Cell, Record, noise_text
from bench.data.named import folder_of, shown
from bench.resolve import told
from bench.variants import variant_text
from methods import METHODS
from noise import NOISE

MEMORIZED, AGREES, SKIPPED = "memorized %", "agrees with given %", "skipped"
COLUMNS = ["dataset", "noise", "method", "seeds", "accuracy %", MEMORIZED, AGREES, "seconds", "unfinished", SKIPPED]
Row = tuple[str, ...]


def summary_rows(records: Iterable[Record]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows, in the order of the records.

    Accuracy is the mean over seeds of the last test accuracy, memorized that of the last share of mislabeled samples
    predicted as their given label, agreement that of all training samples predicted so, in percent; seconds are a
    cell's mean. Memorized is shown where the truth of some records is known, agreement where that of some is not. The
    folds of a method are one row, each of its means over them.
    """
    groups: dict[Row, list[Record]] = defaultdict(list)
    records = list(records)
    for record, name in zip(records, row_names(records), strict=True):
        groups[name].append(record)
    known = {record.noise["truth"] for record in records if "truth" in record.noise}
    hidden = {
        *([MEMORIZED] if known == {False} else []),
        *([AGREES] if False not in known else []),
        *([SKIPPED] if all(record.status != "skipped" for record in records) else []),
    }
    kept = [index for index, column in enumerate(COLUMNS) if column not in hidden]
    rows = [[*name, *_numbers(group)] for name, group in groups.items()]
    return [COLUMNS[index] for index in kept], [[row[index] for index in kept] for row in rows]


def row_names(records: Sequence[Record]) -> list[Row]:
    """What each record's row is told apart by: data set with the settings that differ, noise, method."""
    varying = _varying(records)
    names: list[Row] = []
    for record, dataset in zip(records, dataset_names(records), strict=True):
        cell = record.cell
        method = variant_text(cell.method, told(cell.method, cell.options)) + suffix(cell)
        others = [f"{name} {getattr(cell, name)}" for name in ("backbone", "shots", "epochs") if name in varying]
        others += ["agreement with given test labels"] if record.data.get("test_truth") is False else []
        names.append((" · ".join((dataset, *others)), noise_text(cell.noise, cell.rate), method))
    return names


def in_order(records: Iterable[Record]) -> list[Record]:
    """Records as a grid would have them: by data set, setting, noise and rate, method (registered ones first), seed."""
    noises, methods = ({name: place for place, name in enumerate(registry)} for registry in (NOISE, METHODS))

    def place(record: Record) -> tuple[Any, ...]:
        cell = record.cell
        kind = cell.noise.partition("[")[0]
        return (
            cell.dataset, cell.backbone, cell.shots, cell.epochs, noises.get(kind, len(noises)), cell.noise, cell.rate,
            methods.get(cell.method, len(methods)), cell.method, cell.suffix, str(cell.options), cell.seed, record.key,
        )  # fmt: skip

    return sorted(records, key=place)


def dataset_names(records: Sequence[Record]) -> list[str]:
    """The data set of each record for people; users' folders of one name but other content have a digest behind it."""
    digests: dict[str, set[str]] = defaultdict(set)
    found = {}
    for record in records:
        digest = record.data.get("digest")
        if folder_of(record.cell.dataset) is not None and digest:
            digests[shown(record.cell.dataset)].add(digest)
            found[record.key] = f" ({digest[:6]})"
    names = [shown(record.cell.dataset) for record in records]
    return [
        name + (found.get(record.key, "") if len(digests[name]) > 1 else "")
        for record, name in zip(records, names, strict=True)
    ]


def _numbers(group: list[Record]) -> list[str]:
    done = [record for record in group if record.status == "done"]
    skipped = sum(record.status == "skipped" for record in group)
    left = len(group) - len(done) - skipped
    return [
        str(len({record.cell.seed for record in done})),
        _mean([record.accuracy.get("last") for record in done], 100),
        _mean(_last(done, "memorized"), 100),
        _mean(_last(done, "train_given_accuracy"), 100),
        _mean([record.cost.get("seconds") for record in done], 1),
        str(left) if left else "",
        str(skipped) if skipped else "",
    ]


def suffix(cell: Cell) -> str:
    """The cell's own; all folds of a method are one row."""
    return f"@folds{cell.fold[1]}" if cell.fold else cell.suffix


def _last(records: list[Record], name: str) -> list[float | int | None]:
    return [values[-1] for record in records if (values := record.curve.get(name))]


def _mean(values: list[float | int | None], scale: float) -> str:
    known = [value for value in values if isinstance(value, int | float) and math.isfinite(value)]
    return f"{scale * fmean(known):.1f}" if known else "–"


def _varying(records: Sequence[Record]) -> set[str]:
    """Fields of the cell that differ between the records."""
    seen: dict[str, set[object]] = defaultdict(set)
    for record in records:
        for field in ("backbone", "shots", "epochs"):
            seen[field].add(getattr(record.cell, field))
    return {name for name, values in seen.items() if len(values) > 1}
