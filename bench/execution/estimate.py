"""Estimate what cells cost, from records of like cells or by default."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final, TypeAlias

from bench import dataset_name
from bench.contracts.options import PerImage
from bench.data import catalogue
from bench.errors import BenchError
from bench.grid.expansion import PlannedCell
from bench.machine import UNMEASURED_BYTES, this_machine
from bench.plugins import DATASETS, METHODS
from bench.records.cell import Cell
from bench.records.provenance import accelerator, processor
from bench.records.record import Record
from bench.rows import Row
from bench.schedulers.contract import Pack

# Where no like cell has been run: seconds per epoch of CoOp on 16 shots of ten classes, and once per cell, measured
# with `tiny` and digits on one core; other backbones count as a ViT-B/16 without GPU. What a method takes relative to
# CoOp stands in its row.
SECONDS_PER_EPOCH = {"tiny": 0.0175}
OTHER_SECONDS_PER_EPOCH = 0.5
SHOTS, CLASSES = 16, 10
PREFIX, NAME = 17, 3  # tokens of a prompt that all classes share, and of a class name with what ends it
BOUND: Final = 1 / 3  # of a step of CoOp on `tiny`, what grows with the tokens; the rest is the start of operations
CELL_SECONDS = 0.025
RECORD_BYTES = 100_000
SHARED: Final = 0.75  # of CoOp's seconds on `tiny`, ten classes, what a pack pays once: 3.1 cells' time for 16
Likeness: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Estimate:
    """Cost of the cells that are to be run.

    Attributes:
        seconds: of one worker, by key, that a cell takes alone; what packs save is `saved`'s.
        learned: the cells whose seconds stem from records of like cells.
        elsewhere: those of them whose records were all made on other processors.
        apart: the cells that a pack saves nothing, as records of like cells say: nothing is trained, or one by one.
        disk: bytes in the store.
        peaks: the measured peaks of GPU memory of like cells in bytes, by how many were trained at a time.
    """

    seconds: Mapping[str, float]
    learned: frozenset[str]
    disk: int
    elsewhere: frozenset[str] = frozenset()
    apart: frozenset[str] = frozenset()
    peaks: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    @property
    def measured(self) -> int:
        """Number of cells whose seconds stem from records of like cells."""
        return len(self.learned)

    @property
    def total(self) -> float:
        """Seconds on one worker, cell after cell."""
        return sum(self.seconds.values())

    def gpu_memory(self, packs: Iterable[Pack]) -> int:
        """Return the bytes of GPU memory that the largest of these packs takes, 0 where no like cell was measured.

        A pack takes what the next wider one took, or what the widest took, times how much wider it is: an upper bound.
        Beside measured packs, one that nothing is known of counts as `bench.machine.UNMEASURED_BYTES`.
        """
        found = [_peak(self.peaks.get(pack[0][0], {}), len(pack)) for pack in packs if pack]
        return max(peak or UNMEASURED_BYTES for peak in found) if any(found) else 0


def _peak(peaks: Mapping[int, int], width: int) -> int:
    wider = [number for number in peaks if number >= width]
    if wider:
        return peaks[min(wider)]
    return peaks[max(peaks)] * width // max(peaks) if peaks else 0


def estimated(todo: Sequence[PlannedCell], records: Iterable[Record], device: str = "auto") -> Estimate:
    """Estimate from records of the likest cells, of this processor before any other's, else by default.

    Likest are those that differ in noise and seed alone, then those of the same method, data set and backbone, then of
    other methods, then of other data sets. A record of a cell that shared a pack tells what it would take alone.
    """
    rates: dict[tuple[bool, Likeness], list[float]] = defaultdict(list)
    peaks: dict[Likeness, dict[int, int]] = defaultdict(dict)
    apart: set[Likeness] = set()
    works: dict[Likeness, float] = {}

    def work(cell: Cell, name: Likeness) -> float:
        if name not in works:
            works[name] = _work(cell)
        return works[name]

    here = processor_here(device) if todo else ""
    for record in records:
        cell, width = record.cell, record.cost.lockstep or 1
        seconds, peak, names = record.cost.seconds, record.cost.peak_memory_bytes, _likeness(cell)
        if record.status == "done" and isinstance(seconds, (int, float)):
            if record.cost.not_in_lockstep or record.cost.trained_parameters == 0:
                apart.add(names[2])
                width = 1
            rate = seconds / pack_gain(cell, width) / cell.epochs
            for name in names:
                rates[record.provenance.processor == here, name].append(rate / work(cell, names[0]))
        if record.status == "done" and isinstance(peak, int):
            for name in names:
                peaks[name][width] = max(peak, peaks[name].get(width, 0))
    means = {name: fmean(values) for name, values in rates.items()}
    seconds_by_key, peaks_by_key = {}, {}
    learned: set[str] = set()
    elsewhere: set[str] = set()
    for planned in todo:
        cell, names = planned.cell, _likeness(planned.cell)
        found = next(((own, name) for own in (True, False) for name in names if (own, name) in means), None)
        if found is None:
            rate, once = SECONDS_PER_EPOCH.get(cell.backbone, OTHER_SECONDS_PER_EPOCH), CELL_SECONDS
        else:
            rate, once = means[found], 0.0
            learned.add(planned.key)
            elsewhere.update(() if found[0] else (planned.key,))
        seconds_by_key[planned.key] = rate * work(cell, names[0]) * cell.epochs + once
        peaks_by_key[planned.key] = next((peaks[name] for name in names if name in peaks), {})
    alone = frozenset(planned.key for planned in todo if _likeness(planned.cell)[2] in apart)
    disk = len(seconds_by_key) * RECORD_BYTES
    return Estimate(seconds_by_key, frozenset(learned), disk, frozenset(elsewhere), alone, peaks_by_key)


def processor_here(device: str) -> str:
    """Return the name, as records have it, of the processor or GPU that cells would be computed on here."""
    return accelerator() if device != "cpu" and this_machine("auto").gpus else processor()


def pack_gain(cell: Cell, width: int) -> float:
    """Return the seconds of a cell in a pack relative to those alone, as measured: with small towers, which wait."""
    return gain(cell.method, width) if cell.backbone in SECONDS_PER_EPOCH else 1.0


def gain(method: str, width: int) -> float:
    """Return the seconds of a cell of a pack, relative to those alone, with a small tower.

    >>> gain("coop", 1)
    1.0
    """
    return 1 - shared(method) * (width - 1) / width


def shared(method: str) -> float:
    """Return the share of a cell's seconds that its pack pays once; of dear methods less, for they compute more."""
    return SHARED / max(1.0, relative_cost(method))


