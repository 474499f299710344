"""What stands at the head of the page: settings, best methods, oracles, what did not finish, environments."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.layout import few
from bench.records.parts import CodeState
from bench.records.record import Record
from bench.reports.names import REFERENCE, column_name, noise_name, noise_order
from bench.reports.tables.columns import as_dicts, beyond_limits
from bench.reports.tables.summary import describe, measured, settings, summarize
from bench.reports.tables.ties import judge
from bench.standing import Judged, marks

SHOWN = 3
MACHINE = ("device", "processor", "platform", "threads")


@dataclass(frozen=True)
class Best:
    """The best trained method of a noise column.

    Attributes:
        ahead: points by which it is ahead of the next.
        needed: points that would be needed to be apart.
        near: methods that seeds do not tell from it.
        left_out: methods that are not ranked, having other seeds or wrong labels.
    """

    column: str
    label: str
    mean: float
    sd: float
    n: int
    ahead: float
    needed: float
    near: str
    zero_shot: float
    left_out: str = ""


@dataclass(frozen=True)
class SettingOverview:
    """One setting in words and counts."""

    name: str
    words: str
    measured: str
    rows: int
    columns: str
    seeds: str
    done: int
    cells: int
    best: tuple[Best, ...]


def overviews(frame: pd.DataFrame) -> list[SettingOverview]:
    """Summarise each setting, in the order of the tables."""
    return [_setting(name, part) for name, part in settings(frame)]


def oracles(frame: pd.DataFrame, records: Sequence[Record]) -> list[tuple[str, str]]:
    """List the oracle rows with what each was told."""
    facts = {record.key: record.oracle for record in records}
    told: dict[str, set[str]] = {}
    for key, label in frame.loc[frame["section"] == "oracle", ["key", "label"]].itertuples(index=False, name=None):
        told.setdefault(label, set()).update(facts.get(key, []))
    return [(label, ", ".join(sorted(fact.replace("_", " ") for fact in found))) for label, found in told.items()]


def environments(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Count the cells per code state, versions and machine, the commonest first."""
    counts: Counter[tuple[str, ...]] = Counter()
    for record in records:
        known = record.provenance
        versions = ", ".join(f"{name} {number}" for name, number in known.versions.items())
        code = known.code or CodeState()
        commit = (code.commit or "")[:12] + (" with changes" if code.dirty else "")
        counts[(commit, versions, *(str(getattr(known, name)) for name in MACHINE))] += 1
    names = ("commit", "versions", *MACHINE)
    return [{**dict(zip(names, row, strict=True)), "cells": count} for row, count in counts.most_common()]


def span(records: Sequence[Record]) -> str:
    """Format when the first cell began and the last one ended, to the minute; empty where unknown."""
    begun = [record.provenance.started for record in records if record.provenance.started]
    ended = [record.provenance.finished for record in records if record.provenance.finished]
    if not (begun and ended):
        return ""
    (day, first), (other, last) = _moment(min(begun)), _moment(max(ended))
    if (day, first) == (other, last):
        return f"{day}, {first} UTC"
    return f"{day}, {first} to {'' if day == other else f'{other}, '}{last} UTC"


def _moment(text: str) -> tuple[str, str]:
    """Return day and minute of a time as records note it, in UTC."""
    day, _, time = text.partition("T")
    return day, time[:5]


def _setting(name: str, part: pd.DataFrame) -> SettingOverview:
    kinds = part[["noise", "rate"]].drop_duplicates()["noise"].value_counts(sort=False)
    done, seeds = int((part["status"] == "done").sum()), sorted({int(seed) for seed in part["seed"]})
    columns = ", ".join(f"{noise_name(str(kind))} ({count})" if count > 1 else noise_name(str(kind))
                        for kind, count in kinds.items())  # fmt: skip
    shown = ", ".join(map(str, seeds)) if len(seeds) <= 10 else f"{len(seeds)} seeds"
    words, rows = describe(part), int(part["label"].nunique())
    return SettingOverview(name, words, measured(part), rows, columns, shown, done, len(part), _best(part))


def _best(part: pd.DataFrame) -> tuple[Best, ...]:
    """Find the best trained method per noise column (`bench.reports.tables.ties`); none where nothing is ranked."""
    summary = summarize(part)
    known = {
        (row["label"], row["noise"], float(row["rate"])): row
        for row in as_dicts(summary[summary["section"] == "method"])
    }
    references = summary[summary["method"] == REFERENCE]
    zero = {(row["noise"], float(row["rate"])): float(row["mean"]) for row in as_dicts(references)}
    judged, beyond = judge(part), set(beyond_limits(part))
    rank = noise_order(kind for kind, _ in judged)
    found = []
    for column in sorted(judged, key=lambda column: (rank.index(column[0]), column)):
        if column not in beyond:
            row = known[judged[column].labels[0], *column]
            mean, sd, n = (row[name] for name in ("mean", "sd", "n"))
            several = len(judged[column].labels) > 1
            ahead, needed = (judged[column].gap(0, 1), judged[column].needed(0, 1)) if several else (math.nan, math.nan)
            name, zero_shot = column_name(*column), zero.get(column, math.nan)
            near, left_out = _near(judged[column]), ", ".join(judged[column].left_out)
            found.append(Best(name, row["label"], mean, sd, n, ahead, needed, near, zero_shot, left_out))
    return tuple(found)


def _near(judged: Judged) -> str:
    """List the stable methods that seeds do not tell from the first, or that are printed like it."""
    if len(judged.labels) == 1:
        return "no other method"
    if judged.seeds == 1:
        return "unknown with one seed"
    means = np.mean(judged.values, axis=1)
    printed = {label: f"{mean:.1f}" for label, mean in zip(judged.labels, means, strict=True)}
    stands = marks(judged, printed)
    others = [(label, stands[label]) for label in judged.labels[1:]]
    near = [label for label, found in others if (found.near or found.mark == "best") and not found.unstable]
    return few(near, SHOWN) or "none"
