"""How methods, noise kinds and statuses are named and ordered in everything a reader sees."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from bench import standing
from bench.plugins import METHODS, NOISE
from bench.registry import Registry
from bench.rows import BUILT_IN, FAMILIES, OTHERS

AS_IS = "as-is"  # in tables, noise `none` on labels of which nobody knows whether they are right
AS_THEY_ARE = "Labels as they are"  # its title
UNCHANGED = ("none", AS_IS)
SIGNS = {
    "failed": ("F", "failed"),
    "diverged": ("D", "diverged"),
    "timeout": ("T", "out of time"),
    "out_of_memory": ("M", "out of memory"),
    "skipped": ("S", "skipped"),
    "no_number": ("N", "finished without a finite accuracy"),
}
SECTIONS = ("reference", "method", "oracle")
REFERENCE, BASELINE = standing.REFERENCE, "coop"
DAGGER = "†"
PART_LENGTH = 80


def method_name(method: str) -> str:
    """Format a method as in tables and figures; an unknown one by its registry name.

    >>> method_name("coop"), method_name("mine"), method_name("CoOp")
    ('CoOp', 'mine', 'CoOp (plugin)')
    """
    return _title(METHODS, method, method)


def family(method: str) -> str:
    """Find the family of a method; "others" of an unknown one."""
    row = METHODS.find(method)
    return OTHERS if row is None else row.family


def noise_name(kind: str) -> str:
    """Format a noise kind, its options in brackets behind it; an unknown kind by its registry name.

    >>> noise_name("human[labels=worst]")
    'Human (labels worst)'
    >>> noise_name("symmetric[per_class=true]")
    'Symmetric (per class)'
    """
    name, options = noise_parts(kind)
    return f"{name} ({options})" if options else name


def noise_parts(kind: str) -> tuple[str, str]:
    """Split a noise kind into its name and its options in words; a file stands by its last part."""
    name, options = _options(kind)
    row = NOISE.find(name)
    if row is not None and not options and row.spelled:
        options = [row.spelled]
    pairs = [option.partition("=") for option in options]
    told = [
        (option.replace("_", " "), "" if value == "true" else value.rpartition("/")[2]) for option, _, value in pairs
    ]
    words = ", ".join(" ".join(pair).strip() for pair in told)
    return AS_THEY_ARE if name == AS_IS else _title(NOISE, name, name[:1].upper() + name[1:]), words


def _options(kind: str) -> tuple[str, list[str]]:
    """Split a variant into its name and its options as they are written."""
    name, _, options = kind.removesuffix("]").partition("[")
    return name, options.split(",") if options else []


def _title(registry: Registry[Any], name: str, plain: str) -> str:
    """Find the title of a row, else the plain name, marked where it is another one's title."""
    row = registry.find(name)
    if row is not None and row.title:
        return row.title
    return f"{plain} (plugin)" if plain in {AS_THEY_ARE, *(row.title for row in registry.rows())} else plain


def column_name(kind: str, rate: float) -> str:
    """Format a noise column in words; `rate` is a fraction in [0, 1).

    >>> column_name("symmetric", 0.125)
    'Symmetric 12.5 %'
    """
    return f"{noise_name(kind)} {percent(rate)}" if rate else noise_name(kind)


def percent(rate: float) -> str:
    """Format a fraction as a percentage without trailing zeros, with as many digits as it has."""
    short = f"{rate * 100:.4g}"
    return f"{short if math.isclose(float(short), rate * 100, rel_tol=1e-12) else f'{rate * 100:.14g}'} %"


def file_part(text: str) -> str:
    """Convert a text into a part of a file's name.

    >>> file_part("human[labels=worst]")
    'human_labels_worst'
    """
    return clipped(re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_"))


def clipped(part: str) -> str:
    """Limit a part of a file's name; a digest stands for what is left out.

    File systems take 255 bytes.

    >>> clipped("digits"), len(clipped("n" * 200))
    ('digits', 80)
    """
    if len(part) <= PART_LENGTH:
        return part
    digest = hashlib.sha256(part.encode()).hexdigest()[:6]
    return f"{part[: PART_LENGTH - 7]}_{digest}"


def method_order(names: Iterable[str]) -> list[str]:
    """Sort `names` without repeats: by family, in it ours in the order of their rows, then others by alphabet."""
    return sorted(set(names), key=partial(_place, METHODS))


def noise_order(names: Iterable[str]) -> list[str]:
    """Sort `names` of kinds or variants without repeats: ours in the order of their rows, then others by alphabet."""
    return sorted(set(names), key=lambda name: (name not in UNCHANGED, name != UNCHANGED[0], *_place(NOISE, name)))


def _place(registry: Registry[Any], name: str) -> tuple[int, int, str]:
    """Return the place of the family, the place among our rows, and the name."""
    row = registry.find(name)
    ours = [known.name for known in registry.rows() if known.origin == BUILT_IN]
    place = ours.index(name) if name in ours else len(ours)
    return list(FAMILIES).index(OTHERS if row is None else row.family), place, name
