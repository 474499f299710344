"""Unpack archives beside their place and move them there, so that nothing half unpacked is ever seen.

An archive is refused whole if a member could leave the folder: by an absolute path, by `..` in its name or in the
target of a link, or as a device; or if it unpacks to many times its size. A tar or zip inside an archive is unpacked
too: where it lies if its members are in a folder of its own name (Caltech101's), else into a folder of its name
(ImageNet's classes).
"""

from __future__ import annotations

import errno
import shutil
import stat
import tarfile
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path, PureWindowsPath
from typing import Final, TypeVar

from bench.errors import BenchError

SUFFIXES: Final = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".zip")
GROWTH: Final = 100  # times the bytes of an archive, and as much again as SLACK; images hardly shrink, tables tenfold
SLACK: Final = 2**28
Member = TypeVar("Member")
DAMAGED: Final = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError,
)  # fmt: skip


def is_archive(name: str) -> bool:
    """Return whether a name is that of a tar or zip file."""
    return name.lower().endswith(SUFFIXES)


def unpack_archive(archive: Path, target: Path, inner: str = "") -> None:
    """Unpack a tar or zip file into a folder.

    A new folder appears whole; in a folder that is there, every top-level entry of the archive appears whole and
    replaces what had its name.

    Args:
        archive: tar (plain, gzip, bzip2, xz) or zip.
        target: created if missing.
        inner: a folder to strip where the whole archive is in it.

    Raises:
        BenchError: the archive is damaged or refused, or the disk is full or cannot be written; the target is then as
            it was.
    """
    staging = (target if target.is_dir() else target.parent) / f".{target.name}.tmp"  # never on another disk
    try:
        if staging.exists():  # a killed run's
            shutil.rmtree(staging)
        staging.mkdir(parents=True)
        try:
            _extract(archive, staging)
            _nested(staging)
            _install(_inner(staging, inner), target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        full = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
        raise BenchError(f'"{archive.name}" cannot be unpacked into "{target}": {full}; correct that.') from error


def _extract(archive: Path, staging: Path) -> None:
    try:
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                growth = _Growth(archive)
                members = (_safe_member(growth.counted(member, member.size)) for member in tar)
                tar.extractall(staging, members=members, filter="data")
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                growth = _Growth(archive)
                for member in packed.infolist():
                    _check_zipped(growth.counted(member, member.file_size))
                packed.extractall(staging)  # noqa: S202 - checked above
        else:
            raise BenchError(f'"{archive}" is neither a tar nor a zip file; remove it and fetch it again.')
    except (tarfile.FilterError, _Unsafe) as error:
        raise BenchError(f'"{archive}" is refused: {error}; get it from another source.') from error
    except DAMAGED as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise BenchError(f'"{archive}" is damaged ({text}); remove it and fetch it again.') from error


class _Unsafe(Exception):
    """Member that could be written outside the folder, or fill the disk."""


class _Growth:
    """Count of the bytes that an archive unpacks to. A bomb declares thousands of times its own."""

    def __init__(self, archive: Path) -> None:
        self._left = GROWTH * archive.stat().st_size + SLACK

    def counted(self, member: Member, size: int) -> Member:
        """Return the member, whose size counts.

        Raises:
            _Unsafe: the archive has become too large.
        """
        self._left -= size
        if self._left < 0:
            raise _Unsafe(f"it unpacks to more than {GROWTH} times its size")
        return member


def _check_path(name: str, what: str) -> None:
    windows = PureWindowsPath(name)
    if name.startswith("/") or windows.drive or windows.root or ".." in windows.parts or "\0" in name:
        raise _Unsafe(f'{what} "{name}" leaves the folder')


def _safe_member(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return the member if safe. `..` in a link is refused even where it stays inside, as links can be chained."""
    _check_path(member.name, "its member")
    if member.issym() or member.islnk():
        _check_path(member.linkname, f'the link of its member "{member.name}" to')
    elif not (member.isfile() or member.isdir()):
        raise _Unsafe(f'its member "{member.name}" is neither a file nor a folder')
    return member


def _check_zipped(member: zipfile.ZipInfo) -> None:
    if not member.is_dir() and not PureWindowsPath(member.filename).parts:  # some versions of Python raise no OSError
        raise _Unsafe(f'its member "{member.filename}" has no name')
    _check_path(member.filename, "its member")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _Unsafe(f'its member "{member.filename}" is neither a file nor a folder')


def _nested(folder: Path) -> None:
    """Unpack the archives in a folder and remove them."""
    inside = [file for file in sorted(folder.rglob("*")) if is_archive(file.name) and not file.is_symlink()]
    for archive in (file for file in inside if file.is_file()):
        suffix = next(suffix for suffix in SUFFIXES if archive.name.lower().endswith(suffix))
        own = archive.with_name(archive.name[: -len(suffix)])
        content = archive.with_name(f".{own.name}.tmp")
        content.mkdir()
        _extract(archive, content)
        archive.unlink()
        _install(_inner(content, own.name), own)
        shutil.rmtree(content, ignore_errors=True)


def _inner(folder: Path, name: str) -> Path:
    """Return the folder of this name that holds all of `folder`, else `folder`. Files that a Mac adds are removed."""
    for entry in folder.iterdir():
        if entry.name == "__MACOSX":
            shutil.rmtree(entry)
        elif entry.name.startswith("._"):
            entry.unlink()
    entries = list(folder.iterdir())
    alone = len(entries) == 1 and entries[0].name == name
    return entries[0] if alone and entries[0].is_dir() and not entries[0].is_symlink() else folder


def _install(content: Path, target: Path) -> None:
    """Move the entries of `content` to `target`."""
    names = sorted(entry.name for entry in content.iterdir())
    if not names:
        raise BenchError(f'the archive for "{target}" is empty; remove it and fetch it again.')
    if not target.exists():
        content.rename(target)
        return
    for name in names:
        new, old, aside = content / name, target / name, target / f".{name}.tmp"
        if not old.is_dir() or old.is_symlink():
            new.replace(old)
            continue
        shutil.rmtree(aside, ignore_errors=True)
        old.rename(aside)
        new.rename(old)
        shutil.rmtree(aside)
