"""Report together, before a run, what a plan needs and lacks, and texts that backbones cannot encode."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bench import dataset_name
from bench.clip import identity
from bench.clip.place import ELSEWHERE, features_root, unwritable
from bench.data.library import Library
from bench.errors import BenchError, Several
from bench.execution.plan import Plan
from bench.files import is_file
from bench.grid.options import noise_kind, noise_options, noise_roles, non_default, takes_weights
from bench.machine import precision_problem
from bench.plugins import DATASETS, METHODS, NOISE
from bench.records.cell import Cell
from bench.registry import BUILT_IN

if TYPE_CHECKING:
    from bench.clip.tokens import Vocabulary
    from bench.contracts.dataset import Dataset

TINY = "tiny"
NoiseTexts: TypeAlias = "Callable[[Dataset], tuple[tuple[str, int], ...]]"


def check(plan: Plan, settings: Mapping[str, Any], here: bool = True, texts: bool = True) -> None:
    """Check that every data set exists, every backbone loads, and features can be stored.

    Every class name, and every text that a method says it encodes, is held against the backbone's vocabulary.

    Args:
        plan: with the cells to run.
        settings: keyword arguments of `bench.engine.resources.TrialSettings`.
        here: whether this machine's feature folder is the one that trials write in.
        texts: whether these count; not where a failure is to be seen again.

    Raises:
        Several: something is missing or cannot be encoded; one line each, and which data sets to prepare.
    """
    cells: list[Cell] = [planned.cell for planned in plan.todo]
    library: Library = settings["library"]
    by_noise = [one for noise in dict.fromkeys(cell.noise for cell in cells) for one in named_by(noise)]
    datasets = [cell.dataset for cell in cells]
    datasets += [dataset_name.canonical(name) for role, name in by_noise if role == "dataset"]
    backbones = [cell.backbone for cell in cells] + [name for role, name in by_noise if role == "backbone"]
    missing = {name: library.missing(name) for name in dict.fromkeys(datasets)}
    lines = [line for found in missing.values() for line in found]
    lines += [
        f'"{file}", which a kind of noise reads, is not there any more; restore it.'
        for role, file in by_noise
        if role == "file" and not is_file(Path(file).expanduser())
    ]
    loaded = {name: _loaded(name) for name in dict.fromkeys(backbones)}
    lines += [line for found in loaded.values() if isinstance(found, tuple) for line in found]
    there = [cell for cell in cells if not missing[cell.dataset]]
    lines += _unspeakable(there, loaded, library) if texts else []
    lines += _unkept(there, settings) if here else []
    precisions = dict.fromkeys(cell.precision for cell in cells)
    lines += [line for one in precisions if (line := precision_problem(one, settings["device"])) is not None]
    prepare = [name for name, found in missing.items() if found and dataset_name.folder_of(name) is None]
    if prepare:
        lines.append(f"nothing was run; for the data sets: bench data prepare {shlex.join(prepare)}")
    if lines:
        raise Several(lines)


def named_by(noise: str) -> Iterator[tuple[str, str]]:
    """List role and value of the options of a kind that name a file, a data set or weights."""
    roles = noise_roles(noise)
    for name, value in noise_options(noise).items():
        role = roles.get(name, "")
        if value and (role in ("file", "dataset") or (role == "backbone" and takes_weights(str(value)))):
            yield role, str(value)


def _loaded(name: str) -> Vocabulary | tuple[str, ...] | None:
    """Return the vocabulary of a backbone, or why it cannot be loaded; None for registered ones. May download."""
    if identity.registered(name):
        return None
    from bench.clip.load import load_backbone

    try:
        return load_backbone(name).vocabulary
    except BenchError as error:
        return error.lines


def _unspeakable(
    cells: Iterable[Cell], loaded: Mapping[str, Vocabulary | tuple[str, ...] | None], library: Library
) -> list[str]:
    """Report class names that CLIP cannot tell apart, words without an embedding, and overlong prompts."""
    asked: dict[tuple[str, str], dict[str, NoiseTexts]] = {}
    for cell in cells:
        if not _fits(cell):
            like = json.dumps([cell.method, dict(cell.options)], sort_keys=True)
            asked.setdefault((cell.dataset, cell.backbone), {})[like] = partial(_texts, cell)
        for encoder in _encoders(cell):
            asked.setdefault((cell.dataset, encoder), {})[cell.noise] = _filled
    lines: dict[str, None] = {}
    if asked:
        from bench.clip.load import load_backbone
    for (name, backbone), some in asked.items():
        vocabulary = load_backbone(TINY).vocabulary if backbone == TINY else loaded[backbone]
        lines.update(dict.fromkeys(_problems(name, backbone, vocabulary, some.values(), library)))
    return list(lines)


def _problems(
    name: str, backbone: str, vocabulary: Any, asked: Iterable[NoiseTexts], library: Library
) -> Iterator[str]:
    """Return the problems of one data set's texts with one backbone."""
    from bench.clip.tokens import Vocabulary, indistinct

    try:
        dataset = library.open(name)
        yield from (
            f"dataset {dataset_name.shown(name)}: {one}" for one in indistinct(dataset.class_names, dataset.homonyms)
        )
        if isinstance(vocabulary, Vocabulary):
            texts = dict.fromkeys(text for some in asked for text in some(dataset))
            yield from (
                f"backbone {backbone}, dataset {dataset_name.shown(name)}: {one}" for one in vocabulary.problems(texts)
            )
    except BenchError as error:
        yield from error.lines


