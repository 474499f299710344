"""Rows of the registries: what plugins say of themselves, as text, so that tables, figures and plans import none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.errors import BenchError, did_you_mean

BUILT_IN: Final = "built-in"
OTHERS: Final = "others"
UNIFORM: Final = "uniform"
# Families of methods in the order of tables, in words; where there are many rows, each has a figure of its own.
FAMILIES: Final[Mapping[str, str]] = {
    "references": "variants of CoOp",
    "losses": "methods with another loss",
    "relabelling": "methods with new labels or other networks",
    "splits": "methods that split the set",
    "prompts": "methods with other prompts",
    "features": "methods on features alone",
    OTHERS: "other methods",
}
COLORS: Final = ("black", "orange", "sky", "green", "blue", "vermillion", "purple")
MARKERS: Final = ("none", *"osD^v<>PXdhp*")
DASHES: Final = ("solid", "dotted", "dashed")


@dataclass(frozen=True)
class Row:
    """One plugin: where it is and what it says of itself, without importing it.

    Attributes:
        name: the name used in `bench.toml` and on the command line: no blank and none of []@=,:*".
        target: "module:object".
        summary: one line.
        version: raised whenever results may change; part of every record's key.
        aliases: other names of the same plugin.
        origin: "built-in", "package NAME VERSION" or "file NAME".
        files: where the code of a plugin is that a file has registered: that file, and the object's own.
        plugin_file: the file given as a plugin whose import registered it, "" where none did.
        title: the name in tables and figures; empty for the name as it is.
        paper: where it is from, for example "Zhou et al., IJCV 2022, arXiv 2109.01134".
        family: of a method, one of `FAMILIES`: where it stands in tables and figures.
        cost: seconds per epoch, for estimates before a like cell has been run: of a method relative to CoOp's on the
            same data, of a data set relative to one of as many classes and images.
        classes: of a data set, how many it has, for estimates; 0 where its catalogue entry says it, or nobody.
        images: of a data set, how many it trains on where all shots are asked for, for estimates; 0 where not known.
        alone: of a method, why its cells are never trained in lockstep, as the end of a sentence; empty where they are.
        alone_when: the options under which that holds, such as "faithful=true", written as the condition of an option
            (`bench.contracts.conditions`); empty where it always does.
        color: of a method in figures, one of `COLORS`; this and the next two follow from the name where empty.
        marker: one of `MARKERS`, as matplotlib writes them.
        dash: one of `DASHES`; where empty it follows from the colour.
        identifiable: of a kind of noise, the highest rate at which labels alone can tell the truth; 0.5 where the wrong
            labels of a class are all of one other class. Above it nothing is ranked.
        beside: the option that this limit belongs to, such as "pattern=pair"; empty where it always holds.
        commonest: of a kind of noise, which share of the wrong labels of a class is of the commonest wrong class:
            "uniform" where all other classes are alike, or an option with its default, such as "top_share=0.4". From a
            rate of 1/(1 + share) on that class is as common as the true one, and nothing is ranked; empty for no such
            limit.
        spelled: a default option that the title names all the same, such as "labels=worst".
        version_when: of a method, a condition as in `alone_when` and a version beside `version`, counted from 1 and
            raised in its place where results under that condition alone change, for example ("faithful=true", 2).
        options: "module:object" of a plugin's `Options` where that module imports neither torch nor numpy: reading
            records then waits for no import of the plugin. Empty where they stand in the plugin alone.

    Raises:
        BenchError: a value is not one of these.
    """

    name: str
    target: str
    summary: str = ""
    version: int = 1
    aliases: tuple[str, ...] = ()
    origin: str = BUILT_IN
    files: tuple[str, ...] = ()
    plugin_file: str = ""
    title: str = ""
    paper: str = ""
    family: str = OTHERS
    cost: float = 1.0
    classes: int = 0
    images: int = 0
    alone: str = ""
    alone_when: str = ""
    color: str = ""
    marker: str = ""
    dash: str = ""
    identifiable: float = 1.0
    beside: str = ""
    commonest: str = ""
    spelled: str = ""
    version_when: tuple[()] | tuple[str, int] = ()
    options: str = ""

    def __post_init__(self) -> None:
        """Reject what tables, figures and plans could not use."""
        lists = {"family": FAMILIES, "color": ("", *COLORS), "marker": ("", *MARKERS), "dash": ("", *DASHES)}
        for field, known in lists.items():
            value = getattr(self, field)
            if value not in known:
                self._refuse(field, did_you_mean(str(value), filter(None, known)))
        for field in ("title", "paper", "alone", "alone_when", "beside", "commonest", "spelled", "options"):
            text = getattr(self, field)
            if not isinstance(text, str) or not text.isprintable() or text != text.strip():
                self._refuse(field, "expected one line of text.")
        if self.alone_when and not self.alone:
            self._refuse("alone_when", "expected `alone` beside it, which says why.")
        for field, most in (("cost", 1e6), ("identifiable", 1.0)):
            number = getattr(self, field)
            usable = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
            if not usable or not 0 < number <= most:
                self._refuse(field, f"expected a number above 0, at most {most:g}.")
        for field in ("classes", "images"):
            count = getattr(self, field)
            if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= 10**9:
                self._refuse(field, "expected a whole number, 0 where it is not known.")
        self._check_version()
        for field, word in (("beside", ""), ("spelled", ""), ("commonest", UNIFORM)):
            if (text := getattr(self, field)) not in ("", word) and not all(text.partition("=")):
                self._refuse(field, f"expected {f'{word} or ' * bool(word)}option=value.")

    def _check_version(self) -> None:
        match self.version_when:
            case tuple(()):
                return
            case tuple((str(when), int(version))) if when and version > 1:
                return
        self._refuse("version_when", 'expected a condition and a version above 1, as in ("faithful=true", 2).')

    def _refuse(self, field: str, expected: str) -> None:
        raise BenchError(f'"{self.name}" from {self.origin}: {field} = {getattr(self, field)!r}: {expected}')
