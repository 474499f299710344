"""Every registered kind with a setting on `digits`, and the digest of all that a method would see under it.

Run as a program it prints the digests as JSON, for the test that compares processes; the argument is an empty folder.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts.dataset import Split, SplitName
from bench.contracts.noise import Sampled, Scene
from bench.data import library
from bench.engine.labelling import draw, scene_of
from bench.engine.resources import TrialSettings, encoder_features, encoder_texts
from tests.cells import make_cell

SPLITS: tuple[SplitName, ...] = ("train", "validation")
NEXT = "".join(
    ",".join(str(0.75 * (row == column) + 0.25 * ((row + 1) % 10 == column)) for column in range(10)) + "\n"
    for row in range(10)
)


def _mask() -> str:
    """Symmetric noise of both splits as a mask."""
    text = "split,path,observed_label\n"
    for split in SPLITS:
        found, names = (
            sampled(Setting("symmetric"), Path(), Path(), split),
            library.open_dataset("digits").splits[split],
        )
        rows = zip(found.positions, found.noisy.observed, strict=True)
        text += "".join(f"{split},{names.name(position)},{label}\n" for position, label in rows)
    return text


def _same(scene: Scene) -> Scene:
    return scene


def _grouped(scene: Scene) -> Scene:
    return replace(scene, superclasses=(0, 0, 0, 1, 1, 1, 1, 2, 2, 2))


def _cifar(scene: Scene) -> Scene:
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    return replace(scene, class_names=names)


def _annotated(scene: Scene) -> Scene:
    """A third of the labels are one too high, in the sets "given" and "worst"."""
    labels = scene.split.labels
    noisy = np.where(np.arange(len(labels)) % 3 == 0, (labels + 1) % 10, labels)
    split = Split(scene.split.images, labels, annotations={"given": noisy, "worst": noisy})
    return replace(scene, split=split)


@dataclass(frozen=True)
class Setting:
    """How a kind is tried.

    Attributes:
        noise: its variant, without the path of a file.
        rate: nominal rate, 0 for kinds that take none.
        pinned: digest of the training shots at seed 1, 16 digits; None where a float model takes part.
        change: what the scene of `digits` must have besides.
        file: the content of the kind's file, or what makes it.
        nested: whether a sample that is wrong stays so, with the same label, at every higher rate.
        exact: whether ⌊r·N⌋ samples of the set are wrong.
        seeded: whether another seed gives other samples or labels.
    """

    noise: str
    rate: float = 0.5
    pinned: str | None = None
    change: Callable[[Scene], Scene] = field(default=_same)
    file: str | Callable[[], str] = ""
    nested: bool = True
    exact: bool = True
    seeded: bool = True


SETTINGS: tuple[Setting, ...] = (
    Setting("none", 0.0, "4a143b6f5405eb89", nested=False),
    Setting("symmetric", 0.5, "5fcf7dca179e2eda"),
    Setting("symmetric[per_class=true]", 0.3, "b58c643a35b0591c", exact=False),
    Setting("symmetric-inclusive", 0.5, "528dcc0e2af78cef", exact=False),
    Setting("asymmetric", 0.5, "32cf9547007d87ac"),
    Setting("class-map", 0.5, "642881aabac3e1b2", file="one -> seven\nthree,eight\nthree,five\n", exact=False),
    Setting("cifar10-map", 0.5, "3098e72779b4ea00", _cifar, exact=False),
    Setting("superclass", 0.5, "65389f400a33eb16", _grouped, exact=False),
    Setting("replacement", 0.5, "d2d7db3e55a3f794"),
    Setting("replacement[pattern=pair]", 0.5, "97ef5222a1be19d0"),
    Setting("matrix", 0.0, "5711dc25730b037a", file=NEXT, nested=False),
    Setting("instance", 0.5, "f7d33eaac02b19d1", exact=False),
    Setting("instance[encoder=tiny]", 0.5, exact=False),
    Setting("confusion", 0.5),
    Setting("confusion[by=zero-shot]", 0.5),
    Setting("open-set", 0.5, "09e11ac689c25625"),
    Setting("imbalanced", 0.5, "0f1facfd852bb76d"),
    Setting("imbalanced[shape=half]", 0.4, "0e65f2dd8fd99ce1"),
    Setting("human", 0.0, "cc940d3f542e30b3", _annotated, nested=False),
    Setting("given", 0.0, "cc940d3f542e30b3", _annotated, nested=False),
    Setting("mask", 0.0, "5fcf7dca179e2eda", file=_mask, nested=False, seeded=False),
)


def sampled(setting: Setting, folder: Path, cache: Path, split: SplitName = "train", **changes: Any) -> Sampled:
    """The shots of a split of `digits` under a setting, drawn as a trial draws them."""
    noise = setting.noise
    if setting.file:
        path = folder / f"{noise.partition('[')[0]}.csv"
        if not path.exists():
            path.write_text(setting.file if isinstance(setting.file, str) else setting.file(), encoding="utf-8")
        noise = f'{noise}[file="{path}"]'
    settings = TrialSettings(cache=str(cache))
    cell = make_cell(**{"dataset": "digits", "shots": 16, "noise": noise, "rate": setting.rate, **changes})
    dataset = library.open_dataset("digits")
    scene = scene_of(
        dataset, cell, split,
        features=lambda encoder, part, positions: encoder_features(dataset, encoder, part, positions, settings),
        texts=lambda encoder: encoder_texts(dataset, encoder, settings),
    )  # fmt: skip
    training = None if scene.training is None else setting.change(scene.training)
    return draw(replace(setting.change(scene), training=training), cell)


def digest(drawn: Sampled) -> str:
    """sha256 of images, true and observed labels in their order, 16 digits."""
    foreign = np.empty(0) if drawn.foreign is None else drawn.foreign.positions
    state = hashlib.sha256()
    for values in (drawn.positions, drawn.noisy.true, drawn.noisy.observed, foreign):
        state.update(values.astype("<i8").tobytes() + b"|")
    return state.hexdigest()[:16]


def digests(folder: Path) -> dict[str, str]:
    """The digests of all settings and both splits; files and features go into a folder."""
    return {
        f"{setting.noise} {split}": digest(sampled(setting, folder, folder, split))
        for setting in SETTINGS
        for split in SPLITS
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(digests(Path(sys.argv[1]))))
