"""Data sets by name: `NAME`, `NAME[mode=...]`, or `folder:PATH` for a user's own images."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data import DATASETS
from bench.errors import BenchError, did_you_mean, legible
from bench.variants import Variant, parse_variant, variant_text

if TYPE_CHECKING:
    from bench.data.base import Dataset

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


def identity(name: str, skip_broken: bool = False) -> str:
    """What stands for the data set in a record's key: name, version and mode, or the digest of a user's own images.

    Images that are left out shift the positions that shots are drawn from, so `skip_broken` is part of it.

    Raises:
        BenchError: the data set is unknown, or a user's folder cannot be read.
    """
    if folder_of(name) is None:
        variant = _variant(name)
        skipping = " skip_broken" if skip_broken else ""
        return f"{variant_text(variant.name, variant.options)} {DATASETS.row(variant.name).version}{skipping}"
    return f"{FOLDER} {DATASETS.row(FOLDER).version} {open_dataset(name, None, skip_broken).digest}"


@lru_cache(maxsize=4)
def open_dataset(name: str, root: str | None = None, skip_broken: bool = False) -> Dataset:
    """The data set of a name; the last few are kept, for the cells that follow.

    Args:
        name: as `canonical` gives it.
        root: the folder of its files, or None for the default place.
        skip_broken: whether images that cannot be decoded are left out.

    Raises:
        BenchError: data set or mode is unknown, or its files are missing or not as expected.
    """
    path = folder_of(name)
    if path is not None:
        return DATASETS.get(FOLDER)(path, skip_broken=skip_broken)
    variant = _variant(name)
    mode = variant.options.get("mode")
    return DATASETS.get(variant.name)(Path(root) if root else None, *_given(mode, skip_broken))


def _given(mode: Any, skip_broken: bool) -> tuple[Any, ...]:
    """The arguments behind the root; a plugin that takes the root alone is asked for no more."""
    return (mode, skip_broken) if mode is not None or skip_broken else ()


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