def _texts(cell: Cell, dataset: Dataset) -> tuple[tuple[str, int], ...]:
    method = METHODS.get(cell.method)
    try:
        return method.texts(method.Options(**cell.options), dataset.class_names, dataset.templates)
    except BenchError:
        raise
    except Exception:  # noqa: BLE001 - a plugin's own mistake is for the record of its cell to tell
        return ()


def _filled(dataset: Dataset) -> tuple[tuple[str, int], ...]:
    """Return the texts that kinds of noise encode about classes."""
    return tuple((template.format(name), 0) for template in dataset.templates for name in dataset.class_names)


def _encoders(cell: Cell) -> list[str]:
    """List backbones whose text tower a cell's noise uses on class names not known to fit."""
    names = [name for role, name in named_by(cell.noise) if role == "backbone"]
    names = [name for name in names if not (name == TINY and _own(cell))]
    return names if names and NOISE.get(noise_kind(cell.noise)).reads_texts else []


def _fits(cell: Cell) -> bool:
    """Return whether the texts are known to fit without importing torch. They are where all comes with the package."""
    own = _own(cell) and cell.backbone == TINY and METHODS.row(cell.method).origin == BUILT_IN
    return own and not any(isinstance(value, str) for value in non_default(cell.method, cell.options).values())


def _own(cell: Cell) -> bool:
    """Return whether the images come with the package."""
    return DATASETS.row(dataset_name.base(cell.dataset)).origin == BUILT_IN and dataset_name.embedded(cell.dataset)


def _unkept(cells: Sequence[Cell], settings: Mapping[str, Any]) -> list[str]:
    """Return one line where features have to be written and cannot be."""
    folder = features_root(settings["cache"])
    reason = unwritable(folder)
    if reason is None or (os.access(folder, os.F_OK) and folder.is_dir() and _complete(cells, settings)):
        return []
    return [f'the feature folder "{folder}" cannot be written ({reason}); {ELSEWHERE}']


def _complete(cells: Sequence[Cell], settings: Mapping[str, Any]) -> bool:
    """Return whether all features that the cells read are stored, as in a shared read-only folder."""
    from bench.engine.resources import TrialSettings
    from bench.execution.precompute import complete

    try:
        return complete(cells, TrialSettings(**settings))
    except BenchError:
        return False
