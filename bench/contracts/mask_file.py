"""Mask files: images of a cell with their true and observed labels, as CSV that can be published.

Lines `# key: value` say where a mask comes from. Below them stand the columns split, path, true_label and
observed_label, one row per sample: the training samples in the order in which methods see them, then those of the noisy
validation twin. A path is the name of the image in its data set; a true label that is unknown, or none of the classes,
is empty. An image of another data set is called "NAME:path", and the line `foreign` has that NAME.

A mask from elsewhere needs no line of comment and no more columns than `path`, or `index` for the position in the
split, and `observed_label` or `label`; classes are written as names or as numbers in the stored order. Rows
without a split are training rows.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contracts.dataset import SplitName
from bench.contracts.reading import read_text
from bench.errors import BenchError, did_you_mean
from bench.files import write_whole

FORMAT = "1"
COLUMNS = ("split", "path", "true_label", "observed_label")
SPLITS: tuple[SplitName, ...] = ("train", "validation")
ORIGIN = ("dataset", "data", "noise", "options", "rate", "shots", "seed")


@dataclass(frozen=True, slots=True)
class MaskRow:
    """One sample, as written: line of the file, split, path or index, true label ("" where none), observed label."""

    line: int
    split: SplitName
    image: str
    true: str
    observed: str


@dataclass(frozen=True)
class MaskFile:
    """A mask as read.

    Attributes:
        name: of the file, for messages.
        header: the lines of comment by key.
        rows: in the order of the file.
        by_index: whether images are named by their position in the split.
    """

    name: str
    header: Mapping[str, str]
    rows: Sequence[MaskRow]
    by_index: bool = False

    def of(self, split: SplitName) -> list[MaskRow]:
        """List the rows of a split, in the order of the file."""
        return [row for row in self.rows if row.split == split]

    def origin(self) -> dict[str, Any]:
        """Read from the header where the labels come from; numbers and tables are parsed."""
        return {key: value(self.header[key]) for key in ORIGIN if key in self.header}


def read(path: str) -> MaskFile:
    """Read a mask; it is not compared with a data set.

    Raises:
        BenchError: the file cannot be read, is no CSV of the form above, or has no row.
    """
    name = f'mask "{path}"'
    text = read_text("mask", path, "a CSV of images and labels")
    header, lines, body = _split(text)
    try:
        table = [(lines + number, cells) for number, cells in _cells(body)]
    except csv.Error as error:
        raise BenchError(f"{name} is no CSV: {error}; see `bench noise export` for the form.") from error
    if len(table) < 2:
        raise BenchError(f"{name} has no rows; expected one per sample, see `bench noise export` for the form.")
    columns = [cell.strip().lower() for cell in table[0][1]]
    image, observed = _column(name, columns, ("path", "index")), _column(name, columns, ("observed_label", "label"))
    for line, cells in table[1:]:
        if len(cells) != len(columns):
            raise BenchError(f"{name}, line {line}: {len(cells)} values, expected {len(columns)} as in its first row.")
    rows = []
    for line, cells in table[1:]:
        found = dict(zip(reversed(columns), reversed(cells), strict=True))  # of two columns of a name the first counts
        split = _split_name(name, line, found.get("split", "train"))
        rows.append(MaskRow(line, split, found[image], found.get("true_label", "").strip(), found[observed].strip()))
    return MaskFile(name, header, rows, image == "index")


def write(path: Path, header: Mapping[str, str], rows: Iterable[Sequence[str]]) -> None:
    """Write a mask, whole or not at all.

    Raises:
        BenchError: the file cannot be written.
    """
    body = io.StringIO(newline="")
    body.writelines(f"# {key}: {value}\n" for key, value in header.items())
    csv.writer(body, lineterminator="\n").writerows([COLUMNS, *rows])
    try:
        write_whole(path, body.getvalue())
    except UnicodeEncodeError as error:
        line = body.getvalue()[: error.start].rpartition("\n")[2] + error.object[error.start :].partition("\n")[0]
        shown = line.encode("ascii", "backslashreplace").decode()
        raise BenchError(f'mask row "{shown}": the name of the image is not valid Unicode; rename it.') from error
    except OSError as error:
        raise BenchError(f'mask "{path}" cannot be written: {error.strerror}; change --out.') from error


def _split(text: str) -> tuple[dict[str, str], int, str]:
    """Split a file into lines of comment by key, their number, and the table."""
    lines = text.split("\n")
    count = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    pairs = [line.lstrip("#").partition(":") for line in lines[:count]]
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}, count, "\n".join(lines[count:])


def _cells(body: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(body, newline=""), strict=True)
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _column(name: str, columns: Sequence[str], wanted: Sequence[str]) -> str:
    for column in wanted:
        if column in columns:
            return column
    seen = ", ".join(columns)
    shown = seen if len(seen) < 100 else f"{seen[:100]}…"
    raise BenchError(f"{name} has no column {wanted[0]} (or {wanted[1]}); found {shown}; add it.")


def _split_name(name: str, line: int, text: str) -> SplitName:
    for split in SPLITS:
        if text.strip() == split:
            return split
    raise BenchError(f'{name}, line {line}: split "{text}"; {did_you_mean(text, SPLITS)}')


def value(text: str) -> Any:
    """Parse a number or a table from the text of a header; other text stays text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, (int, float, dict)) and not isinstance(found, bool) else text
