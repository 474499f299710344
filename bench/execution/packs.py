"""Cells that one worker trains in lockstep: which may share a pack, and how large packs are."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from bench.execution import estimate
from bench.grid.expansion import PlannedCell
from bench.grid.options import alone, structure
from bench.records.cell import Cell
from bench.schedulers.contract import Pack

MOST: Final = 16  # cells of a pack, unless the user says how many
# Packs per worker that are tried, if no group was too large or too small for them; the one that ends first is taken.
SHARES: Final = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
SLACK: Final = 1.03  # estimates are no better than that
PART: Final = 3  # no pack is to last more than this part of the whole run, where that costs nothing: estimates err


def pack_cells(
    todo: Sequence[PlannedCell], seconds: Mapping[str, float], workers: int, size: int | None = None
) -> tuple[Pack, ...]:
    """Spread cells over packs, the longest first, so that all workers are busy to the end.

    Cells share a pack where they differ in noise, rate, seed, fold and scalar options alone; one whose method is never
    trained in lockstep has a pack of its own.

    Args:
        todo: the cells.
        seconds: what each takes alone, by key.
        workers: at a time; there are as many packs at least, where there are as many cells.
        size: cells of a pack at most, whatever the workers; None for at most `MOST`, fewer where that ends sooner.
    """
    groups = _groups(todo)
    if size is not None:
        return _longest_first([part for group in groups for part in _parts(group, len(group) / size)], seconds)
    found = [_shared_out(groups, seconds, workers, share * workers) for share in SHARES]
    ends = [makespan([pack_seconds(pack, seconds) for pack in packs], workers) for packs in found]
    near = [packs for packs, end in zip(found, ends, strict=True) if end <= SLACK * min(ends)]
    longest = [max(min(ends) / PART, *(pack_seconds(pack, seconds) for pack in packs[:1]), 0.0) for packs in near]
    return min(zip(longest, near, strict=True), key=lambda pair: (pair[0], len(pair[1])))[1]


def pack_seconds(pack: Pack, seconds: Mapping[str, float]) -> float:
    """Estimate the seconds of a pack from those that its cells take alone."""
    return sum(seconds[key] for key, _ in pack) * gain(pack)


def gain(pack: Pack) -> float:
    """Return the seconds of a cell in a pack relative to those alone.

    >>> gain(())
    1.0
    """
    return estimate.gain(pack[0][1].method, len(pack)) if pack else 1.0


def makespan(durations: Iterable[float], workers: int) -> float:
    """Compute when the last worker ends, where each takes the longest that is left.

    >>> makespan([3.0, 1.0, 2.0], 2)
    3.0
    """
    ends = [0.0] * max(1, workers)
    for duration in sorted(durations, reverse=True):
        heapq.heapreplace(ends, ends[0] + duration)
    return max(ends)


def _groups(todo: Iterable[PlannedCell]) -> list[Pack]:
    """Group cells that may share a pack, in the order of the grid."""
    found: dict[str, list[tuple[str, Cell]]] = {}
    for planned in todo:
        cell = planned.cell
        name = planned.key if alone(cell.method, cell.options) else structure(cell)
        found.setdefault(name, []).append((planned.key, cell))
    return [tuple(group) for group in found.values()]


def _shared_out(groups: Sequence[Pack], seconds: Mapping[str, float], workers: int, count: float) -> tuple[Pack, ...]:
    """Divide groups into packs, about so many by their seconds, and at least as many as there are workers."""
    own = [sum(seconds[key] for key, _ in group) for group in groups]
    whole = sum(own) or 1.0
    least = [max(len(group) / MOST, count * (one / whole)) for group, one in zip(groups, own, strict=True)]
    found = [part for group, parts in zip(groups, least, strict=True) for part in _parts(group, parts)]
    while len(found) < workers and any(len(pack) > 1 for pack in found):
        longest = max((pack for pack in found if len(pack) > 1), key=lambda pack: pack_seconds(pack, seconds))
        found.remove(longest)
        found += _parts(longest, 2)
    return _longest_first(found, seconds)


def _parts(group: Pack, count: float) -> list[Pack]:
    """Divide a group into so many parts of one size, or of two that differ by one; rounded up."""
    parts = max(1, min(len(group), math.ceil(count - 1e-9)))
    edges = [len(group) * number // parts for number in range(parts + 1)]
    return [group[first:last] for first, last in pairwise(edges)]


def _longest_first(packs: Iterable[Pack], seconds: Mapping[str, float]) -> tuple[Pack, ...]:
    return tuple(sorted(packs, key=lambda pack: -pack_seconds(pack, seconds)))
