"""Interface of trackers, and what they write of a record: parameters, results and curves.

Shares and accuracies are fractions, as in records. Nothing names a user or a path.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Iterable
from types import ModuleType
from typing import Protocol

from bench.dataset_name import shown
from bench.errors import BenchError
from bench.limits import Value
from bench.records.record import Record

PROJECT = "noisy-prompt-bench"
NAME_LENGTH = 100


class Tracker(Protocol):
    """Receiver of records, one by one."""

    def begin(self) -> None:
        """Open the destination. Raises BenchError where a package is missing or it cannot be opened."""

    def cell(self, record: Record) -> None:
        """Write the record of a cell. One that was written before is written once."""

    def end(self) -> None:
        """End what `begin` has opened."""


def hand_over(records: Iterable[Record], tracker: Tracker) -> int:
    """Write records of a store that exists; returns how many.

    Raises:
        BenchError: as `Tracker.begin`, or something cannot be written.
    """
    tracker.begin()
    count = 0
    try:
        for count, record in enumerate(records, start=1):  # noqa: B007 - returned
            tracker.cell(record)
    except BenchError:
        raise
    except Exception as error:  # whatever a tracking package raises
        text = " ".join(str(error).split()) or type(error).__name__
        raise BenchError(f"record {record.key} cannot be tracked: {text}; the records before it are.") from error
    finally:
        tracker.end()
    return count


def package(name: str, option: str) -> ModuleType:
    """Import the package of a tracker.

    Raises:
        BenchError: it is not installed, or does not import.
    """
    try:
        return importlib.import_module(name)
    except Exception as error:
        top, text = name.partition(".")[0], " ".join(str(error).split())
        raise BenchError(
            f'{option} needs the package {top} ({text}); uv pip install "noisy-prompt-bench[tracking]".'
        ) from error


def parameters(record: Record) -> dict[str, Value]:
    """Return the fields of a record's cell, and of its options as "option.NAME", by name."""
    fields = record.cell.model_dump(exclude={"options"}) | {"dataset": shown(record.cell.dataset)}
    return {**fields, **{f"option.{name}": value for name, value in record.cell.options.items()}}


def results(record: Record) -> dict[str, float]:
    """Return accuracies and costs, without those that are absent, by name."""
    found = {f"accuracy.{name}": value for name, value in record.accuracy.model_dump().items()}
    found |= {f"cost.{name}": value for name, value in record.cost.model_dump().items()}
    found["noise.realised_rate"] = record.noise.realised_rate
    return {name: float(value) for name, value in found.items() if isinstance(value, (int, float))}


def history(record: Record) -> dict[int, dict[str, float]]:
    """Return the quantities of the curve and what the method reports, by epoch. Of a repeated epoch the last counts."""
    columns = {name: values for name, values in record.curve.columns.items() if name != "epoch"}
    columns |= {f"diagnostics.{name}": values for name, values in record.diagnostics.items()}
    found: dict[int, dict[str, float]] = {}
    for name, values in columns.items():
        for epoch, value in zip(record.curve.epoch, values, strict=False):
            if epoch is not None and value is not None:
                found.setdefault(int(epoch), {})[name] = float(value)
    return dict(sorted(found.items()))


def title(record: Record) -> str:
    """Describe a record's cell in one line, without a path."""
    return record.cell.model_copy(update={"dataset": shown(record.cell.dataset)}).label()


def file_name(record: Record) -> str:
    """Return a name for a record that any file system takes; it ends in the key."""
    return f"{re.sub(r'[^A-Za-z0-9.=-]+', '_', title(record))[:NAME_LENGTH]}-{record.key}"


def digest(record: Record) -> str:
    """Return 8 hexadecimal digits over a whole record, which tell it from an earlier one of the same cell."""
    return hashlib.sha256(record.to_json().encode()).hexdigest()[:8]
