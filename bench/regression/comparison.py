"""The regression gate: records against a committed baseline.

A *group* is all cells that differ in the seed alone. Where baseline and records share seeds, the seeds are compared
pairwise: on one kind of processor a repeated run is equal bit for bit, so any spread of the differences measures what
this change did to the noise. Otherwise the two sets of seeds are compared. Either way a difference counts when it
exceeds both the minimum effect and what the noise of the seeds explains, see `bench.regression.gate`; the error
probability is split over all comparisons made (Bonferroni). The same is done once more for each method's average over
its groups, which sees small drops sooner. The whole baseline counts: what it has and the records have not is missing,
see `bench.regression.coverage`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.errors import NothingCompared
from bench.records.cell import Cell
from bench.records.record import Record
from bench.regression.baseline import CountedRecords, SeedGroup, environment, read_baseline, write_baseline
from bench.regression.coverage import Coverage, failures, mean, seed_findings
from bench.regression.findings import Change, Comparison, Finding, GateRules, Level, Verdict
from bench.regression.gate import GroupPair, SeedNoise, paired

__all__ = ["Comparison", "Finding", "compare", "write_baseline"]

GATE_ALPHA = 0.01
DEFAULT_RULES = GateRules()


def compare(
    records: Iterable[Record],
    baseline: Path,
    rules: GateRules = DEFAULT_RULES,
    *,
    planned: Collection[Cell] | None = None,
    stale: Sequence[str] = (),
) -> Comparison:
    """Compare records with a whole baseline.

    A group of the baseline of which a seed failed now has failed; one without a record is missing.

    Args:
        planned: the cells of today's grid, where the records are of one; they tell why a group is missing.
        stale: lines on records that were not made by the code and data that are here.

    Raises:
        BenchError: the baseline is missing or torn (exit code 2).
        NothingCompared: no group is on both sides (exit code 3).
    """
    counted = CountedRecords.of(records)
    base = read_baseline(baseline)
    now = _ordered(counted.groups)
    before = _ordered(_aligned(base.groups, now))
    skipped = [
        (record.cell.model_dump(), record.reason or "") for record in counted.records if record.status == "skipped"
    ]
    coverage = Coverage(before, now, planned, skipped)
    pairs = [(group, now[name]) for name, group in before.items() if name in now]
    if not pairs:
        nearest = coverage.nearest()
        raise NothingCompared(
            f'nothing compared: none of the {len(before)} cell groups of "{baseline}" is among the {len(now)} of the '
            f"records{f' ({nearest})' if nearest else ''}; check --grid and --store, or write a new baseline."
        )
    methods = _methods(pairs)
    share = GATE_ALPHA / (len(pairs) + len(methods))
    found = [*_judge("cell", pairs, rules.minimum_effect, share), *coverage.findings(), *seed_findings(pairs)]
    found += _judge("method", methods, rules.minimum_effect, share)
    changed = _changes(base.environment, environment(counted.records))
    return Comparison(tuple(found), changed, rules, GATE_ALPHA, tuple(stale), tuple(counted.notes()))


def _aligned(before: Mapping[str, SeedGroup], now: Mapping[str, SeedGroup]) -> dict[str, SeedGroup]:
    """Match the baseline's groups to today's names, also where one side does not state its contents."""
    found = {name: group for name, group in before.items() if name in now}
    for name, group in before.items():
        if name in found:
            continue
        alike = [other for other, one in now.items() if one.cell == group.cell and one.content.may_be(group.content)]
        free = [other for other in alike if other not in found]
        found[free[0] if len(alike) == len(free) == 1 else name] = group
    return found


def _ordered(groups: Mapping[str, SeedGroup]) -> dict[str, SeedGroup]:
    return dict(sorted(groups.items(), key=lambda item: (item[1].label, item[0])))


def _changes(before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return a line per name whose values differ, of those known on both sides."""
    return tuple(
        f"{name}: {', '.join(before[name])} in the baseline, {', '.join(now[name])} now"
        for name in sorted(before.keys() & now.keys())
        if list(before[name]) != list(now[name])
    )


def _judge(level: Level, pairs: Sequence[GroupPair], effect: float, alpha: float) -> list[Finding]:
    noise = SeedNoise(pairs)
    return [_finding(level, pair, noise, effect, alpha) for pair in pairs]


def _finding(level: Level, pair: GroupPair, noise: SeedNoise, effect: float, alpha: float) -> Finding:
    """Judge one pair (baseline, now)."""
    old, new = pair
    shared, bound = paired(old, new), noise.bound(old, new, alpha)
    before = mean({s: old.accuracy[s] for s in shared} or old.accuracy)
    after = mean({s: new.accuracy[s] for s in shared} or new.accuracy)
    difference, tolerance = after - before, max(effect, bound.tolerance)
    verdict: Verdict = "same"
    if difference < -tolerance and bound.lower <= alpha:
        verdict = "worse"
    elif difference > tolerance and bound.upper <= alpha:
        verdict = "better"
    if any(seed in old.accuracy for seed in new.failed) or not new.accuracy:
        verdict = "failed"
    return Finding(
        level=level,
        label=old.label,
        verdict=verdict,
        change=_change(old, new),
        before=before,
        after=after,
        difference=difference,
        tolerance=max(effect, bound.drop),
        scattered=max(effect, bound.scattered) if math.isfinite(bound.scattered) else math.nan,
        seeds=len(shared) or min(len(old.accuracy), len(new.accuracy)),
        test=bound.test,
        memorized=(mean(old.memorized), mean(new.memorized)),
        note=_note(old, new),
        key=next((new.keys[seed] for seed in sorted(new.keys)), ""),
    )


def _change(old: SeedGroup, new: SeedGroup) -> Change:
    """Classify whether every shared seed has the baseline's accuracy and memorized share."""
    differences = paired(old, new)
    if not differences:
        return "other seeds" if new.accuracy else ""
    equal = all(old.memorized.get(seed) == new.memorized.get(seed) for seed in differences)
    return "equal" if equal and not any(differences.values()) else "changed"


def _note(old: SeedGroup, new: SeedGroup) -> str:
    """Note failures, other seeds, and keys that are not those of the baseline."""
    parts = failures(new)
    if new.accuracy and not paired(old, new):
        parts.append("no seed in common")
    if any(old.keys.get(seed, key) != key for seed, key in new.keys.items()):
        parts.append("plugin versions or weights have changed")
    return "; ".join(parts)


def _methods(pairs: Sequence[GroupPair]) -> list[GroupPair]:
    """Compare each method's average over its groups, where several share a seed on either side.

    Averaging within a seed first keeps the noise that a seed's few-shot draw puts into all rates alike.
    """
    families: dict[str, list[GroupPair]] = defaultdict(list)
    for old, new in pairs:
        if new.accuracy:
            families[old.family].append((old, new))
    averages = [(_average([o for o, _ in f]), _average([n for _, n in f])) for f in families.values() if len(f) > 1]
    return [(old, new) for old, new in averages if old.accuracy and new.accuracy]


def _average(groups: Sequence[SeedGroup]) -> SeedGroup:
    seeds = set.intersection(*(set(group.accuracy) for group in groups))
    cell = {**groups[0].cell, "noise": f"average of {len(groups)} noise cells", "rate": 0.0}
    mean = {seed: float(np.mean([group.accuracy[seed] for group in groups])) for seed in sorted(seeds)}
    return SeedGroup(cell, mean, {}, {}, {})
