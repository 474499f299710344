"""Records grouped by the training labels they share."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contracts.noise import AsStored, Labels
from bench.dataset_name import shown
from bench.errors import BenchError
from bench.plugins import NOISE
from bench.records.naming import Facets, marked, marks
from bench.records.record import Record

SampleArrays: TypeAlias = Mapping[str, NDArray[Any]]
RecordArrays: TypeAlias = tuple[Record, SampleArrays]


@dataclass(frozen=True)
class LabelledRecord:
    """Record with its per-sample outcomes (`bench.engine.outcomes`), and each sample's row of the set, [N]."""

    record: Record
    outcomes: SampleArrays
    rows: Labels


class LabelSetName(NamedTuple):
    """Properties that the records of a label set share.

    `digest` is that of the data set's content, `drawn` what tells its noise (version, code, contents of files) and what
    prompts say of its classes from those of others that are called alike.
    """

    dataset: str
    digest: str
    shots: int
    noise: str
    rate: float
    drawn: str = ""

    @classmethod
    def of(cls, record: Record) -> LabelSetName:
        """Build the name of a record's labels, without what distinguishes it from others of that name."""
        cell = record.cell
        return cls(cell.dataset, record.data.digest, cell.shots, cell.noise, cell.rate)


@dataclass(frozen=True)
class LabelSet:
    """Training labels that a group of records shares, n pairs of image and label, with the records.

    Attributes:
        name: of the group.
        seed: None where an image has the same label under every seed; else the seed that drew them.
        class_names: C names.
        images: [n], position in the training split, or -1 - position for an image of another data set.
        given: [n].
        true: [n], None where unknown.
        mark: what tells its data set and its noise from those of other sets that are called alike; mostly nothing.
    """

    name: LabelSetName
    seed: int | None
    class_names: tuple[str, ...]
    images: Labels
    given: Labels
    true: Labels | None
    members: tuple[LabelledRecord, ...]
    mark: tuple[Facets, Facets] = ({}, {})

    @property
    def dataset(self) -> str:
        """Name of the data set for display."""
        return marked(shown(self.name.dataset), self.mark[0])

    @property
    def noise(self) -> str:
        """Kind of noise for display; of a file its name alone."""
        return marked(re.sub(r"=[^,\]]*/", "=", self.name.noise), self.mark[1])


def usable(record: Record) -> bool:
    """Return whether a record is finished and not an oracle."""
    return record.status == "done" and not record.oracle


def label_sets(records: Iterable[Record], outcomes: Callable[[str], SampleArrays]) -> list[LabelSet]:
    """Group the usable records into label sets.

    Labels that are drawn anew for each seed are one set per seed: pooled, they would average the noise away, which no
    user can. So are those of a kind of noise that draws, unless all seeds have the same images with the same labels:
    where few shots hardly overlap, nothing else would tell.

    `outcomes` returns per-sample outcomes by key, empty where there are none.
    """
    chosen = [record for record in records if usable(record)]
    names = [LabelSetName.of(record) for record in chosen]
    drawn = marks(chosen, "noise", names.__getitem__)
    spoken = marks(chosen, "dataset", names.__getitem__)
    groups: dict[LabelSetName, dict[int, list[RecordArrays]]] = defaultdict(lambda: defaultdict(list))
    for record, name, noise, dataset in zip(chosen, names, drawn, spoken, strict=True):
        found = outcomes(record.key)
        if found and record.data.class_names:
            drawn_by = json.dumps([noise, dataset.get("prompts", "")], sort_keys=True)
            groups[name._replace(drawn=drawn_by)][record.cell.seed].append((record, found))
    sets: list[LabelSet] = []
    for name, by_seed in groups.items():
        if _agree([part[0][1] for part in by_seed.values()], _stored(name.noise)):
            sets.append(_label_set(name, None, [pair for part in by_seed.values() for pair in part]))
        else:
            sets += [_label_set(name, seed, part) for seed, part in sorted(by_seed.items())]
    records = [labels.members[0].record for labels in sets]
    datasets = marks(records, "dataset", lambda number: shown(sets[number].name.dataset))
    noises = marks(records, "noise", lambda number: (sets[number].name.digest, sets[number].noise))
    return [replace(labels, mark=pair) for labels, pair in zip(sets, zip(datasets, noises, strict=True), strict=True)]


def images_of(outcomes: SampleArrays) -> Labels:
    """Return the image of each sample as a number, [N]: see `LabelSet.images`."""
    own: Labels = outcomes["positions"]
    foreign = outcomes.get("foreign")
    return own if foreign is None else np.where(foreign < 0, own, -1 - foreign)


def _stored(noise: str) -> bool:
    """Return whether a kind of noise takes labels as they are stored; False of a kind that is not there."""
    try:
        return issubclass(NOISE.get(noise.partition("[")[0]).Options, AsStored)
    except BenchError:
        return False


def _agree(several: Sequence[SampleArrays], stored: bool) -> bool:
    """Return whether each image has the same labels in all outcomes that contain it, which of drawn labels all must."""
    seen: dict[int, set[int]] = {}
    for outcomes in several:
        labels: dict[int, set[int]] = defaultdict(set)
        for image, given in zip(images_of(outcomes).tolist(), outcomes["observed"].tolist(), strict=True):
            labels[image].add(given)
        if any(seen.setdefault(image, found) != found for image, found in labels.items()):
            return False
        if not stored and labels.keys() != seen.keys():
            return False
    return True


def _label_set(name: LabelSetName, seed: int | None, group: Sequence[RecordArrays]) -> LabelSet:
    columns = [np.stack([images_of(o), o["observed"], o["true"]]) for _, o in group]
    samples, rows = np.unique(np.concatenate(columns, axis=1), axis=1, return_inverse=True)
    ends = np.cumsum([column.shape[1] for column in columns])[:-1]
    members = tuple(
        LabelledRecord(*pair, own) for pair, own in zip(group, np.split(rows.reshape(-1), ends), strict=True)
    )
    truth = all(record.noise.truth is not False for record, _ in group)
    images, given, true = samples
    return LabelSet(name, seed, tuple(group[0][0].data.class_names), images, given, true if truth else None, members)
