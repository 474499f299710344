"""The store of records: one JSON per cell, with a safetensors file of per-sample outcomes, and one of saved prompts.

A record is published whole or not at all and never over a done one. Only records end in ".json". A file that ends so
and is no whole record of this version is never overwritten: it is renamed first.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bench.errors import BenchError
from bench.files import is_file, open_folder
from bench.records.file_names import ASIDE, OUTCOMES_FILE, PROMPTS_FILE, RECORD_FILE
from bench.records.naming import differing
from bench.records.record import SCHEMA, Record, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_ASIDE = 1000
MOST_BYTES = 2**26  # of a record; parsing takes six times as much memory
BATCH = 256  # records that are read at a time
NAMED = 5  # keys in a message
NEWER = f"schema {{}} is newer than {SCHEMA}, which this version reads"
PROMPTS = "prompts"  # the entry among per-sample outcomes that is a file of its own


class Store:
    """A folder, or an fsspec URL, of records. Nothing is created before the first record.

    Attributes:
        problems: one line for each file that is no whole record or no outcomes of one, by key, gathered while reading.
            Such a file is left alone and not counted.

    Raises:
        BenchError: the path is no folder, or the URL cannot be opened.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)
        self.files = open_folder(self.root)
        self.problems: dict[str, str] = {}
        if "://" not in self.root and is_file(Path(self.root).expanduser()):
            raise BenchError(f'store "{self.root}" is a file; expected a folder, change --store or paths.store.')

    def exists(self) -> bool:
        """Return whether the folder exists.

        Raises:
            BenchError: the store cannot be reached.
        """
        try:
            return self.files.exists()
        except OSError as error:
            raise self._unreadable(error) from error

    def prepare(self) -> None:
        """Create the folder and check that it can be written, before anything is trained.

        Raises:
            BenchError: it cannot.
        """
        try:
            self.files.prepare()
        except Exception as error:  # every file system behind fsspec has errors of its own
            text = " ".join(str(error).split()) or type(error).__name__
            raise BenchError(
                f'store "{self.root}" cannot be written: {text}; change --store or its permissions.'
            ) from error

    def publish(self, record: Record, outcomes: Mapping[str, NDArray[Any]], *, rerun: bool = False) -> bool:
        """Publish a record after its per-sample outcomes; an earlier unfinished one becomes one of its attempts.

        An entry "prompts" of the outcomes holds the bytes of a safetensors file of its own. Files of an earlier record
        that this one does not have are removed.

        With `rerun` a done record of other code or data is replaced too; it is kept whole among the attempts.

        Returns:
            False where a done record is already there and stays.
        """
        return self.put(record, companions(outcomes), rerun=rerun)

    def put(self, record: Record, files: Mapping[str, bytes], *, rerun: bool = False) -> bool:
        """Publish a record as `publish` does, with the bytes of the files beside it, by the ending of their names."""
        with self.files.lock():
            before = self.read(record.key)
            if before is not None and before.status == "done" and not (rerun and differing(before, record)):
                return False
            if before is not None:
                record = record.model_copy(update={"attempts": [*before.attempts, _attempt(before), *record.attempts]})
            elif record.key in self.problems:
                self.set_aside(record.key)
            for ending in (OUTCOMES_FILE, PROMPTS_FILE):
                self._write_companion(record.key + ending, files.get(ending))
            return self.files.write(record.key + RECORD_FILE, record.to_json().encode(), replace=before is not None)

    def _write_companion(self, name: str, content: bytes | None) -> None:
        if content is None:
            self.files.remove(name)
        else:
            self.files.write(name, content, replace=True)

    def set_aside(self, key: str) -> str:
        """Rename a file that is no record, with its outcomes and prompts; returns the new name.

        Raises:
            BenchError: it cannot be renamed.
        """
        record, numbers = f"{key}{RECORD_FILE}", range(1, MOST_ASIDE)
        try:
            free = next(n for n in numbers if self.files.rename(record, f"{record}.{n}{ASIDE}"))
            for ending in (OUTCOMES_FILE, PROMPTS_FILE):
                self.files.rename(f"{key}{ending}", f"{key}{ending}.{free}{ASIDE}")
        except (OSError, StopIteration) as error:
            raise BenchError(
                f"{self.root}/{key}{RECORD_FILE} is no record of this store and cannot be set aside; move it away."
            ) from error
        self.problems.pop(key, None)
        return f"{record}.{free}{ASIDE}"

    def read(self, key: str) -> Record | None:
        """Read the record of a key; None if there is none, or no whole one (`problems` says why).

        Raises:
            BenchError: the store itself cannot be read.
        """
        return self.read_many([key])[0]

    def read_many(self, keys: Sequence[str]) -> list[Record | None]:
        """Read the records of keys as `read` does; many are read faster at a time than one by one."""
        try:
            contents = self.files.read_many([key + RECORD_FILE for key in keys])
        except OSError as error:  # no single file's
            raise self._unreadable(error) from error
        with uncollected():
            return [self._taken(key, content) for key, content in zip(keys, contents, strict=True)]

    def _taken(self, key: str, content: bytes | OSError | None) -> Record | None:
        if not isinstance(content, OSError):
            return self._parse(key, content)
        if key not in self.keys():  # it is not this file alone that cannot be read
            raise self._unreadable(content) from content
        self._complain(key, content.strerror or type(content).__name__)
        return None

    def outcomes(self, key: str) -> dict[str, NDArray[Any]]:
        """Read the per-sample outcomes of a record by name; empty if there are none that can be read (`problems`)."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            content = self.files.read(key + OUTCOMES_FILE)
            return {} if content is None else load(content)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
            return self._leave_out(key, " ".join(str(error).split()) or type(error).__name__)

    def outcomes_of(self, records: Iterable[Record]) -> Callable[[str], Mapping[str, NDArray[Any]]]:
        """Return a reader, by key, of the per-sample outcomes that fit these records; others are left out."""
        from bench.records.outcomes import misfit

        known = {record.key: record for record in records}

        def read(key: str) -> Mapping[str, NDArray[Any]]:
            arrays = self.outcomes(key)
            wrong = misfit(arrays, known[key]) if arrays else ""
            return self._leave_out(key, wrong) if wrong else arrays

        return read

    def _leave_out(self, key: str, why: str) -> dict[str, NDArray[Any]]:
        self.problems[key] = (
            f"{self.root}/{key}{OUTCOMES_FILE} holds no outcomes of this record ({why}); it is left out."
        )
        return {}

    def prompts(self, key: str) -> bytes | None:
        """Read the file of a record's saved prompts; None if there is none."""
        return self.files.read(key + PROMPTS_FILE)

    def keys(self) -> list[str]:
        """List the keys of all files that should be records.

        Raises:
            BenchError: the store cannot be read.
        """
        try:
            return [name.removesuffix(RECORD_FILE) for name in self.files.names(RECORD_FILE)]
        except OSError as error:
            raise self._unreadable(error) from error

    def records(self, keys: Iterable[str] | None = None) -> Iterator[Record]:
        """Read all readable records, or those of `keys`, in the order of `keys` or of their names."""
        wanted = self.keys() if keys is None else keys
        batches = iter(partial(_next_batch, iter(wanted)), [])
        return (record for batch in batches for record in self.read_many(batch) if record is not None)

    def statuses(self, keys: Iterable[str] | None = None) -> dict[str, Status]:
        """Return the status by key."""
        return {record.key: record.status for record in self.records(keys)}

    def _unreadable(self, error: OSError) -> BenchError:
        return BenchError(f'store "{self.root}" cannot be read: {error.strerror}; change --store or its permissions.')

    def _parse(self, key: str, content: bytes | None) -> Record | None:
        self.problems.pop(key, None)
        if content is None:
            return None
        record = parsed(key, content)
        if isinstance(record, str):
            self._complain(key, record)
            return None
        return record

    def _complain(self, key: str, why: str) -> None:
        text = " ".join(why.split())
        self.problems[key] = (
            f"{self.root}/{key}{RECORD_FILE} is not a record of this store ({text}); it is not counted."
        )


