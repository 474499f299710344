"""Metadata of each data set in files, one TOML file per data set, read without opening the data."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import BenchError
from bench.validation import complaint, first_problem

FOLDER: Final = files("bench.data.catalogue")
ENVIRONMENT: Final = "NOISY_PROMPT_BENCH_DATA"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sizes(_Table):
    """Numbers of classes and images of one mode; 0 where a split does not exist.

    Attributes:
        total: images of all splits together, where only their sum is known before they are split; else 0.
    """

    classes: int
    train: int = 0
    validation: int = 0
    test: int = 0
    total: int = 0


class Download(_Table):
    """File to fetch.

    Attributes:
        name: under the data set's folder.
        urls: mirrors in the order in which they are tried; empty where it must be fetched by hand.
        sha256: of the file, or empty where none is known.
        md5: of the file as torchvision publishes it, or empty.
        bytes: size, 0 where unknown.
        unpack: folder under the data set's folder into which an archive is unpacked, or None for a plain file.
        gives: paths under the data set's folder that exist once the file is in place; empty for the file itself. The
            data set reports those that are missing.
        optional: whether the data set can be opened without it.
        modes: the modes that need it; empty for all.
        manual: what to do by hand where no mirror can serve it.
    """

    name: str
    urls: tuple[str, ...] = ()
    sha256: str = ""
    md5: str = ""
    bytes: int = 0
    unpack: str | None = None
    gives: tuple[str, ...] = ()
    optional: bool = False
    modes: tuple[str, ...] = ()
    manual: str = ""


class SplitFile(_Table):
    """Location and digest of CoOp's split file.

    Attributes:
        name: under the data set's folder, also with .gz.
        sha256: as `split_digest` gives it, or empty where it is not known.
        images: folder under the data set's folder that the paths in the file are relative to.
    """

    name: str
    sha256: str = ""
    images: str = ""


class CatalogueEntry(_Table):
    """Metadata of a data set.

    Attributes:
        title: its name in papers.
        folder: of its files under the data root.
        nested: folders under it in which the files may lie instead, as archives and torchvision leave them.
        licence: of the images.
        citation: authors, title, venue, year.
        source: home page.
        templates: texts with `{}` for the class name.
        sizes: by mode.
        split: CoOp's split file, or None where the official lists are used.
        downloads: in the order in which they are fetched.
        torchvision: name of the class in `torchvision.datasets`, or empty.
        notes: traps, one sentence each.
    """

    title: str
    folder: str
    nested: tuple[str, ...] = ()
    licence: str
    citation: str
    source: str
    templates: tuple[str, ...] = Field(min_length=1)
    sizes: dict[str, Sizes]
    split: SplitFile | None = None
    downloads: tuple[Download, ...] = ()
    torchvision: str = ""
    notes: tuple[str, ...] = ()


@cache
def entry(name: str, folder: Traversable = FOLDER) -> CatalogueEntry:
    """Read the entry of a data set by its registered name.

    Raises:
        BenchError: there is none, or it is malformed.
    """
    try:
        text = (folder / f"{name}.toml").read_text(encoding="utf-8")
        return CatalogueEntry.model_validate(tomllib.loads(text))
    except FileNotFoundError as error:
        raise BenchError(f'data set "{name}" has no catalogue entry.') from error
    except ValidationError as error:
        problem, steps = first_problem(error)
        raise BenchError(f"{name}.toml: {complaint(problem, '.'.join(steps), CatalogueEntry.model_fields)}") from error


def split_digest(content: object) -> str:
    """Digest the content of a split file, whatever its white space, compression and order of parts.

    Returns:
        SHA-256 in 64 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def default_root() -> Path:
    """Return the folder of all data sets: NOISY_PROMPT_BENCH_DATA, else one in the user's data folder."""
    import platformdirs

    named = os.environ.get(ENVIRONMENT)
    return Path(named).expanduser() if named else platformdirs.user_data_path("noisy-prompt-bench") / "datasets"
