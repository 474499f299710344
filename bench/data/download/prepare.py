"""What is there of the data sets in files, and getting what is not: fetched, checked, unpacked, one file after another.

Archives are fetched and unpacked by this package, also those that torchvision knows: into the folders that the
catalogue names, with torchvision's own md5. Its `download=True` neither resumes nor tries a second mirror, and it
unpacks in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Protocol

from pydantic import BaseModel, TypeAdapter

from bench import dataset_name
from bench.data import library
from bench.data.catalogue import Download
from bench.data.download.fetch import Patience, by_hand, fetch, held, quiet
from bench.data.download.transfer import Report
from bench.data.download.unpack import unpack
from bench.data.files.catalogued import Catalogued
from bench.errors import BenchError
from bench.files import write_whole
from bench.plugins import DATASETS

State = Literal["embedded", "ready", "missing", "needs hand"]
FETCHED: Final = "fetched.json"


class Listener(Protocol):
    """What is told while files are fetched; `bench.console` is one."""

    def amount(self, label: str, unit: str) -> AbstractContextManager[Report]:
        """A report of how much is done."""

    def line(self, text: str = "") -> None:
        """What is begun."""

    def warn(self, text: str) -> None:
        """What a user should know."""


class Quiet:
    """The listener of a program that wants to hear nothing."""

    def amount(self, label: str, unit: str) -> AbstractContextManager[Report]:
        """Report nothing."""
        return nullcontext(quiet)

    line = warn = staticmethod(quiet)


class Place:
    """A data set in the place where the settings say its files lie.

    Args:
        name: `NAME`, `NAME[mode=...]` or `folder:PATH`.
        roots: folders by registered name, where they are not in the default place.

    Attributes:
        name: as cells carry it, with the mode where it is not the default.
        dataset: opened, and not read yet.
        catalogued: the same where the catalogue has a record of it, else None: a user's own folder, plugins.
        folder: of the files; None where there is none.

    Raises:
        BenchError: the data set or its mode is unknown.
    """

    def __init__(self, name: str, roots: Mapping[str, str]) -> None:
        self.name = dataset_name.canonical(name)
        self.dataset = library.open_dataset(self.name, roots.get(dataset_name.base(self.name)))
        self.catalogued = self.dataset if isinstance(self.dataset, Catalogued) else None
        self.folder = self.catalogued.folder if self.catalogued else self.dataset.root

    @cached_property
    def missing(self) -> list[str]:
        """What the data set itself said was missing when it was first asked; it looks into its lists and folders."""
        return self.dataset.missing()

    @cached_property
    def downloads(self) -> tuple[Download, ...]:
        """The files that its mode needs."""
        known = self.catalogued.entry.downloads if self.catalogued else ()
        return tuple(one for one in known if not one.modes or self.dataset.mode in one.modes)

    @property
    def to_fetch(self) -> list[Download]:
        """The files that are needed and not in place."""
        return [one for one in self.downloads if not one.optional and not self.has(one)]

    @property
    def state(self) -> State:
        """Whether its files are in place, and if not, whether all can be fetched; what is in them is not looked at."""
        if self.dataset.embedded:
            return "embedded"
        wanted = self.to_fetch
        if not wanted and (self.catalogued is not None or not self.missing):
            return "ready"
        return "missing" if wanted and all(one.urls for one in wanted) else "needs hand"

    def has(self, download: Download) -> bool:
        """Whether a file is in place, also where the user put it there."""
        if self.catalogued is None:
            return False
        folder, there = self.catalogued.folder, self.catalogued.place
        if download.gives:
            return all(there(path) is not None for path in download.gives)
        if download.unpack is None:
            return there(download.name) is not None
        known = fetched(folder).get(download.name)
        return (
            known is not None
            and bool(known.unpacked)
            and all((folder / download.unpack / name).exists() for name in known.unpacked)
        )


def every(roots: Mapping[str, str]) -> Iterator[Place]:
    """All registered data sets in all their modes, without a user's own."""
    for row in DATASETS.rows():
        if row.name != dataset_name.FOLDER:
            for mode in DATASETS.get(row.name).modes or ("",):
                yield Place(f"{row.name}[mode={mode}]" if mode else row.name, roots)


def prepare(
    at: Place, patience: Patience | None = None, again: bool = False, listener: Listener | None = None
) -> list[str]:
    """Fetch and unpack what a data set lacks, and what it can do without; of that, a note says what did not come.

    Args:
        at: the data set.
        patience: how long to try.
        again: also archives that are in place.
        listener: hears of what is done; None for nobody.

    Returns:
        What is left to do, one line each; empty where the data set can now be opened.
    """
    left, listener = [], listener or Quiet()
    for download in at.downloads:
        problem = _brought(at, download, patience, again and download.unpack is not None, listener)
        if problem and download.optional:
            listener.warn(f"dataset {at.name} can be opened without this: {problem}")
        elif problem:
            left.append(problem)
    return left or at.dataset.missing()


def _brought(at: Place, download: Download, patience: Patience | None, again: bool, listener: Listener) -> str:
    """Put one file in its place, unless it is there; what keeps it from that, or empty."""
    if at.has(download) and not again:
        return ""
    assert at.catalogued is not None  # noqa: S101 - a download stands in a record
    folder = at.catalogued.folder
    if not download.urls and not (folder / download.name).exists():
        return by_hand(download, folder)
    try:
        with held(folder, listener.warn):
            if again or not at.has(download):  # else another process was faster
                _one(download, at.catalogued, patience, listener)
    except BenchError as error:
        return str(error)
    except OSError as error:
        return f'the folder "{folder}" cannot be written: {error.strerror}; correct that.'
    return ""


def _one(download: Download, to: Catalogued, patience: Patience | None, listener: Listener) -> None:
    folder = to.folder
    with listener.amount(download.name, "bytes") as report:
        found = fetch(download, folder, patience, report, listener.warn)
    before = fetched(folder).get(download.name)
    url = found.url or (before.url if before and before.sha256 == found.sha256 else "")
    facts = Came(url=url, sha256=found.sha256, bytes=found.file.stat().st_size)
    _note(folder, download.name, facts)
    if download.unpack is None:
        return
    listener.line(f"{download.name}: unpacking.")
    entries = unpack(found.file, folder / download.unpack, to.entry.folder)
    _note(folder, download.name, facts.model_copy(update={"unpacked": entries}))
    if url:  # what the user has put there stays
        found.file.unlink()


class Came(BaseModel):
    """What was put into a data set's folder: from which mirror, or none, and what was unpacked of it."""

    url: str
    sha256: str
    bytes: int
    unpacked: list[str] = []


_NOTES: Final = TypeAdapter(dict[str, Came])


def fetched(folder: Path) -> dict[str, Came]:
    """What was put into a data set's folder, by name."""
    try:
        return _NOTES.validate_json((folder / FETCHED).read_bytes())
    except (OSError, ValueError):
        return {}


def _note(folder: Path, name: str, facts: Came) -> None:
    content = _NOTES.dump_json({**fetched(folder), name: facts}, indent=1, exclude_defaults=True)
    write_whole(folder / FETCHED, content + b"\n")
