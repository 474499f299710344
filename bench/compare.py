"""The regression gate: records against a committed baseline.

A *group* is all cells that differ in the seed alone. Where baseline and records share seeds, the seeds are compared
pairwise: on one kind of processor a repeated run is equal bit for bit, so any spread of the differences measures what
this change did to the noise. Otherwise the two sets of seeds are compared. Either way a difference counts when it
exceeds both the minimum effect and what the noise of the seeds explains, see `bench.gate`; the error probability is
split over all comparisons made (Bonferroni). The same is done once more for each method's average over its groups,
which sees small drops sooner.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from bench.baseline import Group, environment, grouped, identity, newest, read_baseline, write_baseline
from bench.cell import Cell, Record
from bench.errors import NothingCompared
from bench.gate import Noise, Pair, Test, paired

__all__ = ["Comparison", "Finding", "compare", "write_baseline"]

MINIMUM_EFFECT = 1.0
ALPHA = 0.01
Verdict: TypeAlias = Literal["worse", "failed", "missing", "better", "new", "same"]
VERDICTS: tuple[Verdict, ...] = ("worse", "failed", "missing", "better", "new", "same")
Level: TypeAlias = Literal["cell", "method"]


@dataclass(frozen=True)
class Finding:
    """One comparison; accuracies, difference and tolerance in percentage points.

    Attributes:
        level: "cell" for a group of seeds, "method" for a method's average over its groups.
        label: dataset, noise and method, without the seed.
        verdict: "failed" where a seed of the baseline ran and did not finish; "same" is within the noise of the seeds.
        seeds: number of shared seeds, or of seeds on the smaller side where none is shared.
        test: what the verdict rests on.
        memorized: final memorized share in percent, baseline and now, as information.
        note: one line: failures, other plugin versions, no seed in common.
        key: of a record of the group, for `bench reproduce`; empty where there is none.
    """

    level: Level
    label: str
    verdict: Verdict
    before: float = math.nan
    after: float = math.nan
    difference: float = math.nan
    tolerance: float = math.nan
    seeds: int = 0
    test: Test = ""
    memorized: tuple[float, float] = (math.nan, math.nan)
    note: str = ""
    key: str = ""

    def as_json(self) -> dict[str, Any]:
        """For `--json`: numbers that do not exist are null."""
        values = asdict(self) | {"memorized": list(self.memorized)}
        return {name: _null(value) for name, value in values.items()}


@dataclass(frozen=True)
class Comparison:
    """All findings, cells first.

    Attributes:
        findings: of every group on either side, and of methods.
        environment: a line per package or processor that is not the baseline's.
        minimum_effect: in points.
        alpha: probability of a false "worse" in the whole comparison.
        strict: whether a missing cell counts as worse.
        counts: cells by verdict.
    """

    findings: tuple[Finding, ...]
    environment: tuple[str, ...]
    minimum_effect: float
    alpha: float
    strict: bool = False
    counts: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        counts: dict[str, int] = dict.fromkeys(VERDICTS, 0)
        for finding in self.findings:
            counts[finding.verdict] += finding.level == "cell"
        object.__setattr__(self, "counts", counts)

    @property
    def exit_code(self) -> int:
        """1 where a cell or a method is worse or failed, or, if strict, a cell is missing; else 0."""
        bad = ("worse", "failed", "missing") if self.strict else ("worse", "failed")
        return int(any(finding.verdict in bad for finding in self.findings))

    def of(self, verdict: Verdict, level: Level | None = None) -> list[Finding]:
        """The findings of one verdict, the largest drop first; of one level, or of both."""
        chosen = [f for f in self.findings if f.verdict == verdict and level in (None, f.level)]
        return sorted(chosen, key=lambda f: f.difference if math.isfinite(f.difference) else 0.0)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "exit_code": self.exit_code,
            "counts": dict(self.counts),
            "minimum_effect": self.minimum_effect,
            "alpha": self.alpha,
            "strict": self.strict,
            "environment": list(self.environment),
            "findings": [finding.as_json() for finding in self.findings],
        }


def compare(
    records: Iterable[Record],
    baseline: Path,
    *,
    cells: Collection[Cell] | None = None,
    minimum_effect: float = MINIMUM_EFFECT,
    alpha: float = ALPHA,
    strict: bool = False,
) -> Comparison:
    """Hold records against a baseline.

    A group of the baseline of which a seed failed now has failed; one without a record is missing.

    Args:
        cells: the cells of a grid; groups outside it are left out on both sides.
        minimum_effect: percentage points below which a difference is never called worse or better.
        alpha: probability of a false "worse" in the whole comparison, under unchanged code.
        strict: whether a missing group counts as worse.

    Raises:
        BenchError: the baseline is missing or torn (exit code 2).
        NothingCompared: no group is on both sides (exit code 3).
    """
    records = newest(records)
    base = read_baseline(baseline)
    before, now = base.groups, grouped(records)
    if cells is not None:
        wanted = {identity(cell) for cell in cells}
        before = {k: g for k, g in before.items() if k in wanted}
        now = {k: g for k, g in now.items() if k in wanted}
    names = sorted(before.keys() | now.keys(), key=lambda k: ((before.get(k) or now[k]).label, k))
    pairs = [(before[k], now[k]) for k in names if k in before and k in now]
    if not pairs:
        raise NothingCompared(
            f'nothing compared: none of the {len(before)} cell groups of "{baseline}" is among the {len(now)} of the '
            "records; check --grid and --store, or write a new baseline."
        )
    methods = _methods(pairs)
    share = alpha / (len(pairs) + len(methods))
    found = _judge("cell", pairs, minimum_effect, share)
    skipped = {identity(record.cell): record.reason for record in records if record.status == "skipped"}
    found += [_missing(before[k], skipped.get(k)) for k in names if k not in now]
    found += [_new(now[k]) for k in names if k not in before]
    found += _judge("method", methods, minimum_effect, share)
    changed = _changes(base.environment, environment(records))
    return Comparison(tuple(found), changed, minimum_effect, alpha, strict)


def _changes(before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A line per name whose values differ, of those known on both sides."""
    return tuple(
        f"{name}: {', '.join(before[name])} in the baseline, {', '.join(now[name])} now"
        for name in sorted(before.keys() & now.keys())
        if list(before[name]) != list(now[name])
    )


