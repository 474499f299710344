"""`bench compare`: the gate as a command, the baseline's making, and the summary for a comment."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import console
from bench.cli.commands import Selection
from bench.data.library import Library
from bench.errors import BenchError
from bench.files import write_whole
from bench.grid.expand import expand
from bench.grid.freshness import stale_parts, told
from bench.records.naming import newest
from bench.records.record import Record
from bench.regression.baseline import grouped, read_baseline, write_baseline
from bench.regression.comparison import compare
from bench.regression.text import lines, markdown, stopped

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
NAMED = 5  # lost groups in a line


@dataclass(frozen=True)
class Gate:
    """What `bench compare` is asked for.

    Attributes:
        baseline: path of the file.
        write: whether to write it instead.
        summary: path of the Markdown summary, or None for none.
        strict: whether what the baseline does not have fails.
        partial: whether what the baseline has may be missing.
        minimum_effect: in points.
        as_json: whether the findings are printed as JSON.
    """

    baseline: str
    write: bool = False
    summary: str | None = None
    strict: bool = False
    partial: bool = False
    minimum_effect: float = 1.0
    as_json: bool = False


def compare_records(selection: Selection, gate: Gate) -> int:
    """Compare and say so; returns the comparison's exit code.

    Raises:
        BenchError: baseline or store cannot be read, the summary cannot be written, or options contradict each other.
        NothingCompared: baseline and store have no cell in common.
    """
    if gate.write and (gate.summary is not None or gate.as_json or gate.strict or gate.partial):
        raise BenchError(
            "--write makes the baseline and compares nothing; leave out --summary, --json, --strict and --partial, or "
            "--write."
        )
    if not 0 <= gate.minimum_effect < 100:
        raise BenchError(
            f"--minimum-effect {gate.minimum_effect:g}: expected a finite number of points of accuracy below 100, such "
            "as 1."
        )
    if gate.write:
        return _write(selection, gate)
    try:
        return _compare(selection, gate)
    except BenchError as error:
        if gate.summary is not None and not isinstance(error, _NoSummary):
            _summarise(gate.summary, stopped(" ".join(error.lines), error.exit_code))
        raise


def _compare(selection: Selection, gate: Gate) -> int:
    config = selection.load()
    read_baseline(Path(gate.baseline))  # told before a store that may hold thousands of records is read
    store = selection.existing(config)
    planned = expand(config, selection.grid).cells if selection.grid else None
    # by key: a record of other plugin versions or weights is none of today's grid
    records = list(store.records(None if planned is None else [one.key for one in planned]))
    stale = stale_parts((one for one in records if one.status == "done"), Library.of(config.settings.dataset))
    result = compare(
        records, Path(gate.baseline), planned=None if planned is None else [one.cell for one in planned],
        minimum_effect=gate.minimum_effect, strict=gate.strict, partial=gate.partial,
        stale=told(stale),
    )  # fmt: skip
    for text in (*store.problems.values(), *_doubled(records)):
        console.warn(text)
    if gate.as_json:
        console.as_json(result.as_json())
    else:
        for text in lines(result):
            console.line(text)
    if gate.summary is not None:
        _summarise(gate.summary, markdown(result, gate.baseline, store.root, selection.grid))
    return result.exit_code


def _write(selection: Selection, gate: Gate) -> int:
    config = selection.load()
    store = selection.existing(config)
    keys = [planned.key for planned in expand(config, selection.grid).cells] if selection.grid else None
    records = list(store.records(keys))
    before = _labels(gate.baseline)
    count = write_baseline(records, Path(gate.baseline))
    console.line(f"wrote {count} groups of cells to {gate.baseline}, {_seeds(records)}.")
    stale = told(stale_parts((one for one in records if one.status == "done"), Library.of(config.settings.dataset)))
    for text in (*store.problems.values(), *_doubled(records), *stale, *_lost(before, _labels(gate.baseline))):
        console.warn(text)
    absent = sum(record.status not in ("done", "skipped") for record in records)
    absent += 0 if keys is None else len(keys) - len(records)
    if absent:
        console.warn(f"{absent} cells have not finished and are not in it; `bench run --retry all` runs them again.")
    return 0


def _doubled(records: Sequence[Record]) -> list[str]:
    """A line where several records are of one cell, since only one of them counts."""
    older = len(records) - len(newest(records))
    if not older:
        return []
    return [
        f"{older} records are of cells that also have a record of other plugin versions or weights; the one finished "
        "last counts, with --grid the one of today's grid."
    ]


def _labels(path: str) -> dict[str, str]:
    """Labels of the groups of a baseline, by identity; none where there is no whole one."""
    try:
        return {name: group.label for name, group in read_baseline(Path(path)).groups.items()}
    except BenchError:
        return {}


def _lost(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """A line where a baseline that is replaced had groups that the new one has not."""
    lost = [label for name, label in before.items() if name not in now]
    more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    return [f"no longer in the baseline, and so no longer guarded: {'; '.join(lost[:NAMED])}{more}."] if lost else []


def _seeds(records: Iterable[Record]) -> str:
    """How many seeds the groups have, with a word on what one alone is worth."""
    counts = Counter(len(group.accuracy) for group in grouped(records).values() if group.accuracy)
    told = " and ".join(f"{seeds} seed{'s' if seeds > 1 else ''}" for seeds in sorted(counts))
    return f"{told} each" + ("; one seed alone says nothing of its noise" if 1 in counts else "")


class _NoSummary(BenchError):
    """The summary itself cannot be written."""


def _summarise(path: str, text: str) -> None:
    """Write the summary whole or not at all; it is added to the file that GitHub collects a job's summaries in."""
    file = Path(path).expanduser()
    collected = os.environ.get(STEP_SUMMARY)
    try:
        if collected and file == Path(collected):
            with file.open("a", encoding="utf-8") as stream:
                stream.write(text + "\n")
        else:
            write_whole(file, text)
    except OSError as error:
        raise _NoSummary(f'--summary "{path}" cannot be written: {error.strerror}; give the path of a file.') from error
