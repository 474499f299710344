"""Table at the end of a run: accuracy and cost per method and noise."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from bench.grid.options import method_variant
from bench.plugins import METHODS, NOISE
from bench.records.cell import Cell, Role, noise_text
from bench.records.naming import backbone_names, dataset_names, marked, marks, suffix
from bench.records.record import Record
from bench.records.truth import completed

AGREEMENT = "agreement with given test labels"
MEMORIZED, AGREES, SKIPPED = "memorized %", "agrees with given %", "skipped"
SPREAD, STANDING = "±", "best"
HEADINGS = [
    "dataset", "noise", "method", "seeds", "accuracy %", SPREAD, STANDING, MEMORIZED, AGREES, "seconds", "unfinished",
    SKIPPED,
]  # fmt: skip
SHOWN_FIELDS = {"dataset", *Cell.fields_of(Role.TABLE)}  # with a column, or options of one
UNRANKED = "not ranked"  # for want of seeds and wrong labels in common with the others
FEWEST_SEEDS = 2  # of one seed nothing can be told apart
TableRow = tuple[str, ...]


def summary_rows(records: Iterable[Record]) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows, in the order of the records.

    Accuracy is the mean over seeds of the last test accuracy, memorized that of the last share of mislabeled samples
    predicted as their given label, agreement that of all training samples predicted so, in percent; seconds are a
    cell's mean. What has finished without an accuracy counts as unfinished. Memorized is shown where the truth of some
    records is known, agreement where that of some is not. The folds of a method are one row, each of its means over
    them. The sample standard deviation is over seeds, and "best" says how trained methods stand within a noise, by the
    rule of `bench.standing`, and which are not ranked, for want of seeds and wrong labels in common with the others.
    Both are left out where no row has one.
    """
    groups: dict[TableRow, list[Record]] = defaultdict(list)
    records = list(records)
    for record, name in zip(records, row_names(records), strict=True):
        groups[name].append(record)
    known = {record.noise.truth for record in records} - {None}
    standings = _standings(groups)
    spreads = {name: _spread(group) for name, group in groups.items()}
    hidden = {
        *([SPREAD] if not any(spreads.values()) else []),
        *([STANDING] if not any(standings.values()) else []),
        *([MEMORIZED] if known == {False} else []),
        *([AGREES] if False not in known else []),
        *([SKIPPED] if all(record.status != "skipped" for record in records) else []),
    }
    kept = [index for index, column in enumerate(HEADINGS) if column not in hidden]
    rows = [[*name, *_numbers(group, spreads[name], standings.get(name, ""))] for name, group in groups.items()]
    return [HEADINGS[index] for index in kept], [[row[index] for index in kept] for row in rows]


def row_names(records: Sequence[Record]) -> list[TableRow]:
    """Return each record's data set, with the fields of the cell that differ, its noise and its method."""
    fields = [name for name in Cell.model_fields if name not in SHOWN_FIELDS]
    cells = [record.cell for record in records]
    fixed = [{name: getattr(cell, name) for name in fields} for cell in cells]
    fixed = [{**values, "backbone": name} for values, name in zip(fixed, backbone_names(records), strict=True)]
    varying = _varying(records, fixed)
    settings = [
        " · ".join((dataset, *(f"{name.replace('_', ' ')} {values[name]}" for name in varying)))
        for dataset, values in zip(dataset_names(records), fixed, strict=True)
    ]
    right = completed([record.data.test_truth for record in records], settings)
    settings = [name if true else f"{name} · {AGREEMENT}" for name, true in zip(settings, right, strict=True)]
    noises = [noise_text(cell.noise, cell.rate) for cell in cells]
    by_noise = marks(records, "noise", lambda number: (settings[number], noises[number]))
    variants = {str((cell.method, cell.options)): cell for cell in cells}  # few of many records
    named = {text: method_variant(cell.method, cell.options) for text, cell in variants.items()}
    methods = [named[str((cell.method, cell.options))] + suffix(cell) for cell in cells]
    by_method = marks(records, "method", lambda number: (settings[number], methods[number]))
    noises = [marked(*pair) for pair in zip(noises, by_noise, strict=True)]
    methods = [marked(*pair) for pair in zip(methods, by_method, strict=True)]
    return list(zip(settings, noises, methods, strict=True))