def parsed(key: str, content: bytes) -> Record | str:
    """Return the record of a file's bytes, or why it is none of this key that this version reads."""
    if len(content) > MOST_BYTES:
        return f"it has {len(content):,} bytes, expected at most {MOST_BYTES:,}"
    try:
        record = Record.model_validate_json(content, strict=True)
    except ValidationError as error:
        first, schema = error.errors()[0], _schema(content)
        where = ".".join(map(str, first["loc"]))
        told = f"{where}: {first['msg']}" if where else str(first["msg"])
        return NEWER.format(schema) if schema > SCHEMA else told
    if "schema_" not in record.model_fields_set:
        return "it names no schema"
    return record if record.key == key else f'its key is "{record.key}"'


def _next_batch(keys: Iterator[str]) -> list[str]:
    return list(islice(keys, BATCH))


@contextmanager
def uncollected() -> Iterator[None]:
    """Put off the search for cycles, of which records have none: it takes three times as long as making them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _attempt(record: Record) -> dict[str, Any]:
    """Summarise an earlier record for its successor: status and reason, a done one whole."""
    tried: dict[str, Any] = {"status": record.status, "reason": record.reason or ""}
    if record.status == "done":
        tried["record"] = record.model_dump(mode="json", by_alias=True, exclude={"attempts"})
    return tried


def _schema(content: bytes) -> int:
    """Return the schema number that a file declares; 0 if it declares none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return 0
    schema = found.get("schema") if isinstance(found, dict) else None
    return schema if isinstance(schema, int) else 0


def companions(outcomes: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    """Return the bytes of the files that lie beside a record, by the ending of their names."""
    arrays = {name: array for name, array in outcomes.items() if name != PROMPTS}
    found = {OUTCOMES_FILE: _packed(arrays)} if arrays else {}
    return found | ({PROMPTS_FILE: outcomes[PROMPTS].tobytes()} if PROMPTS in outcomes else {})


def _packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    return bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def find_record(store: Store, key: str) -> Record:
    """Find the one record whose key is `key` or begins with it.

    Raises:
        BenchError: there is none, there are several, or its file is torn.
    """
    known = store.keys()
    keys = [found for found in known if found.startswith(key)]
    if not keys:
        raise BenchError(f'store "{store.root}" has no record "{key}"; keys are the names of its .json files.')
    if len(keys) > 1 and key not in keys:
        shown = ", ".join(keys[:NAMED]) + (", …" if len(keys) > NAMED else "")
        raise BenchError(f'"{key}" begins {len(keys)} keys of store "{store.root}" ({shown}); give more digits.')
    record = store.read(key if key in keys else keys[0])
    if record is None:
        raise BenchError(next(iter(store.problems.values())))
    return record
