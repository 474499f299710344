"""Files of one folder behind an fsspec URL, such as an object store that many machines see."""

from __future__ import annotations

import errno
import inspect
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from functools import cached_property
from typing import Any

from bench.errors import BenchError

TEMPORARY = ".tmp"
STALE_SECONDS = 3600.0
MOST_BYTES = 2**32
# File systems of fsspec whose `pipe_file` puts a file whole, and with one of these arguments, where it has it, by one
# request that fails where there is something. On others a reader may see half a file, and two may look at a time if
# there is one.
OBJECT_STORES = frozenset({"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"})
CREATE: Mapping[str, Any] = {"mode": "create", "overwrite": False}
EXTRAS = {"s3fs": "s3"}  # of this package, by the package that a protocol needs


class UrlFiles:
    """Folder behind an fsspec URL. It has no lock, since its writers may run on many machines.

    What goes wrong is an OSError that says why, whatever error the file system has for it.
    """

    def __init__(self, root: str) -> None:
        import fsspec

        try:
            self.system, self.root = fsspec.core.url_to_fs(root)
        except (ValueError, ImportError) as error:
            text = " ".join(str(error).split())
            extra = next((extra for package, extra in EXTRAS.items() if package in text), None)
            mend = f"pip install 'noisy-prompt-bench[{extra}]'" if extra else "give a folder or a URL that fsspec knows"
            raise BenchError(f'store "{root}" cannot be opened: {text}; {mend}.') from error
        protocol = self.system.protocol
        self._puts_whole = bool(OBJECT_STORES.intersection([protocol] if isinstance(protocol, str) else protocol))
        put = getattr(type(self.system), "_pipe_file", type(self.system).pipe_file)
        known = inspect.signature(put).parameters if self._puts_whole else ()
        self._create = next(({name: value} for name, value in CREATE.items() if name in known), {})

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"

    def _there(self, name: str) -> bool:
        """Return whether something has a name now. Another process may have made or removed it since the last look."""
        self.system.invalidate_cache(self.root)
        return bool(self.system.exists(self._path(name)))

    def _make(self) -> None:
        """Create the folder. An object store has none, and would be given a new bucket where the name is mistaken."""
        if not self._puts_whole:
            self.system.makedirs(self.root, exist_ok=True)

    def names(self, suffix: str) -> list[str]:
        """List names that end in `suffix`, sorted."""
        with _told():
            try:
                paths = self.system.ls(self.root, detail=False, refresh=True)
            except FileNotFoundError:
                return []
            return sorted(path.rsplit("/", 1)[-1] for path in paths if path.endswith(suffix))

    def read(self, name: str) -> bytes | None:
        """Read a file, or return None where there is none."""
        with _told():
            try:
                content: bytes = self.system.cat_file(self._path(name))
            except FileNotFoundError:
                return None
            check_size(len(content))
            return content

    def read_many(self, names: Sequence[str]) -> list[bytes | OSError | None]:
        """Read files, with many requests under way at a time where the file system can."""
        with _told():
            found = self.system.cat_ranges([self._path(name) for name in names], None, None, on_error="return")
        return [_content(one) for one in found]

    def rename(self, name: str, new: str) -> bool:
        """Move a file. Returns False where it is not there, or the new name is taken."""
        with _told():
            if self._there(new) or not self._there(name):
                return False
            self.system.mv(self._path(name), self._path(new), recursive=True)
            return True

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""
        with _told(), suppress(FileNotFoundError):
            self.system.rm_file(self._path(name))

    def write(self, name: str, content: bytes, *, replace: bool) -> bool:
        """Put a file whole; where the file system cannot, write to a temporary name, then move."""
        if not replace and self.exclusive:
            return self.create(name, content)
        with _told():
            if not replace and self._there(name):
                return False
            if self._puts_whole:
                self.system.pipe_file(self._path(name), content)
                return True
            self._make()
            partial = self._path(f".{uuid.uuid4().hex}{TEMPORARY}")
            self.system.pipe_file(partial, content)
            self.system.mv(partial, self._path(name))
            return True

    @cached_property
    def exclusive(self) -> bool:
        """Whether a put on the condition that there is nothing yet is refused where there is something: tried once.

        Not every version of a file system's package knows the condition, and not every server heeds it.
        """
        if not self._create:
            return False
        probe = f".{uuid.uuid4().hex}{TEMPORARY}"
        try:
            return self._put_new(probe, b"1") and not self._put_new(probe, b"2")
        finally:
            self.remove(probe)

    def create(self, name: str, content: bytes) -> bool:
        """Put on the condition that there is nothing yet."""
        if not self.exclusive:
            raise OSError(errno.ENOTSUP, "no file can be created exclusively there")
        return self._put_new(name, content)

    def _put_new(self, name: str, content: bytes) -> bool:
        with _told():
            for last in (False, True):  # two that try at one moment may both be told to try again
                try:
                    self.system.pipe_file(self._path(name), content, **self._create)
                except Exception:  # every file system behind fsspec has an error of its own for it
                    if self.read(name) is not None:
                        return False
                    if last:
                        raise
                else:
                    break
        return True

    def discard(self) -> None:
        """Keep it: an object store has no folders, and elsewhere an empty one does no harm."""

    def prepare(self) -> None:
        """Create the folder, test that it can be written, and remove leftovers of killed runs."""
        with _told():
            self._make()
            self._probe()
        self.sweep()

    def _probe(self) -> datetime | None:
        """Write a file and remove it; returns the time that the file system noted, None where it tells none."""
        probe, noted = self._path(f".{uuid.uuid4().hex}{TEMPORARY}"), None
        self.system.pipe_file(probe, b"probe")
        with suppress(Exception):  # every file system behind fsspec has errors of its own
            noted = self.system.modified(probe)
        self.system.rm_file(probe)
        return noted

    def leftovers(self, seconds: float = STALE_SECONDS) -> list[str]:
        """List temporary files of killed runs, and folders that an earlier version left, those that are so old.

        Their age is by the clock of the file system, and at least an hour; what it tells none of is not listed.
        """
        names, left = self.names(TEMPORARY), []
        now = self._probe() if names else None
        for name in names if now else ():
            with suppress(Exception):  # its age is not told, or another has removed it
                newest = max(self.system.modified(file) for file in self.system.find(self._path(name)))
                if (now - newest).total_seconds() > max(seconds, STALE_SECONDS):
                    left.append(name)
        return left

    def sweep(self, seconds: float = STALE_SECONDS) -> None:
        """Remove the `leftovers`."""
        for name in self.leftovers(seconds):
            with suppress(Exception):  # another has removed it
                self.system.rm(self._path(name), recursive=True)

    def exists(self) -> bool:
        """Return whether the folder exists."""
        with _told():
            return bool(self.system.exists(self.root))

    def lock(self) -> Any:
        """Return an empty context; there is no lock."""
        return nullcontext()


def _content(found: bytes | Exception) -> bytes | OSError | None:
    """Return what `read` returns for what a file system found, or the error that it raises."""
    if isinstance(found, FileNotFoundError):
        return None
    try:
        with _told():
            if isinstance(found, Exception):
                raise found
            check_size(len(found))
    except OSError as error:
        return error
    return found


@contextmanager
def _told() -> Iterator[None]:
    """Convert what a file system raises into an OSError with a text."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        raise OSError(getattr(error, "errno", None) or errno.EIO, text) from error


def check_size(count: int) -> None:
    """Raise OSError where a file is larger than any of a store."""
    if count > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has {count:,} bytes, more than any file of a store")
