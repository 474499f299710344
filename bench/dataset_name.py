"""Data sets by name: `NAME`, `NAME[mode=...]`, or `folder:PATH` for a user's own images."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from bench.errors import BenchError, did_you_mean, legible
from bench.plugins import DATASETS
from bench.variants import Variant, parse_variant, variant_text

FOLDER = "folder"


def folder_of(name: str) -> Path | None:
    """The path of `folder:PATH`, None for every other name."""
    kind, colon, path = name.partition(":")
    return Path(path.strip()).expanduser() if colon and kind.strip() == FOLDER and path.strip() else None


def canonical(name: str) -> str:
    """The name as cells carry it: the registered name, with the mode where it is not the first; `folder:PATH` as it is.

    Raises:
        BenchError: data set or mode is unknown, or the path is not UTF-8.
    """
    if legible(name) != name:
        raise BenchError(f'dataset "{legible(name)}" has a path that is not UTF-8; rename its folders.')
    if folder_of(name) is not None:
        return name.strip()
    if name.strip().rstrip(":") == FOLDER:
        raise BenchError(f"dataset {FOLDER} needs the path of your images; write {FOLDER}:PATH.")
    variant = _variant(name)
    return variant_text(variant.name, variant.options)


def base(name: str) -> str:
    """A canonical name without its mode; "folder" for a user's own images."""
    return FOLDER if folder_of(name) is not None else parse_variant(name, "dataset").name


def embedded(name: str) -> bool:
    """Whether the images of a canonical name come with the package or are made by it."""
    return bool(DATASETS.get(base(name)).embedded)


def stream_name(name: str) -> str:
    """What random streams know a cell's data set by: never a path, so that a copy elsewhere gives the same numbers."""
    return FOLDER if folder_of(name) is not None else name


def shown(name: str) -> str:
    """The name for people: of `folder:PATH` the last part of the path alone."""
    path = folder_of(name)
    return name if path is None else f"{FOLDER}:{path.name or path.resolve().name}"


@lru_cache(maxsize=256)
def _variant(name: str) -> Variant:
    """The registered name and, unless it is the default, the mode."""
    variant = parse_variant(name, "dataset")
    row = DATASETS.row(variant.name)
    unknown = [option for option in variant.options if option != "mode"]
    if unknown:
        raise BenchError(f'dataset "{row.name}" has no option "{unknown[0]}"; the only one is mode.')
    if not variant.options:
        return Variant(row.name)
    modes, mode = DATASETS.get(row.name).modes, variant.options["mode"]
    if mode not in modes:
        known = did_you_mean(str(mode), modes) if modes else f"it has one alone; write {row.name}."
        raise BenchError(f'dataset "{row.name}" has no mode "{mode}"; {known}')
    return Variant(row.name, {} if mode == modes[0] else {"mode": mode})
