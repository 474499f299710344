"""List cells and seeds that only one side of a comparison with a baseline has, and why."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.layout import few
from bench.records.cell import Cell
from bench.regression.baseline import SeedGroup, Seeds
from bench.regression.findings import Finding
from bench.regression.gate import GroupPair, paired

DIFFERENCES_SHOWN = 4  # differences in a line
DIGEST_DIGITS = 12
PLACE = ("dataset", "noise", "rate", "method", "subset")


class Coverage:
    """Groups that only one side of a comparison has."""

    def __init__(
        self,
        before: Mapping[str, SeedGroup],
        now: Mapping[str, SeedGroup],
        planned: Collection[Cell] | None = None,
        skipped: Sequence[tuple[Mapping[str, Any], str]] = (),
    ) -> None:
        self.skipped = {_text(_fields(cell)): reason for cell, reason in skipped}
        self.missing = {name: group for name, group in before.items() if name not in now}
        self.new = {name: group for name, group in now.items() if name not in before}
        cells = None if planned is None else [_fields(cell.model_dump()) for cell in planned if not cell.fold]
        self.planned = None if cells is None else {_text(fields) for fields in cells}
        known = {_text(_fields(group.cell)) for group in (*before.values(), *self.new.values())}
        today = [
            *(_described(group) for group in self.new.values()),
            *(c for c in cells or () if _text(c) not in known),
        ]
        self.others = list({_text(fields): fields for fields in today}.values())

    def findings(self) -> list[Finding]:
        """List the missing groups, then the new ones."""
        missing = [
            Finding("cell", group.label, "missing", before=mean(group.accuracy), note=self._why(group))
            for group in self.missing.values()
        ]
        return missing + [
            Finding(
                "cell", group.label, "new", after=mean(group.accuracy), seeds=len(group.accuracy),
                note="; ".join(failures(group)),
            )
            for group in self.new.values()
        ]  # fmt: skip

    def nearest(self) -> str:
        """Describe how a missing group differs from its nearest cell of today; "" where none is near."""
        near = ((group.label, self._differs(group)) for group in self.missing.values())
        return next((f"{label}: {text}" for label, text in near if text), "")

    def _why(self, group: SeedGroup) -> str:
        place = _text(_fields(group.cell))
        if place in self.skipped:
            return f"skipped now: {' '.join(self.skipped[place].split())}"
        if self.planned is None:
            return self._differs(group)
        if place in self.planned and not any(group.cell == one.cell for one in self.new.values()):
            return "in the baseline and in today's grid, no record of it now"
        return self._differs(group) or "in the baseline, not in today's grid"

    def _differs(self, group: SeedGroup) -> str:
        """Describe how a missing group differs from the nearest new cell; "" where none is near."""
        fields = _described(group)
        near = [(names, other) for other in self.others if (names := _apart(fields, other))]
        if not near:
            return ""
        names, other = min(near, key=lambda one: len(one[0]))
        return f"in the baseline with {_told(fields, names)}; today's cell has {_told(other, names)}"


def seed_findings(pairs: Sequence[GroupPair]) -> Iterator[Finding]:
    """List seeds that one side of a group has beyond the shared ones. Where none is shared, none is missed."""
    for old, new in pairs:
        if not paired(old, new):
            continue
        gone = {s: value for s, value in old.accuracy.items() if s not in new.accuracy and s not in new.failed}
        more = {s: value for s, value in new.accuracy.items() if s not in old.accuracy}
        if gone:
            note = f"in the baseline, no record now: {_seeds(gone)}"
            yield Finding("seed", old.label, "missing", before=mean(gone), seeds=len(gone), note=note)
        broken = [seed for seed in new.failed if seed not in old.accuracy]
        if more or broken:
            note = "; ".join([*([_seeds(more)] if more else []), *failures(new, broken)])
            yield Finding("seed", old.label, "new", after=mean(more), seeds=len(more), note=note)


def failures(group: SeedGroup, seeds: Collection[int] | None = None) -> list[str]:
    """List the seeds that did not finish, or those among `seeds`, with their reasons."""
    failed = sorted(group.failed.items())
    return [f"seed {seed}: {' '.join(why.split())}" for seed, why in failed if seeds is None or seed in seeds]


def _fields(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten a cell to one level of fields and options, without its seed."""
    plain = {name: value for name, value in cell.items() if name not in ("options", "seed")}
    return plain | {f"option {name}" if name in plain else name: value for name, value in cell["options"].items()}


def _described(group: SeedGroup) -> dict[str, Any]:
    """Return the fields of a group's cell, and the beginnings of the digests of its contents."""
    return _fields(group.cell) | {f"digest of {n}": v[:DIGEST_DIGITS] for n, v in group.content._asdict().items() if v}


def _text(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True)


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the fields in which two cells differ: one, or several but none of `PLACE`; else none."""
    missing = object()
    names = [name for name in {**one, **other} if one.get(name, missing) != other.get(name, missing)]
    return names if len(names) == 1 or not set(names) & set(PLACE) else []


def _told(fields: Mapping[str, Any], names: Sequence[str]) -> str:
    shown = [f"{n} = {json.dumps(fields[n], ensure_ascii=False)}" if n in fields else f"no {n}" for n in names]
    return few(shown, DIFFERENCES_SHOWN)


def _seeds(seeds: Collection[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}"


def mean(values: Seeds) -> float:
    """Average over the seeds; NaN of none."""
    return float(np.mean(list(values.values()))) if values else float("nan")
