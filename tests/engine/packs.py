"""Cells trained alone and in packs, and what then differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from bench.contracts.options import scalar_options
from bench.engine import trial
from bench.engine.trial import Run, TrialSettings
from bench.plugins import METHODS
from bench.records.cell import Cell
from tests.few_digits import SETTINGS, few

MEMBERS = (  # noise, rate, subset: part sizes, batches and steps differ from one to the other
    ("symmetric", 0.5, "all"),
    ("symmetric", 0.25, "all"),
    ("none", 0.0, "all"),
    ("asymmetric", 0.25, "clean"),
    ("symmetric", 0.5, "fold1of3"),
    ("symmetric", 0.7, "clean"),
    ("asymmetric", 0.3, "fold2of2"),
    ("symmetric", 0.1, "all"),
)
PARTS = ("status", "reason", "curve", "accuracy", "noise", "diagnostics")


def options(method: str, given: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Options of member `number`: every scalar one differs from the first member's where its limits allow it."""
    kind = METHODS.get(method).Options
    values = kind(**given).model_dump()
    for name in scalar_options(kind) if number else ():
        for factor in (1 - 0.03 * number, 1 + 0.05 * number):
            try:
                values = kind(**{**values, name: values[name] * factor}).model_dump()
                break
            except ValidationError:
                continue
    return values


def members(method: str, count: int, given: Mapping[str, Any] | None = None, **changes: Any) -> list[Cell]:
    """Cells of 30 samples or less that differ in all that members of a pack may differ in."""
    return [
        few(method, noise=noise, rate=rate, subset=subset, seed=1 + number // 2,
            options=options(method, given or {}, number), **changes)
        for number, (noise, rate, subset) in ((n, MEMBERS[n % len(MEMBERS)]) for n in range(count))
    ]  # fmt: skip


def alone(cells: Sequence[Cell], settings: TrialSettings = SETTINGS) -> list[Run]:
    return [run for number, cell in enumerate(cells) for run in trial._runs([(str(number), cell)], settings)]


def packed(cells: Sequence[Cell], settings: TrialSettings = SETTINGS) -> list[Run]:
    """The same as one pack, in the order of the cells."""
    runs = trial._runs([(str(number), cell) for number, cell in enumerate(cells)], settings)
    return sorted(runs, key=lambda run: int(run.key))


def differences(one: Run, other: Run) -> list[str]:
    """What differs by a bit: parameters, buffers, what the record holds, steps, outcomes of the samples."""
    (first, samples), (second, others) = one.result(), other.result()
    found = [part for part in PARTS if _plain(getattr(first, part)) != _plain(getattr(second, part))]
    found += [part for part in ("optimizer_steps", "forward_passes")
              if getattr(first.cost, part) != getattr(second.cost, part)]  # fmt: skip
    found += [name for name in samples if not np.array_equal(samples[name], others[name], equal_nan=True)]
    found += [] if samples.keys() == others.keys() else ["names of outcomes"]
    if one.method is not None and other.method is not None:
        states = one.method.state_dict(), other.method.state_dict()
        found += [name for name, value in states[0].items() if not torch.equal(value, states[1][name])]
    return found


def _plain(part: Any) -> Any:
    return part.model_dump() if hasattr(part, "model_dump") else part


def why(run: Run) -> str | None:
    """Why a run was trained by itself, though it stands in a pack."""
    reason: str | None = run.result()[0].cost.not_in_lockstep
    return reason
