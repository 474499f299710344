"""The regression gate: records against a committed baseline.

A *group* is all cells that differ in the seed alone. Where baseline and records share seeds, the seeds are compared
pairwise: on one kind of processor a repeated run is equal bit for bit, so any spread of the differences measures what
this change did to the noise. Otherwise means over seeds are compared. Either way a drop counts when it exceeds both
the minimum effect and a one-sided Student bound,

    shared seeds: the smaller of t · s_d / √n and t · s · √(2/n)
    other seeds:  t · s · √(1/n + 1/n')

with s_d the standard deviation of the differences and s that of the accuracies over seeds, each pooled over the groups
of one noise kind and rate (over all groups, where that has too few degrees of freedom), baseline and records together.
The error probability is split over all comparisons made (Bonferroni). The same is done once more for each method's
average over its groups, which sees small drops sooner.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from scipy import stats

from bench.baseline import Group, Seeds, environment, grouped, identity, newest, pooled, read_baseline, write_baseline
from bench.cell import Cell, Record
from bench.errors import NothingCompared

__all__ = ["Comparison", "Finding", "compare", "write_baseline"]

MINIMUM_EFFECT = 1.0
ALPHA = 0.01
ENOUGH = 8
Verdict: TypeAlias = Literal["worse", "better", "same", "new", "missing"]
Level: TypeAlias = Literal["cell", "method"]
Pair: TypeAlias = tuple[Group, Group]


@dataclass(frozen=True)
class Finding:
    """One comparison; accuracies, difference and tolerance in percentage points.

    Attributes:
        level: "cell" for a group of seeds, "method" for a method's average over its groups.
        label: dataset, noise and method, without the seed.
        seeds: number of shared seeds, or of seeds on the smaller side where none is shared.
        memorized: final memorized share in percent, baseline and now, as information.
        note: one line: failures, other plugin versions, no seed in common.
    """

    level: Level
    label: str
    verdict: Verdict
    before: float = math.nan
    after: float = math.nan
    difference: float = math.nan
    tolerance: float = math.nan
    seeds: int = 0
    memorized: tuple[float, float] = (math.nan, math.nan)
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """All findings, cells first; `environment` has a line per package or processor that is not the baseline's."""

    findings: tuple[Finding, ...]
    environment: tuple[str, ...]
    minimum_effect: float
    alpha: float
    counts: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("worse", "better", "same", "new", "missing"), 0)
        for finding in self.findings:
            counts[finding.verdict] += finding.level == "cell"
        object.__setattr__(self, "counts", counts)

    @property
    def exit_code(self) -> int:
        """1 where a cell or a method is worse, else 0."""
        return int(any(finding.verdict == "worse" for finding in self.findings))

    def lines(self) -> list[str]:
        """For a console: every finding that is not "same", then one line of counts."""
        shown = [f for f in self.findings if f.verdict != "same"]
        text = [f"{f.verdict:<8}{f.level:<7} {f.label}: {_figures(f)}" for f in shown]
        return [
            *text,
            *self.environment,
            ", ".join(f"{n} {verdict}" for verdict, n in self.counts.items()) + f" ({self._rule()})",
        ]

    def markdown(self) -> str:
        """A summary for a CI comment: the counts, then a table of all findings, the worse ones first."""
        rank = {"worse": 0, "missing": 1, "better": 2, "new": 3, "same": 4}
        head = "**Worse than the baseline.**" if self.exit_code else "**Not worse than the baseline.**"
        rows = [
            f"| {f.verdict} | {f.level} | {_escape(f.label)} | {_point(f.before)} | {_point(f.after)} "
            f"| {_point(f.difference, sign=True)} | {_point(f.tolerance)} | {f.seeds} | {_memorized(f)} "
            f"| {_escape(f.note)} |"
            for f in sorted(self.findings, key=lambda f: rank[f.verdict])
        ]
        counts = ", ".join(f"{n} {verdict}" for verdict, n in self.counts.items())
        columns = "| verdict | level | what | before | now | difference | tolerance | seeds | memorized % | note |"
        table = [columns, "|" + " --- |" * 10, *rows]
        changes = [f"- {_escape(line)}" for line in self.environment]
        return "\n".join([f"{head} {counts} ({self._rule()}).", "", *table, "", *changes, *([""] if changes else [])])

    def _rule(self) -> str:
        return (
            f"accuracy in percentage points; worse or better: more than {self.minimum_effect:g} points and beyond the "
            f"noise of the seeds at {self.alpha:g} over all comparisons"
        )


def compare(
    records: Iterable[Record],
    baseline: Path,
    *,
    cells: Collection[Cell] | None = None,
    minimum_effect: float = MINIMUM_EFFECT,
    alpha: float = ALPHA,
) -> Comparison:
    """Hold records against a baseline.

    A group of the baseline of which a seed failed now is worse; one without a record is missing.

    Args:
        cells: the cells of a grid; groups outside it are left out on both sides.
        minimum_effect: percentage points below which a difference is never called worse or better.
        alpha: probability of a false "worse" in the whole comparison, under unchanged code.

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
    found += [Finding("cell", before[k].label, "missing", _mean(before[k].accuracy)) for k in names if k not in now]
    found += [Finding("cell", now[k].label, "new", after=_mean(now[k].accuracy)) for k in names if k not in before]
    found += _judge("method", methods, minimum_effect, share)
    return Comparison(tuple(found), _changes(base.environment, environment(records)), minimum_effect, alpha)


def _changes(before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A line per name whose values differ, of those known on both sides."""
    return tuple(
        f"{name}: {', '.join(before[name])} in the baseline, {', '.join(now[name])} now"
        for name in sorted(before.keys() & now.keys())
        if list(before[name]) != list(now[name])
    )


