"""CSV of a user's images and labels. Columns are path, label, and optionally true_label, split, further labels."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.contracts.dataset import SPLITS, SplitName
from bench.data.own.parts import (
    GIVEN,
    SPLIT_NAMES,
    TRUE,
    UNDERSTOOD,
    OwnSplit,
    like_split,
    split_of,
    text_of,
    unknown_class,
)
from bench.errors import BenchError, did_you_mean

PATH, SPLIT = "path", "split"
_SETS = {"label": GIVEN, "true": TRUE, "true_label": TRUE}
_LABEL_COLUMN = re.compile(r"label:\s*(?P<after>.+)|(?P<before>.+?)[ _-]label[ _-]?(?P<number>\d*)")
_SPELLED_OUT = {"aggre": "aggregate", "worse": "worst"}  # as the files of CIFAR-N (Wei et al., ICLR 2022) abbreviate


@dataclass(frozen=True)
class _Row:
    """Row of the CSV: its line in the file and its values by column."""

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True)
class _Columns:
    """Label columns by the name of their set, and the sets that must hold classes."""

    labels: Mapping[str, str]
    binding: frozenset[str]


def read_table(file: Path, classes: Sequence[str] | None) -> dict[SplitName, OwnSplit]:
    """Read the images of a CSV by the splits that it names; "train" where it names none.

    Columns: `path` relative to the CSV's folder; `label` or `true_label` (or `true`), or both; `split`; and further
    sets of labels, `NAME_label` or `label:NAME`, or any other column that holds classes alone. Without a column
    `split`, paths that begin with the folder of a split say it. Within a split a set of labels is whole or absent.

    Args:
        file: the CSV.
        classes: the classes that are allowed, or None where those of the training images are.

    Raises:
        BenchError: the file, a column or a row is not as expected; names the line.
    """
    header, rows = _read(file)
    columns = _columns(file, header)
    if not rows:
        raise BenchError(f'"{file}" lists no image; add a row for each.')
    names = _names(file, rows)
    splits = _splits(file, rows, names, columns)
    parts = {}
    for split in SPLITS:
        members = sorted((i for i in range(len(rows)) if splits[i] == split), key=lambda i: names[i])
        if members:
            parts[split] = _part(file, columns, [rows[i] for i in members], [names[i] for i in members])
    if "train" not in parts:
        raise BenchError(f'"{file}" lists no training image; write train in column "split" for some.')
    allowed = set(classes or parts["train"].classes)
    return {split: _checked(part, columns, allowed) for split, part in parts.items()}


def write_table(parts: Mapping[SplitName, OwnSplit]) -> tuple[list[str], list[list[str]]]:
    """Return names of columns and rows of a CSV from which `read_table` reads these splits."""
    sets = list(dict.fromkeys(name for part in parts.values() for name in part.labels))
    sets.sort(key=lambda name: (name != GIVEN, name != TRUE))
    rows = [
        # Values are stripped when they are read; a path that begins with a space does not begin with it here.
        [
            f"./{name}" if name != name.lstrip() else name,
            split,
            *(part.labels[key][i] if key in part.labels else "" for key in sets),
        ]
        for split, part in parts.items()
        for i, name in enumerate(part.names)
    ]
    columns = {GIVEN: "label", TRUE: "true_label"}
    return [PATH, SPLIT, *(columns.get(name, f"label:{name}") for name in sets)], rows


def _read(file: Path) -> tuple[list[str], list[_Row]]:
    """Read column names and rows, without the blank lines and columns that spreadsheets leave."""
    reader = csv.reader(io.StringIO(text_of(file), newline=""), strict=True)
    header: list[str] = []
    rows = []
    try:
        for line in reader:
            values = [value.strip() for value in line]
            if not any(values):
                continue
            if header:
                rows.append(_Row(reader.line_num, _named(file, reader.line_num, header, values)))
            else:
                header = [name.casefold() for name in values]
    except csv.Error as error:
        raise BenchError(f'"{file}" line {reader.line_num} is not CSV: {error}; put it right.') from error
    return [name for name in header if name], rows


def _named(file: Path, line: int, header: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    """Return the values of a row by column.

    Raises:
        BenchError: there are more values than columns, or fewer; or one in a column without a name.
    """
    least = max(index for index, name in enumerate(header, 1) if name)
    if len(values) < least or any(values[len(header) :]):
        raise BenchError(
            f'"{file}" line {line}: found {len(values)} values, expected {len(header)} as in the first line; put a '
            "value that has a comma in double quotes."
        )
    pairs = list(zip(header, values, strict=False))
    if lost := [(place, value) for place, (name, value) in enumerate(pairs, 1) if value and not name]:
        raise BenchError(
            f'"{file}" line {line}: column {lost[0][0]} holds "{lost[0][1]}" and has no name in the first line; name '
            "it, or empty it."
        )
    return {name: value for name, value in pairs if name}


def _columns(file: Path, header: Sequence[str]) -> _Columns:
    """Find the columns of labels.

    Raises:
        BenchError: a column is missing, or two would be the same.
    """
    found = f"found {', '.join(header)}" if header else "found none"
    if PATH not in header:
        raise BenchError(f'"{file}" has no column "path"; {found}; name columns in the first line, between commas.')
    labels: dict[str, str] = {}
    binding = set()
    for column in (name for name in header if name not in (PATH, SPLIT)):
        match = _LABEL_COLUMN.fullmatch(column)
        name = _SETS.get(column) or _set_name(column, match)
        if name in labels:
            raise BenchError(
                f'"{file}": columns "{labels[name]}" and "{column}" are one set of labels, {name}; remove one of them.'
            )
        labels[name] = column
        if match or name in (GIVEN, TRUE):
            binding.add(name)
    if GIVEN not in labels and TRUE not in labels:
        raise BenchError(f'"{file}" has no column "label"; {found}; name the column that holds the classes so.')
    return _Columns(labels, frozenset(binding))


def _set_name(column: str, match: re.Match[str] | None) -> str:
    """Return the name of a label set from its column.

    "worse_label" is "worst", "random_label1" is "random1", "alice" is itself.
    """
    bare = column if match is None else match["after"] or match["before"] + match["number"]
    return _SPELLED_OUT.get(bare, bare)


def _names(file: Path, rows: Sequence[_Row]) -> list[str]:
    """Return paths with forward slashes, checked to be unique and to exist.

    Raises:
        BenchError: one is empty, leads out of the folder, stands twice or names no file.
    """
    lines: dict[str, int] = {}
    for row in rows:
        path = PurePosixPath(row.values[PATH])
        name = path.as_posix()
        if not row.values[PATH]:
            raise BenchError(f'"{file}" line {row.line}: path is empty; name an image, or remove the line.')
        if path.is_absolute() or ".." in path.parts:
            raise BenchError(
                f'"{file}" line {row.line}: path "{path}" leads out of the folder of the CSV; write one inside it.'
            )
        if name in lines:
            raise BenchError(f'"{file}" line {row.line}: path "{name}" is in line {lines[name]} too; remove one.')
        lines[name] = row.line
    if absent := [name for name in lines if not _is_file(file.parent / name)]:
        raise BenchError(
            f'"{file}" names {len(absent)} of {len(lines)} images that are not there, first "{absent[0]}" in line '
            f"{lines[absent[0]]}; paths are relative to the folder of the CSV."
        )
    return list(lines)


def _is_file(path: Path) -> bool:
    return os.access(path, os.F_OK) and path.is_file()  # the first is not troubled by a name that is too long


def _splits(file: Path, rows: Sequence[_Row], names: Sequence[str], columns: _Columns) -> list[SplitName]:
    """Return the split of every row: its column's, else its folder's, else "train".

    Raises:
        BenchError: a split is unknown, or only some paths begin with the folder of a split.
    """
    if SPLIT in rows[0].values:
        found = [split_of(row.values[SPLIT]) for row in rows]
        if None in found:
            row = rows[found.index(None)]
            hint = did_you_mean(row.values[SPLIT].casefold(), SPLIT_NAMES)
            raise BenchError(f'"{file}" line {row.line}: split "{row.values[SPLIT]}" is unknown; {hint}')
        return [split for split in found if split]
    label = columns.labels.get(GIVEN) or columns.labels[TRUE]
    folders = [name.partition("/")[0] if "/" in name else "" for name in names]
    # A folder that is called like its own class is the class's.
    own = [folder == row.values[label] for folder, row in zip(folders, rows, strict=True)]
    inside = [None if mine else split_of(folder) for folder, mine in zip(folders, own, strict=True)]
    splits = [split for split in inside if split]
    strange = [i for i in range(len(rows)) if not inside[i] and (splits or (like_split(folders[i]) and not own[i]))]
    if strange:
        row = rows[strange[0]]
        others = ", as others are" if splits else f"; splits are called {UNDERSTOOD}"
        raise BenchError(
            f'"{file}" line {row.line}: "{row.values[PATH]}" is in no folder of a split{others}; add a column split '
            "with train, validation or test."
        )
    return splits or ["train"] * len(rows)


def _part(file: Path, columns: _Columns, rows: Sequence[_Row], names: Sequence[str]) -> OwnSplit:
    """Build one split, with the sets of labels that all of its images have.

    Raises:
        BenchError: a column that must hold classes is empty for some images; or label and true label for all.
    """
    labels = {}
    for name, column in columns.labels.items():
        values = [row.values[column] for row in rows]
        if all(values):
            labels[name] = values
        elif name in columns.binding and any(values):
            line = rows[values.index("")].line
            raise BenchError(
                f'"{file}" line {line}: {column} is empty; fill it in for every image of a split, or for none.'
            )
    if GIVEN not in labels and TRUE not in labels:
        raise BenchError(f'"{file}" line {rows[0].line}: the label is empty; write the name of a class.')
    return OwnSplit(names, labels, [f'"{file}" line {row.line}' for row in rows])


def _checked(part: OwnSplit, columns: _Columns, allowed: set[str]) -> OwnSplit:
    """Return the part without columns that hold something else than classes.

    Raises:
        BenchError: a column that must hold classes has another value.
    """
    kept = {}
    for name, values in part.labels.items():
        unknown = next((i for i, value in enumerate(values) if value not in allowed), None)
        if unknown is None:
            kept[name] = values
        elif name in columns.binding:
            raise unknown_class(part.where[unknown], columns.labels[name], values[unknown], allowed)
    return OwnSplit(part.names, kept, part.where)
