"""What is known of each data set in files: one TOML file per data set, read without opening the data."""

from __future__ import annotations

import os
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import BenchError

ENVIRONMENT: Final = "NOISY_PROMPT_BENCH_DATA"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sizes(_Table):
    """Classes and images of one mode; 0 where a split does not exist."""

    classes: int
    train: int
    validation: int
    test: int


class Download(_Table):
    """A file to fetch.

    Attributes:
        name: under the data set's folder.
        urls: mirrors in the order in which they are tried; empty where it must be fetched by hand.
        sha256: of the file, or empty where none is known.
        md5: of the file as torchvision publishes it, or empty.
        bytes: size, 0 where unknown.
        unpack: folder under the data set's folder into which an archive is unpacked, or None for a plain file.
        modes: the modes that need it; empty for all.
        manual: what to do by hand where no mirror can serve it.
    """

    name: str
    urls: tuple[str, ...] = ()
    sha256: str = ""
    md5: str = ""
    bytes: int = 0
    unpack: str | None = None
    modes: tuple[str, ...] = ()
    manual: str = ""


class SplitFile(_Table):
    """CoOp's split file: where it lies under the data set's folder, and the sha256 of its content.

    The digest is of the parsed content written again by `json.dumps(content, sort_keys=True, separators=(",", ":"))`, so
    that white space, the order of the three parts and compression make no difference.
    """

    name: str
    sha256: str = ""


class Entry(_Table):
    """The metadata record of a data set.

    Attributes:
        title: its name in papers.
        folder: of its files under the data root.
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
def entry(name: str) -> Entry:
    """The record of a data set by its registered name.

    Raises:
        BenchError: there is none, or it is malformed.
    """
    file = files("bench.data.catalogue") / f"{name}.toml"
    try:
        return Entry.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise BenchError(f'there is no metadata record of data set "{name}".') from error
    except ValidationError as error:
        first: Any = error.errors()[0]
        raise BenchError(f"{name}.toml: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def default_root() -> Path:
    """The folder below which data sets lie: named by NOISY_PROMPT_BENCH_DATA, or in the user's data folder."""
    import platformdirs

    named = os.environ.get(ENVIRONMENT)
    return Path(named).expanduser() if named else platformdirs.user_data_path("noisy-prompt-bench") / "datasets"
