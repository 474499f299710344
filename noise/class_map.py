"""Noise along a map of classes: from the user's file of pairs, or from a derived class."""

from __future__ import annotations

import csv
from abc import abstractmethod
from typing import ClassVar

import numpy as np

from bench.contracts.noise import Labels, NoiseOptions, Scene, from_file
from bench.contracts.reading import class_number, read_text
from bench.errors import BenchError
from bench.noise.flip import Relabel, changed, leading, require_classes

PAIRS = "a file of class pairs, one from,to or from -> to in a line"


class Mapped(Relabel):
    """⌊r·n_c⌋ samples of every mapped class get a uniformly drawn target. The other classes stay clean.

    Nested over rates: within a class the samples of a private permutation are taken from the front, each with one
    target of its own. The realised rate of the set is r times the share of samples in mapped classes.
    """

    def corrupt(self, true: Labels, positions: Labels, scene: Scene, rate: float) -> Labels:
        """Replace the labels of the first ⌊r·n_c⌋ samples of every mapped class."""
        require_classes(self.kind, scene)
        stream = scene.stream(self.kind)
        order, which = stream.permutation(len(true)), stream.uniform(len(true))
        wrong = true.copy()
        for start, targets in self.targets(scene).items():
            members = true == start
            wrong[members] = np.asarray(targets)[(which[members] * len(targets)).astype(np.int64)]
        return changed(true, wrong, leading(order, rate, true))

    @abstractmethod
    def targets(self, scene: Scene) -> dict[int, tuple[int, ...]]:
        """Return the classes that each mapped class is mistaken for.

        Raises:
            BenchError: the map does not fit the data set.
        """


class ClassMap(Mapped):
    """Asymmetric noise along a file of class pairs. ⌊r·n_c⌋ of every class that has a pair get one of its targets.

    Each line of the file reads `from,to` (CSV, so a name with a comma stands in double quotes) or `from -> to`, with
    names as in the data set; case and `_` for a space do not matter. Blank lines, lines that start with # and a first
    line `from,to` are passed over. Several lines of one class are several targets, drawn uniformly. Nested over rates.

    A share r of every mapped class is what DivideMix (arXiv 2002.07394) and ELR (arXiv 2007.00151) aim at with their
    map of CIFAR-10; they draw the samples from the whole set or one by one, here the number is exact. Pitfalls: the
    realised rate is below r where classes have no pair; above one half the wrong label is the majority of a mapped
    class; with s samples of a class, rates below 1/s flip none of them (the validation twin has at most four).
    """

    kind: ClassVar[str] = "class-map"

    class Options(NoiseOptions):
        """File of class pairs."""

        file: str = from_file("", "class pairs, one from,to or from -> to in a line")

    options: ClassMap.Options

    def targets(self, scene: Scene) -> dict[int, tuple[int, ...]]:
        """Read and check the pairs of the file."""
        file, names = self.options.file, scene.class_names
        found: dict[int, list[int]] = {}
        for number, pair in _pairs(self.kind, file):
            where = f'noise {self.kind}: line {number} of "{file}"'
            start, end = (_class(where, name, names) for name in pair)
            if start == end:
                raise BenchError(f'{where} maps "{names[start]}" to itself; name another class or remove the line.')
            if end in found.setdefault(start, []):
                raise BenchError(f"{where} repeats an earlier line; remove one of the two.")
            found[start].append(end)
        if not found:
            raise BenchError(f'noise {self.kind}: file "{file}" has no pair; expected from,to or from -> to in a line.')
        return {start: tuple(ends) for start, ends in found.items()}


def _pairs(kind: str, file: str) -> list[tuple[int, list[str]]]:
    """Read line numbers, from 1, with the two names each."""
    pairs: list[tuple[int, list[str]]] = []
    for number, line in enumerate(read_text(kind, file, PAIRS).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = line.split("->") if "->" in line else next(csv.reader([line], skipinitialspace=True))
        names = [cell.strip() for cell in cells]
        if not pairs and [name.lower() for name in names] == ["from", "to"]:
            continue
        if len(names) != 2 or not all(names):
            raise BenchError(
                f'noise {kind}: line {number} of "{file}" is "{line.strip()}"; expected from,to or from -> to.'
            )
        pairs.append((number, names))
    return pairs


def _class(where: str, name: str, class_names: tuple[str, ...]) -> int:
    try:
        return class_number(name, class_names)
    except BenchError as error:
        raise BenchError(f"{where}: {error}") from None
