"""Fonts for names in any script: installed fonts that have the characters, and a readable form where none has."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from bench import console
from bench.reports.figures.style import FONT

SHOWN: Final = 8  # characters that are named
CHINESE: Final = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO")  # as Unicode's names of characters begin
UNSEEN: Final = ("Cc", "Cf")  # Unicode's categories of characters that have no form of their own
_told: set[str] = set()  # characters that were said to be in no font, in this process and those forked from it


def fit(figure: Figure) -> None:
    """Set fonts that have every character of a figure's texts; a character in no font becomes `\\u732b`.

    To be called before the figure is laid out. A figure that needs no other font than usual is left as it is.
    """
    axes = [axis for one in figure.axes for axis in (one.xaxis, one.yaxis)]
    named = [axis for axis in axes if isinstance(axis.get_major_formatter(), (FixedFormatter, FuncFormatter))]
    labels = {axis: [label.get_text() for label in axis.get_ticklabels()] for axis in named}
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    strange = needed([*(text.get_text() for text in texts), *(name for names in labels.values() for name in names)])
    if not strange:
        return
    tell(strange)
    families = [*dict.fromkeys((usual(), FONT, *_families(strange)[0]))]
    for text in texts:
        if needed([text.get_text()]):
            text.set(fontfamily=families, fontweight="normal", text=_written(text.get_text()))  # few fonts are bold
    for axis, names in labels.items():
        if needed(names):
            shown = [_written(name) for name in names]
            axis.set_ticks(axis.get_majorticklocs(), labels=shown, fontfamily=families)


def class_texts(names: Sequence[str]) -> list[str]:
    """List class names for a figure; "class 3" (counted from 0) where no font has a character."""
    tell(names)
    return [f"class {number}" if _missing(name) else name for number, name in enumerate(names)]


def tell(texts: Iterable[str]) -> None:
    """Report once, on the standard error, which characters no font has, and which package helps."""
    missing = sorted({character for text in texts for character in _missing(text)} - _told)
    if not missing:
        return
    _told.update(missing)
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    chinese = [unicodedata.name(character, "").startswith(CHINESE) for character in missing]
    packages = ["fonts-noto-cjk"] * any(chinese) + ["fonts-noto-core"] * (not all(chinese))
    console.warn(
        f"no installed font has the characters {' '.join(missing[:SHOWN])}{more}; classes are drawn by their number, "
        f"other texts with codes. Noto fonts have them (Debian and Ubuntu: apt install {' '.join(packages)})."
    )


def needed(texts: Iterable[str]) -> frozenset[str]:
    """Find the characters of some texts that the usual font lacks."""
    found = {character for text in texts if not text.isascii() for character in text}
    known = _characters(usual()) & _characters(usual(), "bold") if found else found
    return frozenset(c for c in found if c != "\n" and ord(c) not in known)


def usual() -> str:
    """Name the font in which figures are drawn now."""
    family = str(mpl.rcParams["font.family"][0])
    return FONT if family == "sans-serif" else family


def _missing(text: str) -> frozenset[str]:
    """Find the characters of a text that have a form but no font."""
    strange = needed([text])
    return _families(strange)[1] if strange else strange


def _written(text: str) -> str:
    """Replace characters without a font by codes, and drop those that cannot be seen."""
    missing, unseen = _missing(text), needed([text])
    parts = (
        c.encode("ascii", "backslashreplace").decode() if c in missing else "" if c in unseen and _is_unseen(c) else c
        for c in text
    )
    return "".join(parts)


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in UNSEEN or "VARIATION SELECTOR" in unicodedata.name(character, "")


@lru_cache(maxsize=256)
def _families(strange: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Choose few installed font families that have some characters, greedily; also return what none has."""
    left = {ord(c) for c in strange if not _is_unseen(c)}
    names = {entry.name for entry in _installed() if left & _charmap(entry.fname)} if left else set()
    offers = {name: found for name in names if (found := left & _characters(name))}
    families: list[str] = []
    while useful := sorted(name for name, found in offers.items() if found & left):
        families.append(max(useful, key=lambda name: (len(offers[name] & left), "Sans" in name)))
        left -= offers[families[-1]]
    return tuple(families), frozenset(map(chr, left))


def _installed() -> Iterator[FontEntry]:
    """List this machine's fonts, new ones too, without matplotlib's own, which are for formulas."""
    manager, own = font_manager.fontManager, Path(mpl.get_data_path())
    known = {entry.fname for entry in manager.ttflist}
    for file in sorted(set(font_manager.findSystemFonts()) - known):
        try:
            manager.addfont(file)
        except (OSError, RuntimeError, ValueError, KeyError):  # a font that matplotlib cannot read
            continue
    return (entry for entry in manager.ttflist if not Path(entry.fname).is_relative_to(own))


@lru_cache(maxsize=64)
def _characters(family: str, weight: str = "normal") -> frozenset[int]:
    """Read the codes of the characters that a family has."""
    return _charmap(str(font_manager.findfont(FontProperties(family=[family], weight=weight))))


@lru_cache(maxsize=1024)
def _charmap(file: str) -> frozenset[int]:
    try:
        return frozenset(font_manager.get_font(file).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()
