"""What is not stated of a published protocol, or differs from ours without forbidding the comparison, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.data import catalogue
from bench.limits import Value
from bench.plugins import METHODS
from bench.records.cell import Cell
from bench.reports.published.numbers import Budget, PublishedNumber
from bench.variants import parse_variant

DEFAULT_MODE = "coop"  # the default mode of every data set that has modes: the splits of CoOp's authors
PRECISION = {
    "half": "half precision",
    "mixed": "mixed precision",
    "single": "float32",
    "tf32": "TF32",
    "bf16": "bfloat16",
}
DROPPED = {True: "dropped", False: "kept"}


@dataclass(frozen=True)
class Ours:
    """A row and noise column of ours: mean and sample standard deviation in percent over its finished seeds.

    Attributes:
        kinds: the kinds of noise of its setting.
        left_out: images of the data set that could not be decoded.
        defaults: the method's default options.
    """

    setting: str
    label: str
    cell: Cell
    mean: float
    sd: float
    seeds: tuple[int, ...]
    kinds: tuple[str, ...]
    left_out: int
    defaults: dict[str, Value]

    @property
    def n(self) -> int:
        """Number of finished seeds."""
        return len(self.seeds)


def differences(number: PublishedNumber, own: Ours) -> tuple[str, ...]:
    """List what is not stated or differs without forbidding the comparison; doubts about the number apart."""
    return (*number.caveats, *_training(number, own.cell), *_images(number, own), *_runs(number, own))


def _training(number: PublishedNumber, cell: Cell) -> Iterator[str]:
    """Compare budget, options, precision and batches."""
    missing = [
        f"{name.replace('_', ' ')} ({short(getattr(cell, name))} here)"
        for name in Budget.model_fields
        if getattr(number.budget, name) is None
    ]
    if missing:
        yield f"{joined(missing)} not stated there"
    if number.unstated:
        yield f"{joined(number.unstated)} of the method not stated there"
    if cell.options.get("faithful") is False:
        yield "defects of the reference are repaired here (faithful = true keeps them)"
    here = "single" if cell.precision == "float32" else cell.precision
    if number.precision is None:
        yield f"precision not stated there ({PRECISION[here]} here)"
    elif number.precision != here:
        yield f"{PRECISION[number.precision]} there, {PRECISION[here]} here"
    dropped = number.sheet.drop_last
    method = METHODS.get(cell.method)
    ours = cell.drop_last or method.drops_last(method.Options(**cell.options))
    if dropped is None:
        yield f"whether incomplete batches are dropped not stated there ({DROPPED[ours]} here)"
    elif dropped != ours:
        yield f"incomplete batches {DROPPED[dropped]} there, {DROPPED[ours]} here"


def _images(number: PublishedNumber, own: Ours) -> Iterator[str]:
    """Compare weights, augmentation, splits and their sizes."""
    cell, sheet = own.cell, number.sheet
    if "@" in cell.backbone:
        yield "weights of the backbone from a file here"
    if sheet.augmented is None:
        yield f"image augmentation not stated there ({_views(cell)} here)"
    elif sheet.augmented and cell.views < cell.epochs:
        yield f"{_views(cell)} here, new random crops and flips in every epoch there"
    elif not sheet.augmented and cell.views:
        yield f"{_views(cell)} here, plain images there"
    if sheet.split is None:
        yield "split of the data set not stated there"
    if number.pool and number.pool != mode(cell):
        size = catalogue.entry(number.dataset).sizes[number.pool].train
        yield f"shots drawn from {size:,} images there, from others here (mode {mode(cell)})"
    if own.left_out:
        yield f"{own.left_out} {'image' if own.left_out == 1 else 'images'} that cannot be decoded left out here"


def _runs(number: PublishedNumber, own: Ours) -> Iterator[str]:
    """Compare seeds, and what chooses the epoch or anything else of a run."""
    sheet, count = number.sheet, number.row.seeds
    if count is None:
        yield "number of seeds not stated there"
    elif count != own.n:
        yield f"{count} {'seed' if count == 1 else 'seeds'} there, {own.n} here"
    elif len(sheet.seeds) == count and sheet.seeds != own.seeds:
        there, here = (joined([f"{seed}" for seed in seeds]) for seeds in (sheet.seeds, own.seeds))
        yield f"{'seed' if count == 1 else 'seeds'} {there} there, {here} here"
    if sheet.selection is None:
        yield "which epoch's accuracy not stated there (the last here)"
    if _validates(own.cell):
        here = own.cell.validation
        if sheet.validation is None:
            yield f"labels of the validation set not stated there ({here} here)"
        elif sheet.validation != here:
            yield f"labels of the validation set {sheet.validation} there, {here} here"


def _validates(cell: Cell) -> bool:
    """Return whether a method chooses anything on the validation set."""
    method = METHODS.get(cell.method)
    return bool(method.needs(method.Options(**cell.options)).validation)


def _views(cell: Cell) -> str:
    return f"{cell.views} stored views of each image" if cell.views else "plain images"


def mode(cell: Cell) -> str:
    """Return the mode of a cell's data set."""
    return str(parse_variant(cell.dataset, "dataset").options.get("mode", DEFAULT_MODE))


def joined(words: Sequence[str]) -> str:
    """Join words by commas, and the last by "and"."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def short(value: object) -> str:
    """Format a value, a float without trailing zeros."""
    return f"{value:g}" if isinstance(value, float) else str(value)
