"""Locate the files of data sets, and fetch, check and unpack those that are missing.

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
from bench.data.download.fetch import Patience, by_hand, fetch_file, locked, quiet
from bench.data.download.transfer import Report
from bench.data.download.unpack import unpack_archive
from bench.data.files.catalogued import Catalogued
from bench.errors import BenchError
from bench.files import write_whole
from bench.plugins import DATASETS

State = Literal["embedded", "ready", "missing", "needs hand"]
FETCHED: Final = "fetched.json"


class Listener(Protocol):
    """Receiver of progress and notes; `bench.console` is one."""

    def amount(self, label: str, unit: str) -> AbstractContextManager[Report]:
        """Return a reporter of how much is done."""

    def line(self, text: str = "") -> None:
        """Report what begins."""

    def warn(self, text: str) -> None:
        """Report what a user should know."""


class Quiet:
    """Listener that drops all it is given."""

    def amount(self, label: str, unit: str) -> AbstractContextManager[Report]:
        """Return a reporter that does nothing."""
        return nullcontext(quiet)

    line = warn = staticmethod(quiet)


class Place:
    """Data set in the folder that the settings give it.

    Args:
        name: `NAME`, `NAME[mode=...]` or `folder:PATH`.
        roots: folders by registered name, where they are not in the default place.

    Attributes:
        name: as cells carry it, with the mode where it is not the default.
        dataset: opened, and not read yet.
        catalogued: the same where the catalogue has an entry of it, else None: a user's own folder, plugins.
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
        """What is missing by the data set's own lists and folders, one line each, as first asked."""
        return self.dataset.missing()

    @property
    def downloads(self) -> tuple[Download, ...]:
        """Files that its mode needs."""
        return self.catalogued.downloads if self.catalogued else ()

    @property
    def to_fetch(self) -> list[Download]:
        """Files that are needed and not in place."""
        return [one for one in self.downloads if not one.optional and not self.has(one)]

    @property
    def state(self) -> State:
        """Whether its files are in place, else whether all can be fetched. Their content is not read."""
        if self.dataset.embedded:
            return "embedded"
        wanted = self.to_fetch
        if not wanted and (self.catalogued is not None or not self.missing):
            return "ready"
        return "missing" if wanted and all(one.urls for one in wanted) else "needs hand"

    def has(self, download: Download) -> bool:
        """Return whether a file is in place, fetched or put there by the user."""
        at = self.catalogued
        return at is not None and all(at.place(path) is not None for path in download.gives or (download.name,))


def every(roots: Mapping[str, str]) -> Iterator[Place]:
    """List all registered data sets in all their modes, without a user's own."""
    for row in DATASETS.rows():
        if row.name != dataset_name.FOLDER:
            for mode in DATASETS.get(row.name).modes or ("",):
                yield Place(f"{row.name}[mode={mode}]" if mode else row.name, roots)


def prepare_dataset(
    at: Place, patience: Patience | None = None, again: bool = False, listener: Listener | None = None
) -> list[str]:
    """Fetch and unpack the files that a data set lacks. Optional ones that fail are reported to the listener.

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
        problem = _bring(at, download, patience, again and download.unpack is not None, listener)
        if problem and download.optional:
            listener.warn(f"dataset {at.name} can be opened without this: {problem}")
        elif problem:
            left.append(problem)
    return left or at.dataset.missing()


def _bring(at: Place, download: Download, patience: Patience | None, again: bool, listener: Listener) -> str:
    """Put one file in its place, unless it is there. Returns what prevents it, or an empty text."""
    if at.has(download) and not again:
        return ""
    assert at.catalogued is not None  # noqa: S101 - a download stands in a catalogue entry
    folder = at.catalogued.folder
    if not download.urls and not (folder / download.name).exists():
        return by_hand(download, folder)
    try:
        with locked(folder, listener.warn):
            if again or not at.has(download):  # else another process was faster
                _fetch_and_unpack(download, at.catalogued, patience, listener)
    except BenchError as error:
        return str(error)
    except OSError as error:
        return f'the folder "{folder}" cannot be written: {error.strerror}; correct that.'
    return ""


def _fetch_and_unpack(download: Download, to: Catalogued, patience: Patience | None, listener: Listener) -> None:
    folder = to.folder
    with listener.amount(download.name, "bytes") as report:
        found = fetch_file(download, folder, patience, report, listener.warn)
    before = fetched(folder).get(download.name)
    url = found.url or (before.url if before and before.sha256 == found.sha256 else "")
    _note(folder, download.name, FetchedFile(url=url, sha256=found.sha256, bytes=found.file.stat().st_size))
    if download.unpack is None:
        return
    listener.line(f"{download.name}: unpacking.")
    unpack_archive(found.file, folder / download.unpack, to.entry.folder)
    if url:  # what the user has put there stays
        found.file.unlink()


class FetchedFile(BaseModel):
    """Note of a fetched file.

    Attributes:
        url: the mirror it came from; empty where the user put it there.
        sha256: of its content.
        bytes: its size.
    """

    url: str
    sha256: str
    bytes: int


_NOTES: Final = TypeAdapter(dict[str, FetchedFile])


def fetched(folder: Path) -> dict[str, FetchedFile]:
    """Read the notes of the files fetched into a folder, by name."""
    try:
        return _NOTES.validate_json((folder / FETCHED).read_bytes())
    except (OSError, ValueError):
        return {}


def _note(folder: Path, name: str, facts: FetchedFile) -> None:
    content = _NOTES.dump_json({**fetched(folder), name: facts}, indent=1, exclude_defaults=True)
    write_whole(folder / FETCHED, content + b"\n")
