"""Examine disk space where records, features and temporary files go, and the cache."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.clip.place import ENVIRONMENT, cache_folder, features_root, unwritable
from bench.console import size
from bench.doctor.diagnosis import Diagnosis, Subject, judged

LEAST_BYTES = 2**30
LEAST_FILES = 10_000
STALE = ".*.tmp"  # entries that a killed run left in the cache


def nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    place = folder.absolute()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    return place


def bytes_below(folder: Path) -> int:
    """Add up the sizes of the files below a folder; those that vanish meanwhile count nothing."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            total += path.lstat().st_size if path.exists() else 0
    return total


def disks(subject: Subject) -> Iterator[Diagnosis]:
    """Compare the free space, and the number of files, at store, cache and temporary folder with the least needed."""
    cache, temporary = cache_folder(subject.config.settings.paths.cache), Path(tempfile.gettempdir())
    places = [("cache", cache, f"export {ENVIRONMENT}=FOLDER"), ("temporary files", temporary, "export TMPDIR=FOLDER")]
    if "://" not in subject.store:
        places.insert(0, ("store", Path(subject.store).expanduser(), "bench run --store FOLDER"))
    for name, folder, mend in places:
        place = nearest(folder)
        free, files = shutil.disk_usage(place).free, free_files(place)
        told = f"{size(free)} free at {place}"
        if files is not None and files < LEAST_FILES:
            yield Diagnosis(f"disk of {name}", "problem", f"{told}, and room for {files:,} files alone", mend)
        else:
            short = free < LEAST_BYTES
            least = f", less than {size(LEAST_BYTES)}" if short else ""
            yield judged(f"disk of {name}", told + least, short, mend)


def free_files(place: Path) -> int | None:
    """Return how many files a disk still takes; None where it does not count them."""
    state = os.statvfs(place)
    return state.f_favail if state.f_files else None


def cache(subject: Subject) -> Iterator[Diagnosis]:
    """Report the size of the cache, whether it can be written, and what killed runs left in it."""
    setting = subject.config.settings.paths.cache
    folder, features = cache_folder(setting), features_root(setting)
    reason = unwritable(features)
    if reason is not None:
        yield Diagnosis("cache", "problem", f"{features} cannot be written: {reason}", f"export {ENVIRONMENT}=FOLDER")
    elif not folder.is_dir():
        yield Diagnosis("cache", "ok", f"{folder} does not exist yet")
    else:
        yield Diagnosis("cache", "ok", f"{size(bytes_below(folder))} in {folder}")
    if left := sorted(features.glob(STALE)):
        told = f"{len(left)} unfinished entries in {features}, of killed runs or of one that goes on"
        yield Diagnosis("cache", "note", told, f"rm -r {shlex.quote(str(features))}/{STALE}  # while nothing runs")
