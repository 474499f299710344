"""Noise by a user's transition matrix."""

from __future__ import annotations

import csv
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.contracts.noise import Labels, NoiseOptions, Scene, from_file
from bench.contracts.reading import class_number, read_text
from bench.errors import BenchError
from bench.noise.flip import Relabel
from bench.noise.helpers import by_row

TOLERANCE = 1e-6


class Matrix(Relabel):
    """Labels drawn from the true class's row of a matrix T. T[y, j] is the share of class y labelled j.

    The file is CSV: C rows of C numbers in class order, or C + 1 rows where the first names the observed classes and
    the first cell of the others the true class (what stands in the corner is not read); named classes may stand in any
    order. Shares lie in [0, 1] and every row sums to one within 1e-6; rows are then scaled to one exactly.

    The class-conditional model of Patrini et al. (CVPR 2017, arXiv 1609.03683); Co-teaching (arXiv 1804.06872) draws
    its noise so, sample by sample. The rate is in the matrix, so the kind takes none and is not nested; each sample has
    one uniform number, so that matrices which differ little give labels which differ little. Pitfall: counts are
    binomial, and few shots may be far from the matrix: read the realised rate and the confusion in the record.
    """

    kind: ClassVar[str] = "matrix"
    takes_rate: ClassVar[bool] = False

    class Options(NoiseOptions):
        """File of the matrix."""

        file: str = from_file("", "transition matrix as CSV, with or without class names")

    options: Matrix.Options

    def corrupt(self, true: Labels, positions: Labels, scene: Scene, rate: float) -> Labels:
        """Draw one label for each sample from the row of its true class."""
        shares = read_matrix(self.kind, self.options.file, scene.class_names)
        return by_row(shares[true], scene.stream(self.kind).uniform(len(true)))


def read_matrix(kind: str, file: str, class_names: tuple[str, ...]) -> NDArray[np.float64]:
    """Read the matrix of a file in class order, [C, C].

    Raises:
        BenchError: the file cannot be read, or is no transition matrix of these classes.
    """
    where, count = f'noise {kind}: file "{file}"', len(class_names)
    text = read_text(kind, file, "a transition matrix as CSV")
    rows = [row for row in csv.reader(text.splitlines(), skipinitialspace=True) if any(map(str.strip, row))]
    widths = {len(row) for row in rows}
    if len(rows) not in (count, count + 1) or widths != {len(rows)}:
        width = "no" if not widths else " or ".join(map(str, sorted(widths)))
        raise BenchError(
            f"{where} has {len(rows)} rows of {width} cells; expected {count} of {count}, "
            "or one more of each with class names."
        )
    named = len(rows) > count
    columns = _order(f"{where}, first row", rows[0][1:], class_names) if named else list(range(count))
    lines = _order(f"{where}, first column", [row[0] for row in rows[1:]], class_names) if named else columns
    cells = [row[1:] for row in rows[1:]] if named else rows
    found = np.zeros((count, count))
    for line, row in zip(lines, cells, strict=True):
        found[line, columns] = [_share(f'{where}, row "{class_names[line]}"', cell) for cell in row]
    for name, total in zip(class_names, found.sum(1), strict=True):
        if abs(total - 1) > TOLERANCE:
            raise BenchError(f'{where}, row "{name}" sums to {total:.8g}; every row must sum to 1, correct its shares.')
    found /= found.sum(1, keepdims=True)
    return found


def _order(where: str, names: list[str], class_names: tuple[str, ...]) -> list[int]:
    """Return the class number of every name."""
    numbers: list[int] = []
    for name in names:
        try:
            number = class_number(name, class_names)
        except BenchError as error:
            raise BenchError(f"{where}: {error}") from None
        if number in numbers:
            raise BenchError(f'{where}: class "{class_names[number]}" stands there twice; name every class once.')
        numbers.append(number)
    return numbers


def _share(where: str, cell: str) -> float:
    try:
        share = float(cell)
    except ValueError:
        raise BenchError(f'{where}: "{cell.strip()}" is not a number; expected a share in [0, 1].') from None
    if not 0 <= share <= 1:
        raise BenchError(f"{where}: {share:g} is not a share; expected a number in [0, 1].")
    return share
