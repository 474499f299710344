"""Files of one folder, local or behind an fsspec URL, each published whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from bench.errors import BenchError
from bench.processes import has_ended, signature
from bench.url_files import STALE_SECONDS, TEMPORARY, UrlFiles, check_size


def local_path(path: str | Path, option: str) -> Path:
    """Return the path of a file or folder of this machine, with `~` expanded.

    Raises:
        BenchError: it is a URL, of which pathlib would make a folder "s3:" here; names the option.
    """
    if "://" in str(path):
        raise BenchError(f'{option} "{path}" is a URL; give a path on this machine.')
    return Path(path).expanduser()


def is_file(path: Path) -> bool:
    """Return whether a regular file is there.

    Raises:
        BenchError: that cannot be seen: a folder above may not be entered, or the name is no name of a file.
    """
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path) -> bool:
    """Return whether a folder is there. Raises BenchError where that cannot be seen, as `is_file` does."""
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    """Return the type and the permissions of what is there, 0 where nothing is."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except (OSError, ValueError) as error:  # the second of a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        raise BenchError(f'"{path}" cannot be looked at: {reason}; change the path or the permissions.') from error


def open_folder(root: str) -> Files:
    """Open the folder of a path or an fsspec URL ("memory://x", "s3://bucket/x").

    Raises:
        BenchError: the URL's protocol is unknown or its package is not installed.
    """
    if "://" not in root or root.startswith("file://"):
        return LocalFiles(Path(root.removeprefix("file://")).expanduser())
    return UrlFiles(root)


def write_whole(file: Path, content: bytes | str) -> None:
    """Write a local file whole or not at all, replacing what has its name; makes its folder.

    Raises:
        OSError: the folder cannot be made or written, or the disk is full.
        UnicodeEncodeError: a text has no form in UTF-8.
    """
    LocalFiles(file.parent).write(file.name, content.encode() if isinstance(content, str) else content, replace=True)


