"""The gate on a store: which of its records count, and what is to be said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.library import Library
from bench.errors import BenchError
from bench.grid.expansion import PlannedCell, expand
from bench.grid.freshness import stale_lines, stale_parts
from bench.records.record import Record
from bench.records.store import Store, uncollected
from bench.regression.baseline import CountedRecords, read_baseline, write_counted
from bench.regression.comparison import DEFAULT_RULES, compare
from bench.regression.findings import Comparison, GateRules
from bench.settings.schema import Config

NAMED = 5  # lost groups in a line


@dataclass(frozen=True)
class Written:
    """What a baseline was made of."""

    groups: int
    seeds: str
    notes: tuple[str, ...]


@uncollected()
def compare_store(
    store: Store,
    config: Config,
    baseline: Path,
    rules: GateRules = DEFAULT_RULES,
    planned: Sequence[PlannedCell] | None = None,
) -> tuple[Comparison, list[str]]:
    """Compare the records of a store with a baseline, and note what is not as one would expect.

    Args:
        store: is only read.
        config: settings of the data sets that records are compared with.
        baseline: the file.
        rules: of the gate.
        planned: cells whose records alone count; None for all records. The whole baseline counts.

    Raises:
        BenchError: the baseline cannot be read.
        NothingCompared: baseline and store have no cell in common.
    """
    # by key: a record of other plugin versions or weights is none of today's grid
    records = list(store.records(None if planned is None else [one.key for one in planned]))
    cells = None if planned is None else [one.cell for one in planned]
    result = compare(records, baseline, rules, planned=cells, stale=_stale(records, config))
    return result, [*store.problems.values(), *result.uncounted]


def write_store(store: Store, config: Config, baseline: Path, grid: str | None = None) -> Written:
    """Write the baseline of a store, or of a grid's cells in it, over an earlier one.

    Raises:
        BenchError: the grid is unknown, nothing is done, or the file cannot be written.
    """
    keys = [planned.key for planned in expand(config, grid).cells] if grid else None
    records = list(store.records(keys))
    before = _labels(baseline)
    counted = CountedRecords.of(records)
    count = write_counted(counted, baseline)
    lost = _lost(before, _labels(baseline))
    absent = sum(record.status not in ("done", "skipped") for record in records)
    absent += 0 if keys is None else len(keys) - len(records)
    left = f"{absent} cells have not finished and are not in it; `bench run --retry all` runs them again."
    notes = [*store.problems.values(), *counted.notes(), *_stale(records, config), *lost, *([left] if absent else [])]
    return Written(count, _seeds(counted), tuple(notes))


def _stale(records: Iterable[Record], config: Config) -> list[str]:
    done = (record for record in records if record.status == "done")
    return stale_lines(stale_parts(done, Library.of(config.settings.dataset)))


def _labels(path: Path) -> dict[str, str]:
    """Read labels of the groups of a baseline, by identity; none where there is no whole one."""
    try:
        return {name: group.label for name, group in read_baseline(path).groups.items()}
    except BenchError:
        return {}


def _lost(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Report groups of a replaced baseline that the new one lacks."""
    lost = [label for name, label in before.items() if name not in now]
    more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    return [f"no longer in the baseline, and so no longer guarded: {'; '.join(lost[:NAMED])}{more}."] if lost else []


def _seeds(counted: CountedRecords) -> str:
    """Describe how many seeds the groups have, and what one alone is worth."""
    counts = Counter(len(group.accuracy) for group in counted.groups.values() if group.accuracy)
    texts = " and ".join(f"{seeds} seed{'s' if seeds > 1 else ''}" for seeds in sorted(counts))
    return f"{texts} each" + ("; one seed alone gives no estimate of the noise" if 1 in counts else "")
