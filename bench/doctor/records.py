"""Examine a store: whether it can be read and written, which files are no records, what dead runs left."""

from __future__ import annotations

import shlex
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from bench.clip.place import unwritable
from bench.doctor.diagnosis import Diagnosis, Subject
from bench.errors import BenchError
from bench.records.file_names import ASIDE
from bench.records.store import Store
from bench.url_files import TEMPORARY

READ_SECONDS = 1.5  # of reading records; of a large store some are read
NAMED = 5


def access(subject: Subject) -> Iterator[Diagnosis]:
    """Open the store, list it and test that it can be written. Nothing stays behind."""
    elsewhere = "bench run --store FOLDER"
    try:
        store = Store(subject.store)
        exists, count = store.exists(), len(store.keys())
        reason = _unwritable(store, exists)
    except BenchError as error:
        yield Diagnosis("store", "problem", str(error).rstrip("."), elsewhere)
        return
    if reason:
        mend = elsewhere if "://" in store.root else f"chmod u+rwx {shlex.quote(store.root)}"
        yield Diagnosis("store", "problem", f"{store.root} cannot be written: {reason}", mend)
    told = f"{count:,} records in {store.root}" if exists else f"{store.root} does not exist yet"
    yield Diagnosis("store", "ok", told)


def content(subject: Subject) -> Iterator[Diagnosis]:
    """Read records, for a limited time, and list the files that are none."""
    store = Store(subject.store)
    keys, read, until = store.keys(), 0, time.monotonic() + READ_SECONDS
    for key in keys:
        if time.monotonic() > until:
            break
        store.read(key)
        read += 1
    for line in list(store.problems.values())[:NAMED]:
        yield Diagnosis("records", "problem", line.rstrip("."), "bench run  # renames it and trains its cell again")
    if len(store.problems) > NAMED:
        yield Diagnosis("records", "note", f"and {len(store.problems) - NAMED} more files that are no records")
    if read > len(store.problems):
        yield Diagnosis("records", "ok", f"{read - len(store.problems):,} of {len(keys):,} read and whole")


def leftovers(subject: Subject) -> Iterator[Diagnosis]:
    """List temporary files and folders that dead runs left, and files that were set aside."""
    store = Store(subject.store)
    if left := store.files.leftovers():
        folder = Path(store.root).expanduser()
        named = " ".join(shlex.quote(str(folder / name)) for name in left[:NAMED])
        more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
        mend = "bench run  # removes them" if "://" in store.root else f"rm -r {named}{more}"
        yield Diagnosis("leftovers", "problem", f"{len(left)} temporary files or folders of dead runs", mend)
    if aside := store.files.names(ASIDE):
        yield Diagnosis("leftovers", "note", f"{len(aside)} files that were no records are kept as *{ASIDE}")


def _unwritable(store: Store, exists: bool) -> str:
    """Return why the store cannot be written, empty where it can."""
    if "://" not in store.root:
        return unwritable(Path(store.root).expanduser()) or ""
    if not exists:  # of a bucket or server alone its owner can say more
        return ""
    probe = f".{uuid.uuid4().hex}{TEMPORARY}"
    try:
        store.files.write(probe, b"", replace=True)
        store.files.remove(probe)
    except Exception as error:  # noqa: BLE001 - every file system behind fsspec has errors of its own
        return " ".join(str(error).split()) or type(error).__name__
    return ""