def file_sha256(file: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def temporary_name() -> str:
    """Return a new name of a temporary file, which says whose it is."""
    return f".{uuid.uuid4().hex}-{signature()}{TEMPORARY}"


def _orphaned(name: str) -> bool:
    """Return whether the process that made a temporary file has ended, as far as can be seen here."""
    return has_ended(name.removesuffix(TEMPORARY).partition("-")[2])


class LocalFiles:
    """Local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, suffix: str) -> list[str]:
        """List names that end in `suffix`, sorted; none where the folder does not exist."""
        if not self.root.is_dir():
            return []
        with os.scandir(self.root) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(suffix))

    def read(self, name: str) -> bytes | None:
        """Read a file, or return None where there is none.

        Raises OSError where it is no regular file, or larger than `MOST_BYTES`.
        """
        try:
            about = (self.root / name).stat()
            if not stat.S_ISREG(about.st_mode):  # a FIFO would be waited for
                raise OSError(errno.EINVAL, "it is no regular file")
            check_size(about.st_size)
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_many(self, names: Sequence[str]) -> list[bytes | OSError | None]:
        """Read many files as `read` does, together where that is faster.

        The error of a file stands in its place; what befalls all is raised as an OSError.
        """
        return [self._read_or_error(name) for name in names]

    def _read_or_error(self, name: str) -> bytes | OSError | None:
        try:
            return self.read(name)
        except OSError as error:
            return error

    def rename(self, name: str, new: str) -> bool:
        """Rename a file of any type. Returns False where it is not there, or the new name is taken."""
        if os.path.lexists(self.root / new) or not os.path.lexists(self.root / name):
            return False
        (self.root / name).rename(self.root / new)
        return True

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""
        (self.root / name).unlink(missing_ok=True)

    def write(self, name: str, content: bytes, *, replace: bool) -> bool:
        """Publish a file whole. Without `replace`, False where one of this name is there, which is then untouched.

        It is written to a temporary name and flushed, then renamed, or linked where nothing may be replaced.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        partial = self.root / temporary_name()
        try:
            with partial.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            if replace:
                _move(partial, self.root / name, content)
                return True
            return self._link(partial, self.root / name, content)
        finally:
            partial.unlink(missing_ok=True)

    @staticmethod
    def _link(partial: Path, final: Path, content: bytes) -> bool:
        try:
            os.link(partial, final)
        except FileExistsError:
            return _same(partial, final)
        except OSError:  # a file system without hard links; the store's lock stands alone there
            if final.exists():
                return _same(partial, final)
            _move(partial, final, content)
        return True

    @property
    def exclusive(self) -> bool:
        """Whether the file system has what `create` needs: a link to a name that is taken fails everywhere."""
        return True

    def create(self, name: str, content: bytes) -> bool:
        """Create a small file where none has its name. Of several that try, on any machine, one succeeds.

        It is made by a link, so that nobody sees half a file, or exclusively where there are no links. Raises OSError
        where the folder cannot be written, and where `exclusive` is false.
        """
        partial = self.root / temporary_name()
        try:
            self._put(partial, content)
            try:
                os.link(partial, self.root / name)
            except FileExistsError:
                return _same(partial, self.root / name)
            except OSError:
                return _same(partial, self.root / name) or self._opened(self.root / name, content)
            return True
        finally:
            partial.unlink(missing_ok=True)

    def _put(self, file: Path, content: bytes) -> None:
        """Write a file in the folder, which another may remove at that moment if it is empty."""
        for last in (False, True):
            self.root.mkdir(parents=True, exist_ok=True)
            try:
                file.write_bytes(content)
            except FileNotFoundError:
                if last:
                    raise
            else:
                return

    @staticmethod
    def _opened(file: Path, content: bytes) -> bool:
        try:
            with file.open("xb") as stream:
                stream.write(content)
        except FileExistsError:
            return False
        return True

    def discard(self) -> None:
        """Remove the folder if it is empty."""
        with suppress(OSError):
            self.root.rmdir()

    def prepare(self) -> None:
        """Create the folder, test that it can be written, and remove leftovers; raises OSError where it cannot."""
        self.root.mkdir(parents=True, exist_ok=True)
        probe = self.root / temporary_name()
        probe.write_bytes(b"")
        probe.unlink()
        self.sweep()

    def leftovers(self, seconds: float = STALE_SECONDS) -> list[str]:
        """List temporary files of killed runs: of ended processes of this machine, and those that are so old."""
        left = []
        for name in self.names(TEMPORARY):
            with suppress(FileNotFoundError):
                old = time.time() - (self.root / name).stat().st_mtime > seconds
                if name != _LOCK and (old or _orphaned(name)):
                    left.append(name)
        return left

    def sweep(self, seconds: float = STALE_SECONDS) -> None:
        """Remove the `leftovers`."""
        for name in self.leftovers(seconds):
            file = self.root / name
            if file.is_dir() and not file.is_symlink():  # Ray's state, of a driver of an earlier version
                shutil.rmtree(file, ignore_errors=True)
            else:
                file.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Return whether the folder exists."""
        return self.root.is_dir()

    def lock(self) -> Any:
        """Hold a file lock, freed by the system when its holder dies."""
        from filelock import FileLock

        self.root.mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / _LOCK)


Files: TypeAlias = LocalFiles | UrlFiles


def _same(partial: Path, final: Path) -> bool:
    """Return whether two names are one file.

    A network file system may make a link, and then say that it has not.
    """
    try:
        return partial.samefile(final)
    except OSError:
        return False


def _move(partial: Path, final: Path, content: bytes) -> None:
    """Rename over what has the name, and look whether that is done, whatever the file system says.

    Raises:
        OSError: the file is not there afterwards.
    """
    try:
        partial.replace(final)
    except OSError:
        if partial.exists() or not final.is_file() or final.read_bytes() != content:
            raise
    if final.stat().st_size != len(content):
        raise OSError(errno.EIO, "the file system has lost a file that it had renamed")


_LOCK = f".lock{TEMPORARY}"
