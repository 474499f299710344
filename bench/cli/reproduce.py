"""`bench reproduce`: one record run again from what it says of itself, and whether the bits agree."""

from __future__ import annotations

from bench import console
from bench.cli.commands import Selection
from bench.records.store import find_record
from bench.reproduce.differences import Difference
from bench.reproduce.rerun import Asked, Reproduction, reproduce

EXIT_DIFFERENT = 1


def show_reproduction(selection: Selection, asked: Asked, as_json: bool) -> int:
    """`bench reproduce`: 0 where the bits agree, 1 where they differ."""
    config = selection.load()
    store = selection.existing(config)
    record = find_record(store, asked.key)
    if not as_json:
        seconds = record.cost.seconds
        took = f"; it took {console.duration(seconds)} then" if isinstance(seconds, (int, float)) else ""
        console.line(f"{record.key}: {record.cell.label()}: running it again{took}.")
    found = reproduce(store, record, config, asked)
    if as_json:
        console.as_json(found.as_json())
    else:
        _show(found)
    return 0 if found.first is None else EXIT_DIFFERENT


def _show(found: Reproduction) -> None:
    for change in found.changes:
        console.line(f"not as it was: {change.where}: {change.record} in the record, {change.now} now")
    rows = [[part.name, str(part.compared), str(part.differing), _told(part.first)] for part in found.parts]
    console.table(["part", "compared", "differ", "first difference"], rows)
    for note in found.notes:
        console.line(f"{note}.")
    if found.now.status != found.record.status and found.now.reason:
        console.line(f"it is {found.now.status} now: {found.now.reason}")
    console.line(found.verdict())


def _told(difference: Difference | None) -> str:
    if difference is None:
        return ""
    return f"{difference.where}: {difference.record} in the record, {difference.now} now"