@dataclass
class _Noise:
    """What the seeds say about noise: accuracies, and differences on shared seeds, by noise column, in points."""

    accuracies: dict[str, list[Seeds]]
    differences: dict[str, list[Seeds]]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> _Noise:
        noise = cls(defaultdict(list), defaultdict(list))
        for old, new in pairs:
            noise.accuracies[old.column] += [old.accuracy, new.accuracy]
            shared = _paired(old, new)
            if any(shared.values()):  # a group that is equal bit for bit says nothing about those that changed
                noise.differences[old.column].append(shared)
        return noise

    def bound(self, old: Group, new: Group, alpha: float) -> float:
        """The one-sided bound that unchanged code passes with probability `alpha`, 0 where the noise is unknown."""
        if not new.accuracy or (_constant(old) and _constant(new)):
            return 0.0
        sd, df = _spread(self.accuracies, old.column, pooled)
        n = len(_paired(old, new))
        error = sd * math.sqrt(2 / n if n else 1 / len(old.accuracy) + 1 / len(new.accuracy))
        bounds = [_quantile(alpha, df) * error] if df else []
        if n:
            sd, df = _spread(self.differences, old.column, _pooled_differences)
            bounds += [_quantile(alpha, df) * sd / math.sqrt(n)] if df else []
        return min(bounds, default=0.0)


def _quantile(alpha: float, df: int) -> float:
    return float(stats.t.ppf(1 - alpha, df))


def _pooled_differences(groups: Iterable[Seeds]) -> tuple[float, int]:
    """As `pooled`, but differences that are the same on every seed do count: they show that there is no noise."""
    several = [list(g.values()) for g in groups if len(g) > 1]
    df = sum(len(values) - 1 for values in several)
    total = sum(float(np.var(values, ddof=1)) * (len(values) - 1) for values in several)
    return (math.sqrt(total / df), df) if df else (0.0, 0)


def _spread(
    columns: Mapping[str, list[Seeds]], column: str, pool: Callable[[Iterable[Seeds]], tuple[float, int]]
) -> tuple[float, int]:
    """Standard deviation and degrees of freedom of a noise column, or of all columns where it has too few."""
    sd, df = pool(columns.get(column, []))
    return (sd, df) if df >= ENOUGH else pool([seeds for groups in columns.values() for seeds in groups])


def _judge(level: Level, pairs: Sequence[Pair], effect: float, alpha: float) -> list[Finding]:
    noise = _Noise.of(pairs)
    return [_finding(level, old, new, max(effect, noise.bound(old, new, alpha))) for old, new in pairs]


def _finding(level: Level, old: Group, new: Group, tolerance: float) -> Finding:
    """The verdict on one pair (baseline, now)."""
    shared = _paired(old, new)
    before = _mean({s: old.accuracy[s] for s in shared} or old.accuracy)
    after = _mean({s: new.accuracy[s] for s in shared} or new.accuracy)
    difference = after - before
    verdict: Verdict = "worse" if difference < -tolerance else "better" if difference > tolerance else "same"
    if any(seed in old.accuracy for seed in new.failed) or not new.accuracy:
        verdict = "worse"
    return Finding(
        level=level,
        label=old.label,
        verdict=verdict,
        before=before,
        after=after,
        difference=difference,
        tolerance=tolerance,
        seeds=len(shared) or min(len(old.accuracy), len(new.accuracy)),
        memorized=(_mean(old.memorized), _mean(new.memorized)),
        note=_note(old, new),
    )


def _note(old: Group, new: Group) -> str:
    """Failures, other seeds, and keys that are not those of the baseline."""
    parts = [f"seed {seed}: {' '.join(reason.split())}" for seed, reason in sorted(new.failed.items())]
    if new.accuracy and not _paired(old, new):
        parts.append("no seed in common")
    if any(old.keys.get(seed, key) != key for seed, key in new.keys.items()):
        parts.append("plugin versions or weights have changed")
    return "; ".join(parts)


def _constant(group: Group) -> bool:
    """Several seeds and one accuracy: a method that the seed does not reach."""
    return len(group.accuracy) > 1 and len(set(group.accuracy.values())) == 1


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


def _paired(old: Group, new: Group) -> Seeds:
    """Differences now - before by shared seed, in points."""
    return {s: new.accuracy[s] - old.accuracy[s] for s in sorted(old.accuracy.keys() & new.accuracy.keys())}


def _figures(finding: Finding) -> str:
    if finding.verdict == "missing":
        return "in the baseline, no record now"
    if finding.verdict == "new":
        return f"{_point(finding.after)}, not in the baseline"
    if math.isnan(finding.after):
        return f"{_point(finding.before)} before, did not finish now ({finding.note})"
    note = f" ({finding.note})" if finding.note else ""
    return (
        f"{_point(finding.before)} -> {_point(finding.after)}, {_point(finding.difference, sign=True)} points, "
        f"tolerance {_point(finding.tolerance)}, {finding.seeds} seed{'s' if finding.seeds != 1 else ''}{note}"
    )


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def _memorized(finding: Finding) -> str:
    old, new = finding.memorized
    return f"{_point(old)} -> {_point(new)}" if math.isfinite(new) else "–"


def _point(value: float, *, sign: bool = False) -> str:
    return "–" if math.isnan(value) else f"{value:+.1f}" if sign else f"{value:.1f}"


def _mean(values: Mapping[int, float]) -> float:
    return float(np.mean(list(values.values()))) if values else math.nan
