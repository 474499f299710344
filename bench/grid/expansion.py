"""Expand a grid's axes to cells: fully resolved, unique, in a stable order, each with its key."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

from bench import dataset_name
from bench.clip import identity
from bench.contracts import conditions
from bench.data.library import Library
from bench.errors import BenchError, Several
from bench.grid.keys import Versions
from bench.grid.options import Layer, layered, noise_kind, noise_options, noise_variant, takes_rate
from bench.grid.overrides import grid_table, inherited_rates
from bench.limits import Value
from bench.plugins import DATASETS, METHODS, NOISE
from bench.records.cell import Cell, Role
from bench.rows import BUILT_IN
from bench.settings.layers import PACKAGED
from bench.settings.schema import EVERY_EPOCH, SET, Config, Exclude, GridTable, MethodTable, Paper, PaperPart
from bench.variants import parse_variant, shown

NO_NOISE = "none"
EVERY = "*"  # among methods: every one of this package
BUDGET = tuple(name for name in Cell.fields_of(Role.TRAINING) if name != "epochs")  # which is an axis
FIXED = Cell.fields_of(Role.PROTOCOL)
SHARED = ("dataset", "noise", "rate", "shots", "backbone")  # axes beside the seed


@dataclass(frozen=True)
class PlannedCell:
    """Cell with the name of its record; `reference` where only a reference row needs it."""

    key: str
    cell: Cell
    reference: bool = False


@dataclass(frozen=True)
class Grid:
    """Expanded grid.

    Attributes:
        cells: unique cells in a stable order: by data set, backbone, shots and seed, then noise, then method.
        notes: lines for the user, on values that were inherited where that may surprise, or that do nothing.
    """

    name: str
    cells: tuple[PlannedCell, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResolvedMethod:
    """Variant with its canonical name, option layers, part of the samples, and paper, which is no layer of it."""

    method: str
    layers: tuple[Layer, Layer]
    subset: str
    reference: bool
    paper: Paper

    @cached_property
    def options(self) -> dict[str, Value]:
        """All options, before any of a paper's."""
        return layered(self.method, self.layers)

    def under(self, paper: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
        """Return all options, a paper's over the settings' and under those given in place."""
        table, in_place = self.layers
        return layered(self.method, [table, *((f"[method.{self.method}.paper]", part) for part in paper), in_place])


def expand(config: Config, name: str) -> Grid:
    """Expand a grid to its cells.

    Raises:
        BenchError: the grid, or a plugin, option or rate in it, is unknown or out of range, or nothing is left.
    """
    table = grid_table(config, name)
    _check_methods(config)
    versions = Versions(Library.of(config.settings.dataset))
    _check_files(versions, table)
    found: dict[str, PlannedCell] = {}
    for cell, reference in cells(config, name):
        key = versions.key(cell)
        if key not in found or (found[key].reference and not reference):
            found[key] = PlannedCell(key, cell, reference)
    if not found:
        raise BenchError(f"grid {name} has no cell left after its excludes; remove one of them.")
    idle = idle_keys(config, name, [planned.cell for planned in found.values()])
    return Grid(name, tuple(found.values()), (*inherited_rates(config, name), *idle))


def idle_keys(config: Config, name: str, cells: Sequence[Cell]) -> list[str]:
    """List training-loop keys that the user sets and no cell of the grid uses, one line each.

    What a table names and `--set` then puts out of action is not told of. Nothing is refused: the command that a report
    gives for a cell names every key.
    """
    named = {key: config.layers.origin(("grid", name, key)) for key in sorted(config.named(name))}
    last = {key for key, origin in named.items() if origin == SET}
    lines = []
    for key, origin in named.items():
        if origin == PACKAGED or (origin != SET and last & conditions.deciding(Cell, key)):
            continue
        if all(reason := conditions.idle(cell).get(key, "") for cell in cells):
            where = f"--set {key}" if origin == SET else f"{origin}: grid.{name}.{key}"
            lines.append(f"{where} = {getattr(cells[0], key)!r} does nothing in grid {name}; {reason}.")
    return lines


def cells(config: Config, name: str) -> Iterator[tuple[Cell, bool]]:
    """Return the cells of a grid without their keys, and whether a reference row needs each. Some may stand twice.

    Raises:
        BenchError: as `expand`, except for folders and files that only keys need.
    """
    table = grid_table(config, name)
    methods = [one for text in table.reference for one in _resolved(config, text, reference=True)]
    methods += [one for text in table.method for one in _resolved(config, text, reference=False)]
    excludes = [_Excluder(config, exclude) for exclude in table.exclude]
    for cell, reference in _product(config, name, table, methods):
        if not any(exclude.matches(cell) for exclude in excludes):
            yield cell, reference


def _product(config: Config, name: str, table: GridTable, methods: list[ResolvedMethod]) -> Iterator[tuple[Cell, bool]]:
    datasets = [dataset_name.canonical(text) for text in table.dataset]
    backbones = [identity.canonical(text) for text in table.backbone]
    settings = itertools.product(datasets, backbones, table.shots, table.seed, _noises(table))

    @cache
    def budgets(method: int, *axes: Any) -> list[dict[str, Any]]:
        """Return what all seeds share."""
        return _budgets(config, name, table, methods[method], dict(zip(SHARED, axes, strict=True)))

    for dataset, backbone, shots, seed, (kind, rate) in settings:
        axes: dict[str, Any] = {
            "dataset": dataset, "noise": kind, "rate": rate, "shots": shots, "backbone": backbone,
        }  # fmt: skip
        for number, method in enumerate(methods):
            own = axes | _shots(config, name, table, method)
            for budget in budgets(number, *(own[axis] for axis in SHARED)):
                yield Cell(
                    **own, method=method.method,
                    subset="all" if kind == NO_NOISE and method.subset == "clean" else method.subset,
                    seed=seed, **budget,
                ), method.reference  # fmt: skip


def _shots(config: Config, name: str, table: GridTable, method: ResolvedMethod) -> dict[str, int]:
    """Return the shots of a method's paper, where the paper has its own and the grid names none."""
    paper = method.paper
    asked = table.budget == "paper" and "shots" in paper.model_fields_set and "shots" not in config.named(name)
    return {"shots": paper.shots} if asked else {}


def _noises(table: GridTable) -> list[tuple[str, float]]:
    """Return kinds with rates; rate 0 of any kind that takes one is `none`."""
    noises: list[tuple[str, float]] = []
    for entry in table.noise:
        kind = noise_variant(entry.kind)
        if takes_rate(kind):
            rates = entry.rate if entry.has_rates else table.rate
            noises += [(kind, rate) if rate else (NO_NOISE, 0.0) for rate in rates]
        elif any(entry.rate):
            raise BenchError(f"noise {kind} takes no rate, found {shown(entry.rate)}; remove its rate.")
        else:
            noises.append((kind, 0.0))
    return noises


def _budgets(
    config: Config, name: str, table: GridTable, method: ResolvedMethod, axes: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return options, optimizer, epochs and evaluation of a method at these axes, one entry per number of epochs."""
    values: dict[str, Any] = table.model_dump(include={*BUDGET, *FIXED})
    epochs = table.epochs
    paper: list[dict[str, Value]] = []
    named = config.named(name)
    if table.budget == "tuned" and "learning_rate" not in named:
        values["learning_rate"] = _tuned(config, axes["backbone"]).get(method.method, table.learning_rate)
    if table.budget == "paper":
        own, paper = _paper(method.paper, axes)
        values |= {key: value for key, value in own.items() if key in BUDGET and key not in named}
        if "epochs" in own and "epochs" not in named:
            epochs = [own["epochs"]]
    given = method.under(paper) if paper else method.options
    views = values.pop("views")
    return [
        {**values, "options": dict(given), "epochs": count, "views": count if views == EVERY_EPOCH else views}
        for count in epochs
    ]


def _tuned(config: Config, backbone: str) -> Mapping[str, float]:
    """Return the learning rates chosen for a backbone, by registered name of the method.

    Raises:
        BenchError: there are none.
    """
    if backbone not in config.settings.tuned:
        raise BenchError(
            f'budget "tuned" has no learning rates for backbone {backbone}; run: '
            f"python scripts/choose_protocol.py --tuned {backbone}, and put its table into bench.toml."
        )
    return {METHODS.row(name).name: rate for name, rate in config.settings.tuned[backbone].items()}


def _paper(paper: Paper, axes: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Value]]]:
    """Collect a paper's settings at these axes: of the training, and options of the method.

    A later part counts more than an earlier one.
    """
    dataset = DATASETS.row(dataset_name.base(axes["dataset"]))
    meant: dict[str, Callable[[Any], bool]] = {axis: partial(operator.eq, value) for axis, value in axes.items()}
    meant["dataset"] = {axes["dataset"], dataset.name, *dataset.aliases}.__contains__
    meant["noise"] = partial(_is_noise, axes["noise"])
    parts: list[PaperPart] = [paper, *(when for when in paper.when if when.matches(meant))]
    own = {key: value for part in parts for key, value in part.model_dump(exclude_unset=True).items()}
    return own, [part.options for part in parts]


def _is_noise(noise: str, text: str) -> bool:
    """Return whether a paper means a cell's noise by a text: its kind, and the options that the text names."""
    kind, asked = NOISE.row(noise_kind(noise)), parse_variant(text, "noise")
    if asked.name not in (kind.name, *kind.aliases):
        return False
    known = noise_options(noise) if asked.options else {}
    return all(known.get(name) == value for name, value in asked.options.items())


def _table(config: Config, method: str) -> tuple[str, MethodTable]:
    """Return the settings of a method, and which of its names they stand under."""
    tables = config.settings.method.items()
    return next(((name, table) for name, table in tables if METHODS.row(name).name == method), (method, MethodTable()))


def _resolved(config: Config, text: str, reference: bool) -> list[ResolvedMethod]:
    """Resolve a variant once for each subset that it asks for, or `EVERY` to all methods of this package."""
    if text == EVERY:
        ours = [row.name for row in METHODS.rows() if row.origin == BUILT_IN]
        return [one for own in ours for one in _resolved(config, own, reference)]
    variant = parse_variant(text)
    method = METHODS.row(variant.name).name
    name, table = _table(config, method)
    layers = (f"[method.{name}]", table.options), ("", variant.options)
    return [ResolvedMethod(method, layers, subset, reference, table.paper) for subset in variant.subsets]


def _check_methods(config: Config) -> None:
    """Check that methods with a learning rate of their own are known, and that no method has two tables."""
    found: dict[str, str] = {}
    for name in (name for rates in config.settings.tuned.values() for name in rates):
        METHODS.row(name)
    for name in config.settings.method:
        registered = METHODS.row(name).name
        if other := found.get(registered):
            alias = name if other == registered else other
            raise BenchError(f"[method.{alias}]: {alias} is {registered}; write [method.{registered}], which is there.")
        found[registered] = name


def _check_files(versions: Versions, table: GridTable) -> None:
    """Report together missing folders, checkpoints and files of noise kinds, then missing data sets.

    Keys need the digests of the former, so this cannot wait for the check before a run.
    """
    asked: list[Callable[[], Any]] = [
        *(partial(_dataset_identity, versions, text) for text in table.dataset),
        *(partial(identity.canonical, text) for text in table.backbone),
        *(partial(versions.noise, entry.kind) for entry in table.noise),
    ]
    lines = [line for ask in asked for line in _complaints(ask)]
    if lines:
        absent = [
            line
            for name in dict.fromkeys(text for text in table.dataset if dataset_name.folder_of(text) is None)
            if not _complaints(partial(dataset_name.canonical, name))
            for line in versions.library.missing(dataset_name.canonical(name))
        ]
        raise Several([*dict.fromkeys([*lines, *absent])])


def _dataset_identity(versions: Versions, text: str) -> str:
    return versions.dataset(dataset_name.canonical(text))


def _complaints(ask: Callable[[], Any]) -> tuple[str, ...]:
    try:
        ask()
    except BenchError as error:
        return error.lines
    return ()


class _Excluder:
    """Exclude with resolved names. A bare method excludes every variant of it, one with options that variant."""

    def __init__(self, config: Config, exclude: Exclude) -> None:
        self.axes: dict[str, list[Any]] = exclude.model_dump(exclude_unset=True, exclude={"method", "noise", "dataset"})
        self.noise = [noise_variant(kind) for kind in exclude.noise]
        self.datasets = [dataset_name.canonical(name) for name in exclude.dataset]
        if exclude.backbone:
            self.axes["backbone"] = [identity.canonical(name) for name in exclude.backbone]
        self.methods = [(one, "[" in text) for text in exclude.method for one in _resolved(config, text, False)]

    def matches(self, cell: Cell) -> bool:
        """Return whether the cell has one of the values at every named axis."""
        if self.noise and cell.noise not in self.noise and noise_kind(cell.noise) not in self.noise:
            return False
        if self.datasets and cell.dataset not in self.datasets:
            return False
        if self.methods and not any(
            cell.method == method.method
            and cell.subset == method.subset
            and (not exact or cell.options == method.options)
            for method, exact in self.methods
        ):
            return False
        return all(getattr(cell, axis) in values for axis, values in self.axes.items())