def _judge(level: Level, pairs: Sequence[Pair], effect: float, alpha: float) -> list[Finding]:
    noise = Noise(pairs)
    return [_finding(level, pair, noise, effect, alpha) for pair in pairs]


def _finding(level: Level, pair: Pair, noise: Noise, effect: float, alpha: float) -> Finding:
    """The verdict on one pair (baseline, now)."""
    old, new = pair
    shared, bound = paired(old, new), noise.bound(old, new, alpha)
    before = _mean({s: old.accuracy[s] for s in shared} or old.accuracy)
    after = _mean({s: new.accuracy[s] for s in shared} or new.accuracy)
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
        before=before,
        after=after,
        difference=difference,
        tolerance=tolerance,
        seeds=len(shared) or min(len(old.accuracy), len(new.accuracy)),
        test=bound.test,
        memorized=(_mean(old.memorized), _mean(new.memorized)),
        note=_note(old, new),
        key=next((new.keys[seed] for seed in sorted(new.keys)), ""),
    )


def _missing(group: Group, skipped: str | None) -> Finding:
    note = "" if skipped is None else f"skipped now: {' '.join(skipped.split())}"
    return Finding("cell", group.label, "missing", _mean(group.accuracy), note=note)


def _new(group: Group) -> Finding:
    note = "; ".join(_failures(group))
    return Finding("cell", group.label, "new", after=_mean(group.accuracy), seeds=len(group.accuracy), note=note)


def _failures(group: Group) -> list[str]:
    return [f"seed {seed}: {' '.join(reason.split())}" for seed, reason in sorted(group.failed.items())]


def _note(old: Group, new: Group) -> str:
    """Failures, other seeds, and keys that are not those of the baseline."""
    parts = _failures(new)
    if new.accuracy and not paired(old, new):
        parts.append("no seed in common")
    if any(old.keys.get(seed, key) != key for seed, key in new.keys.items()):
        parts.append("plugin versions or weights have changed")
    return "; ".join(parts)


def _methods(pairs: Sequence[Pair]) -> list[Pair]:
    """Each method's average over its groups, where it has several with a seed that they share on either side.

    Averaging within a seed first keeps the noise that a seed's few-shot draw puts into all rates alike.
    """
    families: dict[str, list[Pair]] = defaultdict(list)
    for old, new in pairs:
        if new.accuracy:
            families[old.family].append((old, new))
    averages = [(_average([o for o, _ in f]), _average([n for _, n in f])) for f in families.values() if len(f) > 1]
    return [(old, new) for old, new in averages if old.accuracy and new.accuracy]


def _average(groups: Sequence[Group]) -> Group:
    seeds = set.intersection(*(set(group.accuracy) for group in groups))
    cell = {**groups[0].cell, "noise": f"average of {len(groups)} noise cells", "rate": 0.0}
    mean = {seed: float(np.mean([group.accuracy[seed] for group in groups])) for seed in sorted(seeds)}
    return Group(cell, mean, {}, {}, {})


def _mean(values: Mapping[int, float]) -> float:
    return float(np.mean(list(values.values()))) if values else math.nan


def _null(value: Any) -> Any:
    if isinstance(value, list):
        return [_null(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