def _varying(records: Sequence[Record], fixed: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the fields in which records differ.

    Those that a budget leaves to each method count where a method's differ.
    """
    seen: dict[tuple[str, ...], set[Any]] = defaultdict(set)
    for record, values in zip(records, fixed, strict=True):
        own = Cell.own_fields(record.cell.budget)
        for name, value in values.items():
            method = (record.cell.method, str(record.cell.options)) if name in own else ()
            seen[(name, *method)].add(value)
    differing = {place[0] for place, found in seen.items() if len(found) > 1}
    return [name for name in (fixed or [{}])[0] if name in differing]


def in_order(records: Iterable[Record]) -> list[Record]:
    """Sort records as a grid would: by data set, setting, noise and rate, method, seed.

    Registered methods come first.
    """
    noises, methods = ({name: place for place, name in enumerate(registry)} for registry in (NOISE, METHODS))

    def place(record: Record) -> tuple[Any, ...]:
        cell = record.cell
        kind = cell.noise.partition("[")[0]
        return (
            cell.dataset, cell.backbone, cell.shots, cell.epochs, noises.get(kind, len(noises)), cell.noise, cell.rate,
            methods.get(cell.method, len(methods)), cell.method, cell.suffix, str(cell.options), cell.seed, record.key,
        )  # fmt: skip

    return sorted(records, key=place)


def _standings(groups: Mapping[TableRow, Sequence[Record]]) -> dict[TableRow, str]:
    """Format how each row stands among the trained methods of its noise."""
    from bench import standing  # not at the top, since it imports scipy

    columns: dict[tuple[str, ...], dict[str, dict[str, float]]] = defaultdict(dict)
    told = {(name[0], name[2]) for name, group in groups.items() if any(record.oracle for record in group)}
    for name, group in groups.items():
        done = {f"{r.cell.seed} {r.noise.digest}": 100 * (r.accuracy.last or 0.0) for r in _done(group)}
        unranked = any(r.cell.method == standing.REFERENCE or r.cell.subset != "all" for r in group)
        cell, classes = group[0].cell, max(record.data.class_count for record in group)
        if unranked or not done or (name[0], name[2]) in told:
            continue
        if standing.identifiable(cell.noise, cell.rate, classes):
            columns[name[:2]][name[2]] = done
    found: dict[TableRow, str] = {}
    for column, judged in standing.judged(columns).items():
        if judged.seeds < FEWEST_SEEDS:
            continue
        found |= {(*column, label): UNRANKED for label in judged.unranked}
        printed = {label: _mean(list(columns[column][label].values()), 1) for label in judged.labels}
        for label, stands in standing.marks(judged, printed).items():
            sign = standing.UNSTABLE * stands.unstable + standing.NEAR * stands.near
            found[*column, label] = " ".join(filter(None, (stands.mark, sign)))
    return found


def _done(group: Iterable[Record]) -> list[Record]:
    return [r for r in group if r.status == "done" and r.accuracy.last is not None and math.isfinite(r.accuracy.last)]


def _spread(group: Sequence[Record]) -> str:
    """Format the sample standard deviation over seeds in points; empty of one seed and of folds."""
    values = [100 * (record.accuracy.last or 0.0) for record in _done(group)]
    return f"{stdev(values):.1f}" if len(values) > 1 and not any(record.cell.fold for record in group) else ""


def _numbers(group: list[Record], spread: str, stands: str) -> list[str]:
    done = _done(group)
    skipped = sum(record.status == "skipped" for record in group)
    left = len(group) - len(done) - skipped
    return [
        str(len({record.cell.seed for record in done})),
        _mean([record.accuracy.last for record in done], 100),
        spread,
        stands,
        _mean(_last(done, "memorized"), 100),
        _mean(_last(done, "train_given_accuracy"), 100),
        _mean([record.cost.seconds for record in done], 1),
        str(left) if left else "",
        str(skipped) if skipped else "",
    ]


def _last(records: list[Record], name: str) -> list[float | int | None]:
    return [values[-1] for record in records if (values := record.curve.columns.get(name))]


def _mean(values: list[float | int | None], scale: float) -> str:
    known = [value for value in values if isinstance(value, int | float) and math.isfinite(value)]
    return f"{scale * fmean(known):.1f}" if known else "–"
