"""What a plan needs and this machine lacks: data sets, weights, files, all told at once before anything is trained."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from bench.clip import identity
from bench.data import named
from bench.data.library import Library
from bench.errors import BenchError, Several
from bench.plan import Plan
from bench.resolve import noise_options, noise_roles, takes_weights


def check(plan: Plan, library: Library) -> None:
    """Look for every data set, and load every backbone that comes from a file or a download, once.

    Args:
        plan: with the cells to run.
        library: opens data sets.

    Raises:
        Several: something is missing; one line each, and which data sets to prepare.
    """
    cells = [planned.cell for planned in plan.todo]
    by_noise = [one for noise in dict.fromkeys(cell.noise for cell in cells) for one in _named_by(noise)]
    datasets = [cell.dataset for cell in cells]
    datasets += [named.canonical(name) for role, name in by_noise if role == "dataset"]
    backbones = [cell.backbone for cell in cells] + [name for role, name in by_noise if role == "backbone"]
    missing = {name: library.missing(name) for name in dict.fromkeys(datasets)}
    lines = [line for found in missing.values() for line in found]
    lines += [line for role, file in by_noise if role == "file" for line in _unreadable(file)]
    lines += [line for name in dict.fromkeys(backbones) for line in _unloadable(name)]
    prepare = [name for name, found in missing.items() if found and named.folder_of(name) is None]
    if prepare:
        lines.append(f"nothing was run; for the data sets: bench data prepare {shlex.join(prepare)}")
    if lines:
        raise Several(lines)


def _named_by(noise: str) -> Iterator[tuple[str, str]]:
    """Role and value of the options of a kind that name a file, a data set or weights."""
    roles = noise_roles(noise)
    for name, value in noise_options(noise).items():
        role = roles.get(name, "")
        if value and (role in ("file", "dataset") or (role == "backbone" and takes_weights(str(value)))):
            yield role, str(value)


def _unreadable(file: str) -> tuple[str, ...]:
    there = Path(file).expanduser().is_file()
    return () if there else (f'"{file}", which a kind of noise reads, is not there any more; restore it.',)


def _unloadable(name: str) -> tuple[str, ...]:
    """What keeps a backbone from being loaded; a download is tried."""
    if identity.embedded(name):
        return ()
    from bench.clip.load import load_backbone

    try:
        load_backbone(name)
    except BenchError as error:
        return error.lines
    return ()