def _work(cell: Cell) -> float:
    """Return the seconds of an epoch relative to CoOp's on 16 shots of ten classes, as rows and needs say.

    There are as many steps as images. What a step takes grows with the tokens of the texts where these are computed for
    each image or the tower is large; a small one mostly waits for operations to start. A step through the image tower
    hardly knows of classes.
    """
    row = DATASETS.find(dataset_name.base(cell.dataset))
    classes, most = _size(row)
    images = min(cell.shots * classes, most)
    tokens = (PREFIX + NAME * classes) / (PREFIX + NAME * CLASSES)
    own = _per_image(cell)
    if own == "pixels":
        tokens = 1.0
    elif cell.backbone in SECONDS_PER_EPOCH and own != "texts":
        tokens = 1 + BOUND * (tokens - 1)
    return relative_cost(cell.method) * (1.0 if row is None else row.cost) * images / (SHOTS * CLASSES) * tokens


def _size(row: Row | None) -> tuple[int, float]:
    """Return the numbers of classes and of training images that a data set's row or catalogue entry says it has."""
    if row is None or row.classes:
        return (row.classes, row.images or math.inf) if row is not None else (CLASSES, math.inf)
    try:
        sizes = next(iter(catalogue.entry(row.name).sizes.values()))
    except BenchError:
        return CLASSES, math.inf
    return sizes.classes, sizes.train or math.inf


def _per_image(cell: Cell) -> PerImage:
    """Return what a step of the cell computes for each image by itself; empty for an unknown method."""
    row = METHODS.find(cell.method)
    try:
        if row is not None and row.options:  # which waits for no torch
            own: PerImage = METHODS.options(row.name)(**cell.options).per_image
            return own
        from bench.engine.checkpoint import needs_of  # with torch, which a plugin that says no more has imported

        needs = needs_of(cell)
    except (BenchError, ValueError):
        return ""
    return "pixels" if needs.pixels else "texts" if needs.per_image_text else ""


def relative_cost(method: str) -> float:
    """Return seconds of a method relative to CoOp's, as its row says; of an unknown one 1."""
    row = METHODS.find(method)
    return 1.0 if row is None else row.cost


def _likeness(cell: Cell) -> tuple[Likeness, ...]:
    place, own = (cell.dataset, cell.backbone), (cell.method, cell.dataset, cell.backbone)
    same = (str(cell.options), cell.subset, cell.shots, cell.epochs, cell.eval_every, cell.batch_size, cell.views)
    return (*own, *same), (*own, cell.shots), own, place, (cell.backbone,)
