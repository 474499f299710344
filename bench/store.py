"""The store of records: one JSON per cell, and beside it a safetensors file of per-sample outcomes.

Where they were asked for, the prompts are in a second one.

A record is published whole or not at all and never over a done one. Only records end in ".json".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bench.cell import SCHEMA, Record, Status
from bench.errors import BenchError
from bench.files import open_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECORD, SIDECAR, KEPT = ".json", ".safetensors", ".prompts.safetensors"
PROMPTS = "prompts"  # the entry among per-sample outcomes that is a file of its own


class Store:
    """A folder, or an fsspec URL, of records. Nothing is created before the first record.

    Args:
        root: path or URL.

    Attributes:
        problems: one line for each file that ends in ".json" and is no record, gathered while reading. Such a file is
            left alone and not counted.

    Raises:
        BenchError: the path is no folder, or the URL cannot be opened.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)
        self.files = open_folder(self.root)
        self.problems: dict[str, str] = {}
        if "://" not in self.root and Path(self.root).expanduser().is_file():
            raise BenchError(f'store "{self.root}" is a file; expected a folder, change --store or paths.store.')

    def exists(self) -> bool:
        """Whether the folder is there."""
        return self.files.exists()

    def prepare(self) -> None:
        """Make the folder and prove that it can be written, before anything is trained.

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

    def publish(self, record: Record, sidecar: Mapping[str, NDArray[Any]]) -> bool:
        """Publish a record after its per-sample outcomes; an unfinished record before it becomes one of its attempts.

        An entry "prompts" of the outcomes, the bytes of a safetensors file, is published beside them as it is.

        Returns:
            False where a done record is already there, which is then untouched.
        """
        with self.files.lock():
            before = self.read(record.key)
            if before is not None and before.status == "done":
                return False
            if before is not None:
                tried = {"status": before.status, "reason": before.reason or ""}
                record = record.model_copy(update={"attempts": [*before.attempts, tried]})
            outcomes = {name: array for name, array in sidecar.items() if name != PROMPTS}
            if outcomes:
                self.files.write(record.key + SIDECAR, _packed(outcomes), replace=True)
            if PROMPTS in sidecar:
                self.files.write(record.key + KEPT, sidecar[PROMPTS].tobytes(), replace=True)
            content = record.to_json().encode()
            return self.files.write(record.key + RECORD, content, replace=before is not None or self._torn(record.key))

    def read(self, key: str) -> Record | None:
        """The record of a key, or None where there is none, or none that is whole (`problems` then says why).

        Raises:
            BenchError: the store itself cannot be read.
        """
        try:
            content = self.files.read(key + RECORD)
        except OSError as error:
            raise self._unreadable(error) from error
        return self._parse(key, content)

    def sidecar(self, key: str) -> dict[str, NDArray[Any]]:
        """Per-sample outcomes of a record by name; empty where it has none."""
        from safetensors.numpy import load

        content = self.files.read(key + SIDECAR)
        return {} if content is None else load(content)

    def prompts(self, key: str) -> bytes | None:
        """The file of what a record's method has learned, or None where it was not kept."""
        return self.files.read(key + KEPT)

    def keys(self) -> list[str]:
        """Names of all files that should be records.

        Raises:
            BenchError: the store cannot be read.
        """
        try:
            return [name.removesuffix(RECORD) for name in self.files.names(RECORD)]
        except OSError as error:
            raise self._unreadable(error) from error

    def records(self, keys: Iterable[str] | None = None) -> Iterator[Record]:
        """All readable records, or those of `keys`, in the order of the keys given or of their names."""
        wanted = self.keys() if keys is None else keys
        return (record for record in map(self.read, wanted) if record is not None)

    def statuses(self, keys: Iterable[str] | None = None) -> dict[str, Status]:
        """Status by key."""
        return {record.key: record.status for record in self.records(keys)}

    def _unreadable(self, error: OSError) -> BenchError:
        return BenchError(f'store "{self.root}" cannot be read: {error.strerror}; change --store or its permissions.')

    def _torn(self, key: str) -> bool:
        return key in self.problems

    def _parse(self, key: str, content: bytes | None) -> Record | None:
        self.problems.pop(key, None)
        if content is None:
            return None
        try:
            record = Record.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            self._complain(key, f"{where}: {first['msg']}" if where else str(first["msg"]))
            return None
        if record.schema_ > SCHEMA:
            self._complain(key, f"schema {record.schema_} is newer than {SCHEMA}, which this version reads")
            return None
        if record.key != key:
            self._complain(key, f'its key is "{record.key}"')
            return None
        return record

    def _complain(self, key: str, why: str) -> None:
        text = " ".join(why.split())
        self.problems[key] = f"{self.root}/{key}{RECORD} is not a record of this store ({text}); it is not counted."


def _packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    return bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
