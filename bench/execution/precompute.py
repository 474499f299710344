"""Precompute the features of a plan before workers start, with all processors and only once."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from bench import dataset_name
from bench.clip.backbone import Backbone
from bench.clip.features import FeatureStore
from bench.contracts.dataset import SPLITS, Dataset, SplitName
from bench.contracts.method import Needs
from bench.contracts.noise import Sampled
from bench.engine.feature_rows import SampleOrigin, StoreRequest
from bench.engine.inputs import wanted_by
from bench.engine.resources import TrialSettings, labelled, open_backbone, origins_of, store_of, view_of
from bench.errors import BenchError
from bench.plugins import METHODS
from bench.records.cell import Cell, Role

LABELS = Cell.fields_of(Role.LABELS)
ReportCount: TypeAlias = Callable[[int, int | None], None]


@dataclass
class _Count:
    """Counter of images done, which reports them."""

    report: ReportCount
    total: int | None = None
    done: int = 0

    def add(self, images: int) -> None:
        self.done += images
        self.report(self.done, self.total)


def compute_missing(cells: Iterable[Cell], settings: TrialSettings, report: ReportCount) -> int:
    """Compute missing features, and return the number of images that went through a tower.

    Embedded data sets are left to the trials. So is a cell whose labels cannot be drawn: its record says why.

    `report` is given the images done and the whole, None while kinds of noise look at images.

    Raises:
        BenchError: an image cannot be decoded, or a data set or a backbone opened.
    """
    by_backbone: dict[str, list[Cell]] = {}
    for cell in cells:
        if not dataset_name.embedded(cell.dataset):
            by_backbone.setdefault(cell.backbone, []).append(cell)
    count, store = _Count(report), store_of(settings)
    found = {name: list(_missing(some, settings, store, count)) for name, some in by_backbone.items()}
    count.total = count.done + sum(len(wanted.images) for lacking in found.values() for wanted in lacking)
    for name, lacking in found.items():
        for wanted in lacking:
            wanted.entry(store, open_backbone(name, settings.device), count.add)
    return count.done


def complete(cells: Iterable[Cell], settings: TrialSettings) -> bool:
    """Return whether the feature store has all that the cells read. Only noise that looks at images is computed.

    Raises:
        BenchError: a data set or a backbone cannot be opened.
    """
    by_backbone: dict[str, list[Cell]] = {}
    for cell in cells:
        by_backbone.setdefault(cell.backbone, []).append(cell)
    store, count = store_of(settings), _Count(lambda _done, _total: None)
    return not any(True for some in by_backbone.values() for _ in _missing(some, settings, store, count))


def release() -> None:
    """Free the memory of the backbones that were used."""
    import torch

    open_backbone.cache_clear()
    gc.collect()
    torch.cuda.empty_cache()  # nothing where there is no GPU


def _missing(
    cells: Iterable[Cell], settings: TrialSettings, store: FeatureStore, count: _Count
) -> Iterator[StoreRequest]:
    """List the missing entries of one backbone, each once, with all the parts that are needed."""
    entries: dict[str, StoreRequest] = {}
    draws: dict[Hashable, Mapping[SplitName, Sampled] | None] = {}
    seen: set[Hashable] = set()
    for cell in cells:
        dataset, method = settings.library.open(cell.dataset), METHODS.get(cell.method)
        needs, labels = method.needs(method.Options(**cell.options)), tuple(getattr(cell, axis) for axis in LABELS)
        if labels not in draws:
            draws[labels] = None
            with suppress(BenchError):  # the record of the cell will say why
                draws[labels] = labelled(dataset, cell, settings, count.add)
        drawn = draws[labels]
        views = cell.views and (cell.seed, cell.views, needs.crop)
        like = cell.dataset, views, needs.tokens, needs.pixels, needs.pool, _bytes(drawn)
        if drawn is None or like in seen:
            continue
        seen.add(like)
        for wanted in _wanted(cell, dataset, drawn, needs, open_backbone(cell.backbone, settings.device), settings):
            known = entries.get(wanted.key.digest, wanted)
            entries[wanted.key.digest] = replace(known, parts=max(known.parts, wanted.parts, key=len))
    for wanted in entries.values():
        if any(store.lacks(wanted.key, part, len(wanted.images)) for part in wanted.parts):
            yield wanted


def _wanted(
    cell: Cell,
    dataset: Dataset,
    drawn: Mapping[SplitName, Sampled],
    needs: Needs,
    backbone: Backbone,
    settings: TrialSettings,
) -> Iterator[StoreRequest]:
    """List all entries that a trial of this cell reads."""
    for split in SPLITS:
        origins, _ = origins_of(dataset, split, drawn.get(split), settings)
        yield from wanted_by(needs, origins, backbone)
        for number in range(cell.views if split == "train" else 0):
            yield from wanted_by(needs, origins, backbone, view_of(cell, needs, number))
    if needs.pool:
        yield from wanted_by(Needs(tokens=needs.tokens), [SampleOrigin(dataset, "train")], backbone)


def _bytes(drawn: Mapping[SplitName, Sampled] | None) -> tuple[Hashable, ...]:
    """Return bytes that distinguish the samples of two cells."""
    return tuple(
        (split, one.positions.tobytes(), one.foreign and (one.foreign.dataset, one.foreign.positions.tobytes()))
        for split, one in (drawn or {}).items()
    )
