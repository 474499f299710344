"""Run one record again from its own contents, and check that the bits agree."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench import dataset_name
from bench.clip import identity
from bench.data.library import Library
from bench.engine.resources import TrialSettings
from bench.engine.trial import run_cell
from bench.errors import BenchError
from bench.execution import preflight
from bench.execution.estimate import Estimate
from bench.execution.plan import Plan
from bench.grid.expansion import Grid, PlannedCell
from bench.grid.keys import versions_of
from bench.grid.options import noise_kind
from bench.machine import this_machine
from bench.plugins import REGISTRIES
from bench.records.cell import Cell
from bench.records.record import Record
from bench.records.store import Store
from bench.reproduce.differences import Difference, RecordPart, changes, compared_outcomes, compared_parts
from bench.settings.schema import Config

OF_THE_MACHINE = ("timeout", "out_of_memory")


@dataclass(frozen=True)
class Reproduction:
    """Record, its rerun, and how the two compare.

    Attributes:
        parts: what was compared, in the order in which one leads to the next.
        changes: what is not as it was when the record was made.
        notes: lines on what could not be compared.
    """

    record: Record
    now: Record
    parts: tuple[RecordPart, ...]
    changes: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Difference | None:
        """First difference, None where the bits agree."""
        return next((part.first for part in self.parts if part.first is not None), None)

    def verdict(self) -> str:
        """Return one sentence."""
        if self.first is None:
            return "the bits agree" + (f", although {names_of(self.changes)} changed since." if self.changes else ".")
        if self.changes:
            return f"the bits differ, as expected: {names_of(self.changes)} changed since."
        return "the bits differ although versions, code, data and machine are unchanged: this is a bug."

    def as_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return {
            "key": self.record.key,
            "label": self.record.cell.label(),
            "agree": self.first is None,
            "expected": not self.changes,
            "first_difference": None if self.first is None else asdict(self.first),
            "parts": [asdict(part) for part in self.parts],
            "changes": [asdict(change) for change in self.changes],
            "notes": list(self.notes),
            "accuracy": {"record": self.record.accuracy.last, "now": self.now.accuracy.last},
            "seconds": self.now.cost.seconds,
        }


def reproduce(
    store: Store,
    record: Record,
    config: Config,
    *,
    data: str | None = None,
    backbone: str | None = None,
    cached: bool = False,
) -> Reproduction:
    """Run a record's cell again in a temporary folder and compare. The store is only read.

    Args:
        data: where a user's own images are now, `folder:PATH`, or None for where they were.
        backbone: where the weights are now, or None for the record's own name of them.
        cached: whether image features come from the cache instead of the images.

    Raises:
        BenchError: the record ended for want of time or memory; or data, weights, files or a plugin are missing.
    """
    if record.status in OF_THE_MACHINE:
        raise BenchError(
            f"record {record.key} is {record.status}, which depends on the machine and not on the cell alone; "
            f"`bench run --retry {record.status}` runs it again."
        )
    require_plugins(record)
    cell = _moved(record.cell, data, backbone)
    settings = _settings(config, record)
    stands_for = versions_of(cell, settings.library)
    planned = PlannedCell(record.key, cell)
    plan = Plan(Grid("reproduce", (planned,)), {}, (), (planned,), Estimate({record.key: 0.0}, frozenset(), 0))
    preflight.check(plan, vars(settings), here=cached, texts=False)
    with tempfile.TemporaryDirectory(prefix="bench-reproduce-") as folder:
        now, outcomes = run_cell(record.key, cell, settings if cached else replace(settings, cache=folder))
    noted = record.provenance.resolved
    then, today = (one.provenance.model_dump() for one in (record, now))
    changed = changes(then, {**today, "resolved": stands_for})
    parts, notes = list[RecordPart](), list[str]()
    if noted is not None:  # of an edited cell they make another key
        parts.append(RecordPart.of("key", [("key", record.key, record.cell.key(noted.model_dump()))]))
    elif record.cell.key(stands_for) != record.key:
        changed.append(Difference("versions and digests in the key", "not recorded", "another key"))
    parts += compared_parts(record, now)
    if record.status == "done":
        kept = store.outcomes(record.key)
        if kept:
            parts.append(compared_outcomes(kept, outcomes))
        else:
            none = "the store has no per-sample outcomes of it, so they are not compared"
            notes.append(store.problems.get(record.key, none).rstrip("."))
    return Reproduction(record, now, tuple(parts), tuple(changed), tuple(notes))


def require_plugins(record: Record) -> None:
    """Check that the plugins of third parties that made a record are known here.

    Raises:
        BenchError: one is not; says where it was from.
    """
    named = {
        "method": record.cell.method,
        "noise": noise_kind(record.cell.noise),
        "dataset": dataset_name.base(record.cell.dataset),
        "backbone": record.cell.backbone,
    }
    registries = {registry.kind: registry for registry in REGISTRIES}
    for part, origin in record.provenance.plugins.items():
        kind, _, name = part.partition(" ")  # losses and splits say their names
        name = name or named[kind]
        if registries[kind].find(name) is None:
            where, _, what = origin.partition(" ")
            mend = f"name it with --plugin {what}" if where == "file" else f"install {what}"
            raise BenchError(f'record {record.key} needs the {kind} "{name}" of {origin}, which is not here; {mend}.')


def _moved(cell: Cell, data: str | None, backbone: str | None) -> Cell:
    """Return the cell with the current places of images and weights. Neither is part of a number."""
    moved: dict[str, str] = {}
    if data is not None:
        moved["dataset"] = dataset_name.canonical(data)
        if dataset_name.folder_of(moved["dataset"]) is None or dataset_name.folder_of(cell.dataset) is None:
            raise BenchError(
                f'--data "{data}": expected folder:PATH, for a record of a user\'s own images; this one is of '
                f"{dataset_name.shown(cell.dataset)}. For other data sets set root in bench.toml."
            )
    if backbone is not None:
        moved["backbone"] = identity.canonical(backbone)
    return cell.model_copy(update=moved)


def _settings(config: Config, record: Record) -> TrialSettings:
    """Build the settings of the rerun: the record's device if present, folders from the settings, no time limit."""
    wanted = record.provenance.device or "cpu"
    return TrialSettings(
        library=Library.of(config.settings.dataset),
        cache=config.settings.paths.cache or None,
        device="cuda" if wanted == "cuda" and this_machine("auto").gpus else "cpu",
    )


def names_of(changed: Sequence[Difference]) -> str:
    """Join where the parts of a record changed, for a sentence."""
    names = [one.where for one in changed]
    return " and ".join([*([", ".join(names[:-1])] if names[:-1] else []), names[-1]]) + (
        " have" if len(names) > 1 else " has"
    )
