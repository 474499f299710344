"""Estimate what cells cost, from records of like cells or by default."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final, TypeAlias

from bench import dataset_name
from bench.grid.expansion import PlannedCell
from bench.machine import UNMEASURED_BYTES, this_machine
from bench.plugins import DATASETS, METHODS
from bench.records.cell import Cell
from bench.records.provenance import accelerator, processor
from bench.records.record import Record
from bench.schedulers.contract import Pack

# Where no like cell has been run: seconds per epoch of CoOp, and once per cell. Measured with `tiny` and digits on one
# core; a ViT-B/16 without GPU takes more than a hundred times as long. What a method takes relative to CoOp, or a data
# set relative to digits, stands in its row.
SECONDS_PER_EPOCH = {"tiny": 0.0175}
OTHER_SECONDS_PER_EPOCH = 3.0
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
    here = processor_here(device) if todo else ""
    for record in records:
        cell, width = record.cell, record.cost.lockstep or 1
        seconds, peak = record.cost.seconds, record.cost.peak_memory_bytes
        if record.status == "done" and isinstance(seconds, (int, float)):
            if record.cost.not_in_lockstep or record.cost.trained_parameters == 0:
                apart.add(_likeness(cell)[2])
                width = 1
            rate = seconds / pack_gain(cell, width) / cell.epochs
            for name in _likeness(cell):
                rates[record.provenance.processor == here, name].append(rate / _scale(cell, name))
        if record.status == "done" and isinstance(peak, int):
            for name in _likeness(cell):
                peaks[name][width] = max(peak, peaks[name].get(width, 0))
    means = {name: fmean(values) for name, values in rates.items()}
    seconds_by_key, peaks_by_key = {}, {}
    learned: set[str] = set()
    elsewhere: set[str] = set()
    for planned in todo:
        cell, names = planned.cell, _likeness(planned.cell)
        found = next(((own, name) for own in (True, False) for name in names if (own, name) in means), None)
        if found is None:
            seconds_by_key[planned.key] = _default_seconds(cell)
        else:
            seconds_by_key[planned.key] = means[found] * _scale(cell, found[1]) * cell.epochs
            learned.add(planned.key)
            elsewhere.update(() if found[0] else (planned.key,))
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


def _default_seconds(cell: Cell) -> float:
    rate = SECONDS_PER_EPOCH.get(cell.backbone, OTHER_SECONDS_PER_EPOCH)
    return rate * _dataset_cost(cell.dataset) * relative_cost(cell.method) * cell.epochs + CELL_SECONDS


def _dataset_cost(dataset: str) -> float:
    row = DATASETS.find(dataset_name.base(dataset))
    return 1.0 if row is None else row.cost


def relative_cost(method: str) -> float:
    """Return seconds of a method relative to CoOp's, as its row says; of an unknown one 1."""
    row = METHODS.find(method)
    return 1.0 if row is None else row.cost


def _scale(cell: Cell, likeness: Likeness) -> float:
    """Return the factor that divides a rate shared by methods, or by data sets, and multiplies it again."""
    scale = 1.0 if cell.method in likeness else relative_cost(cell.method)
    return scale if cell.dataset in likeness else scale * _dataset_cost(cell.dataset)


def _likeness(cell: Cell) -> tuple[Likeness, ...]:
    place, own = (cell.dataset, cell.backbone), (cell.method, cell.dataset, cell.backbone)
    same = (str(cell.options), cell.subset, cell.shots, cell.epochs, cell.eval_every, cell.batch_size, cell.views)
    return (*own, *same), (*own, cell.shots), own, place, (cell.backbone,)
