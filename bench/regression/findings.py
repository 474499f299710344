"""Findings of a comparison with a baseline, their counts, and the exit code."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from bench.regression.gate import Test

Verdict: TypeAlias = Literal["worse", "failed", "missing", "better", "new", "same"]
VERDICTS: tuple[Verdict, ...] = ("worse", "failed", "missing", "better", "new", "same")
Change: TypeAlias = Literal["equal", "changed", "other seeds", ""]
Level: TypeAlias = Literal["cell", "seed", "method"]
EXIT_WORSE, EXIT_NOTHING = 1, 3


@dataclass(frozen=True)
class Finding:
    """Comparison of one group; accuracies, difference and tolerances in percentage points.

    Attributes:
        level: "cell" for a group of seeds, "method" for a method's average over its groups, "seed" for the seeds that
            only one side of a group has.
        label: dataset, noise and method, without the seed.
        verdict: "failed" where a seed of the baseline ran and did not finish; "missing" and "new" are on one side
            alone; "same" is neither proven worse nor proven better.
        change: "equal" where accuracy and memorized share of every shared seed are the baseline's, else "changed";
            "other seeds" where none is shared; "" where nothing was compared.
        tolerance: the smallest drop that would have counted, alike in all seeds.
        scattered: likewise, of a drop that differs from seed to seed as the accuracies do; NaN where nothing is known.
        seeds: number of shared seeds, or of seeds on the smaller side where none is shared.
        memorized: final memorized share in percent, baseline and now, as information.
        note: one line: failures, other plugin versions, what differs from the baseline's cell.
        key: of a record of the group, for `bench reproduce`; empty where there is none.
    """

    level: Level
    label: str
    verdict: Verdict
    change: Change = ""
    before: float = math.nan
    after: float = math.nan
    difference: float = math.nan
    tolerance: float = math.nan
    scattered: float = math.nan
    seeds: int = 0
    test: Test = ""
    memorized: tuple[float, float] = (math.nan, math.nan)
    note: str = ""
    key: str = ""

    @property
    def powerless(self) -> bool:
        """Whether not even a fall to 0 % would have counted."""
        return self.tolerance >= self.before

    def as_json(self) -> dict[str, Any]:
        """Convert to JSON values; numbers that do not exist are null."""
        values = asdict(self) | {"memorized": list(self.memorized)}
        return {name: _null(value) for name, value in values.items()}


@dataclass(frozen=True)
class GateRules:
    """Rules by which a comparison fails.

    Attributes:
        minimum_effect: percentage points below which a difference is never called worse or better.
        strict: whether groups and seeds that the baseline does not have fail, and stale records.
        partial: whether groups and seeds of the baseline may be missing.
    """

    minimum_effect: float = 1.0
    strict: bool = False
    partial: bool = False


@dataclass(frozen=True)
class Comparison:
    """All findings, cells first.

    Attributes:
        findings: of every group on either side, and of methods.
        environment: a line per package or processor that is not the baseline's.
        alpha: probability of a false "worse" in the whole comparison.
        counts: cells by verdict.
        changes: cells of verdict "same" by what has changed.
        stale: lines on records that were not made by the code and data that are here.
        uncounted: lines on records that do not count.
    """

    findings: tuple[Finding, ...]
    environment: tuple[str, ...]
    rules: GateRules
    alpha: float
    stale: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(init=False)
    changes: Mapping[Change, int] = field(init=False)

    def __post_init__(self) -> None:
        cells = [finding for finding in self.findings if finding.level == "cell"]
        counts = Counter(finding.verdict for finding in cells)
        object.__setattr__(self, "counts", {verdict: counts[verdict] for verdict in VERDICTS})
        object.__setattr__(self, "changes", Counter(f.change for f in cells if f.verdict == "same"))

    @property
    def powerless(self) -> bool:
        """Whether no drop could have counted, in any cell or average."""
        judged = self.judged("cell") + self.judged("method")
        return bool(judged) and all(finding.powerless for finding in judged)

    @property
    def exit_code(self) -> int:
        """Exit code: 1 on failure, 3 if `powerless`, else 0.

        Failure is anything worse, failed, missing unless `partial`, new or stale if `strict`.
        """
        strict, partial = self.rules.strict, self.rules.partial
        bad = {"worse", "failed", *(() if partial else ("missing",)), *(("new",) if strict else ())}
        if any(finding.verdict in bad for finding in self.findings) or (strict and self.stale):
            return EXIT_WORSE
        return EXIT_NOTHING if self.powerless else 0

    def of(self, verdict: Verdict, level: Level | None = None) -> list[Finding]:
        """Return the findings of one verdict, the largest drop first; of one level, or of all."""
        chosen = [f for f in self.findings if f.verdict == verdict and level in (None, f.level)]
        return sorted(chosen, key=lambda f: f.difference if math.isfinite(f.difference) else 0.0)

    def judged(self, level: Level) -> list[Finding]:
        """Return the findings that rest on accuracies of both sides, the narrowest tolerance first."""
        chosen = [f for f in self.findings if f.level == level and math.isfinite(f.difference)]
        return sorted(chosen, key=lambda f: f.tolerance)

    def as_json(self) -> dict[str, Any]:
        """Convert to JSON values. The three counts of what "same" holds stand beside it."""
        changes = {name: self.changes.get(change, 0) for name, change in _CHANGES.items()}
        return {
            "exit_code": self.exit_code,
            "counts": {**self.counts, **changes},
            "alpha": self.alpha,
            **asdict(self.rules),
            "stale": list(self.stale),
            "environment": list(self.environment),
            "findings": [finding.as_json() for finding in self.findings],
        }


_CHANGES: dict[str, Change] = {"equal": "equal", "changed": "changed", "other_seeds": "other seeds"}


def _null(value: Any) -> Any:
    if isinstance(value, list):
        return [_null(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
