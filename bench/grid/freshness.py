"""Check whether records were made by the current code, from the current data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Final

from bench import dataset_name
from bench.data.library import Library
from bench.errors import BenchError
from bench.grid.code import code_of
from bench.grid.keys import Versions
from bench.plugins import DATASETS
from bench.records.naming import CONTENT, RecordOrigin
from bench.records.record import Record
from bench.registry import BUILT_IN

NOT_NOTED: Final = "code that was not noted"
DIGITS: Final = 6
NAMED: Final = 4  # parts in a line
TABLES: Final = "tables tell them apart or say so"


def stale_parts(records: Iterable[Record], library: Library) -> dict[str, tuple[str, ...]]:
    """Describe by key what has changed in code or data since a record was made. Unchanged records are absent.

    Data are looked at where their files are here and no digest of them is in the key. Files of which one is in the key
    may have changed between the plan and the run.
    """
    now, versions = cache(lambda name: _digest(name, library)), Versions(library)
    found = {}
    for record in records:
        parts = (*other_code(record), *_data(record, now), *_changed_files(record, versions))
        if parts:
            found[record.key] = parts
    return found


def stale_lines(stale: Mapping[str, tuple[str, ...]], rerun: bool = False) -> list[str]:
    """Return a line for the user on stale records; none where there are none."""
    if not stale:
        return []
    counts = Counter(part for parts in stale.values() for part in parts)
    parts = "; ".join(f"{part} ({count})" for part, count in counts.most_common(NAMED))
    parts += f"; and {len(counts) - NAMED} more" if len(counts) > NAMED else ""
    many = f"{len(stale)} done cells were" if len(stale) > 1 else "1 done cell was"
    done = "they are run anew" if rerun else f"they count as done, and {TABLES}; --rerun runs them anew"
    return [f"{many} not made by the code and data that are here now: {parts}. {done[0].upper()}{done[1:]}."]


def other_code(record: Record) -> list[str]:
    """Describe which code of a record differs from the current code."""
    noted = RecordOrigin(record).sources
    if not noted:
        return [NOT_NOTED] if {"versions", "code"} & record.provenance.model_fields_set else []
    try:
        now = code_of(record.cell)
    except BenchError:  # a plugin that is not here
        return []
    cell = record.cell
    names = {
        "method": cell.method,
        "noise": cell.noise,
        "dataset": dataset_name.base(cell.dataset),
        "backbone": cell.backbone,
    }
    parts = [part for part in now if now[part] != noted.get(part, "")]
    named = {part: f"{part} {name}" for part, name in names.items()}
    return ["another engine" if part == "engine" else f"other code of {named.get(part, part)}" for part in parts]


def _changed_files(record: Record, versions: Versions) -> list[str]:
    """Describe files that changed between the record's key and its run."""
    cell, known = record.cell, record.provenance.resolved
    try:
        now = versions.of(cell)
    except BenchError:  # a plugin or a file that is not here
        return []
    noted = known.model_dump() if known else now
    if noted == now or cell.key(now) != record.key:
        return []
    names = {"dataset": dataset_name.shown(cell.dataset), "noise": cell.noise, "backbone": cell.backbone}
    changed = [names.get(part, part) for part in now if noted.get(part) != now[part]]
    return [f"files of {name} that changed before it was run" for name in changed]


def _data(record: Record, now: Callable[[str], str]) -> list[str]:
    name, noted = record.cell.dataset, RecordOrigin(record).facets("dataset")[CONTENT]
    if not noted or dataset_name.folder_of(name) is not None:
        return []
    digest = now(name)
    same = not digest or digest == noted
    return [] if same else [f"other files of {name} (digest {noted[:DIGITS]} then, {digest[:DIGITS]} now)"]


def _digest(name: str, library: Library) -> str:
    """Return the digest of a known data set whose files exist; else empty."""
    try:
        if dataset_name.embedded(name) and DATASETS.row(dataset_name.base(name)).origin == BUILT_IN:
            return ""
        dataset = library.open(name)
        return "" if dataset.missing() else dataset.digest
    except BenchError:
        return ""
