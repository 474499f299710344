"""Export masks that replay a cell's labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from bench import dataset_name
from bench.contracts.dataset import Dataset, Split, SplitName
from bench.contracts.mask_file import FORMAT, SPLITS
from bench.contracts.noise import OUTSIDE, Sampled
from bench.grid.options import noise_identity, noise_kind, takes_rate
from bench.records.cell import Cell
from bench.variants import parse_variant


def mask_of(
    cell: Cell, dataset: Dataset, few: Mapping[SplitName, Sampled], opened: Callable[[str], Dataset]
) -> tuple[dict[str, str], list[list[str]]]:
    """Return header and rows of a mask that replays a cell's labels.

    Args:
        cell: whose labels they are; a clean validation twin is no part of its noise and left out.
        opened: opens the data set of foreign images by name.
    """
    few = {name: few[name] for name in SPLITS if name == "train" or cell.validation == "noisy"}
    header = {"mask": FORMAT, **_origin(cell, dataset, few["train"])}
    guests = {one.foreign.dataset: opened(one.foreign.dataset) for one in few.values() if one.foreign is not None}
    for name in guests:
        header["foreign"] = name
    rows = []
    for name, sampled in few.items():
        images = [image_name(sampled, index, dataset.splits[name], guests) for index in range(len(sampled.positions))]
        header[f"labels {name}"] = sampled.noisy.digest
        if repeats := len(images) - len(set(images)):
            header[f"repeated {name}"] = str(repeats)
        if sampled.short:
            short = {dataset.class_names[label]: count for label, count in sampled.short.items()}
            header[f"short {name}"] = json.dumps(short, ensure_ascii=False)
        known, classes = sampled.noisy.truth, dataset.class_names
        for image, true, observed in zip(images, sampled.noisy.true, sampled.noisy.observed, strict=True):
            rows.append([name, image, classes[true] if known and true != OUTSIDE else "", classes[observed]])
    return header, rows


def image_name(sampled: Sampled, index: int, split: Split, guests: Mapping[str, Dataset]) -> str:
    """Return the name of a sample in a mask: its path, or "NAME:path" from another data set."""
    foreign = sampled.foreign
    if foreign is None or foreign.positions[index] < 0:
        return split.name(int(sampled.positions[index]))
    other = guests[foreign.dataset].splits["train"]
    return f"{foreign.dataset}:{other.name(int(foreign.positions[index]))}"


def _origin(cell: Cell, dataset: Dataset, train: Sampled) -> dict[str, str]:
    """Return the origin of the labels, without a path; of a replayed mask, its own origin."""
    if "mask" in train.facts:
        told: Mapping[str, Any] = train.facts["mask"]
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in told.items()}
    given = parse_variant(cell.noise, "noise").options
    options = {name: value for name, value in noise_identity(cell.noise)["options"].items() if name in given}
    return {
        "dataset": dataset_name.shown(cell.dataset), "data": dataset.digest, "noise": noise_kind(cell.noise),
        **({"options": json.dumps(options)} if options else {}),
        **({"rate": str(cell.rate)} if takes_rate(cell.noise) else {}),
        "shots": str(cell.shots), "seed": str(cell.seed),
    }  # fmt: skip
