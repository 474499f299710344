"""Draw the few shots of a split with their labels, in the one way for trials, masks and displays."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench import dataset_name
from bench.contracts.dataset import Dataset, SplitName
from bench.contracts.noise import Labels, Noise, NoisyLabels, Sampled, Scene
from bench.data import library
from bench.errors import BenchError
from bench.grid.options import noise_kind, noise_options
from bench.plugins import NOISE
from bench.records.cell import Cell
from bench.seeds import Stream

FEW: tuple[SplitName, ...] = ("train", "validation")
VALIDATION_SHOTS = 4
Encoder = Callable[[str, SplitName, Labels], NDArray[np.float32]]
EncodeTexts = Callable[[str], NDArray[np.float32]]


def shots_of(cell: Cell, split: SplitName) -> int:
    """Return the samples per class: the cell's, and at most four for the validation twin."""
    return cell.shots if split == "train" else min(cell.shots, VALIDATION_SHOTS)


def scene_of(
    dataset: Dataset,
    cell: Cell,
    split: SplitName,
    features: Encoder | None = None,
    texts: EncodeTexts | None = None,
    opened: Callable[[str], Dataset] = library.open_dataset,
) -> Scene:
    """Collect what a kind of noise may see when it labels a split for a cell.

    Args:
        cell: its data set, shots and seed enter.
        features: normalised image features of some positions by an encoder's name.
        texts: normalised class features by an encoder's name.
        opened: opens another data set by name.
    """
    return Scene(
        split=dataset.splits[split],
        split_name=split,
        dataset=dataset_name.stream_name(cell.dataset),
        class_names=dataset.class_names,
        shots=shots_of(cell, split),
        seed=cell.seed,
        superclasses=dataset.superclasses,
        features=None if features is None else lambda encoder, positions: features(encoder, split, positions),
        texts=texts,
        open_dataset=opened,
        training=None if split == "train" else scene_of(dataset, cell, "train", features, texts, opened),
    )


def draw(scene: Scene, cell: Cell) -> Sampled:
    """Draw the few shots of a scene under the noise of a cell; the clean twin where requested.

    Raises:
        BenchError: the kind cannot be applied to this data set.
    """
    if scene.split_name == "validation" and cell.validation == "clean":
        positions, short = scene.sample()
        true = scene.split.labels[positions]
        return Sampled(positions, NoisyLabels(true, true.copy(), scene.num_classes, scene.split.truth), short)
    noise = _noise(cell.noise)
    if noise.on_true and not scene.split.truth and not noise.options.on_top:
        raise BenchError(
            f"noise {cell.noise} starts from true labels, of which {dataset_name.shown(cell.dataset)} has none; "
            "use noise given, or add the option on_top=true to put it on top of them."
        )
    return noise.draw(scene, cell.rate)


@lru_cache(maxsize=32)
def _noise(text: str) -> Noise:
    kind = NOISE.get(noise_kind(text))
    return kind(kind.Options.model_validate(noise_options(text)))


def left_out(cell: Cell, observed: Labels) -> NDArray[np.bool_]:
    """Return which samples a cell's fold leaves out of training, [N].

    Folds are balanced by observed label; none without a fold.
    """
    if cell.fold is None:
        return np.zeros(len(observed), dtype=bool)
    number, count = cell.fold
    stream = Stream(cell.seed, "shots", dataset_name.stream_name(cell.dataset), cell.shots, "folds", count)
    order = stream.permutation(len(observed))
    by_label = order[np.argsort(observed[order], kind="stable")]
    fold = np.empty(len(observed), dtype=np.int64)
    fold[by_label] = np.arange(len(observed)) % count
    out: NDArray[np.bool_] = fold == number - 1
    return out
