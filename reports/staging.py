"""Folders whose files are made aside first, so that a failure leaves nothing half-written."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError


@contextmanager
def fresh_folder(parent: Path, prefix: str, what: str) -> Iterator[Path]:
    """Create a temporary folder in `parent`, itself created if need be, and remove it at the end.

    Raises:
        BenchError: something cannot be written, in it or by its user; `what` names the whole.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{prefix}-", suffix=".tmp", dir=parent))
        try:
            yield fresh
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise BenchError(f"{what} cannot be written: {error.strerror}; give --out a writable folder.") from error
