"""From images to what a run computes on: frozen features from the feature store, in the order of the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from bench.clip.backbone import Backbone
from bench.clip.features import FeatureKey, FeatureStore
from bench.clip.load import load_backbone
from bench.data import named
from bench.data.base import Dataset, SplitName
from bench.data.pixels import preprocessed
from methods.base import Inputs, Needs
from noise.base import Labels, Sampled

THUMBNAIL = "thumbnail"
THUMBNAIL_SIZE = 16


@dataclass(frozen=True)
class Settings:
    """What a trial needs beside its cells, and what may not change a number.

    Attributes:
        timeout: seconds a cell may take, or None.
        roots: folders of data sets, by registered name.
        skip_broken: registered names of data sets whose broken images are left out.
        cache: folder of the feature store, or None for the user's cache.
        device: "cpu" or "cuda".
        keep_prompts: whether what a method has learned is kept beside its record.
    """

    timeout: float | None = None
    roots: Mapping[str, str] = field(default_factory=dict)
    skip_broken: Sequence[str] = ()
    cache: str | None = None
    device: str = "cpu"
    keep_prompts: bool = False


def opened(name: str, settings: Settings) -> Dataset:
    """A data set by name, from where the settings say its files lie."""
    return named.open_dataset(name, settings.roots.get(named.base(name)), named.base(name) in settings.skip_broken)


@lru_cache(maxsize=2)
def open_backbone(name: str, device: str) -> Backbone:
    """The backbone of a name on a device; the last two are kept."""
    return load_backbone(name).to(device)


def split_features(dataset: Dataset, split: SplitName, backbone: Backbone, tokens: bool, settings: Settings) -> Inputs:
    """Features of a whole split from the feature store, in the order of the split."""
    key = FeatureKey.of(dataset.digest, split, backbone)
    store = FeatureStore(Path(settings.cache) / "features" if settings.cache else None)
    return Inputs(*store.get(key, dataset.splits[split].images, backbone, tokens))


class Mixed(Sequence[Image.Image]):
    """The images of one sequence, then those of another."""

    def __init__(self, first: Sequence[Image.Image], second: Sequence[Image.Image]) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override] # slices are never asked for
        return self.first[index] if index < len(self.first) else self.second[index - len(self.first)]


def inputs_of(
    dataset: Dataset,
    split: SplitName,
    backbone: Backbone,
    needs: Needs,
    settings: Settings,
    sampled: Sampled | None = None,
) -> Inputs:
    """What a method may see of a split: of these samples in their order, or of the whole split where None."""
    whole, images = split_features(dataset, split, backbone, needs.tokens, settings), dataset.splits[split].images
    index = np.arange(len(whole)) if sampled is None else sampled.positions
    if sampled is not None and sampled.foreign is not None:
        other = opened(sampled.foreign.dataset, settings)
        elsewhere = sampled.foreign.positions
        index = np.where(elsewhere < 0, index, len(whole) + elsewhere)
        guests = split_features(other, "train", backbone, needs.tokens, settings)
        images = Mixed(images, other.splits["train"].images)
        tokens = None if whole.tokens is None or guests.tokens is None else torch.cat([whole.tokens, guests.tokens])
        whole = Inputs(torch.cat([whole.pooled, guests.pooled]), tokens)
    rows = torch.from_numpy(index)
    inputs = whole if sampled is None else whole.take(rows)
    if not needs.pixels:
        return inputs
    return replace(inputs, pixels=preprocessed(images, backbone.preprocess, rows, backbone.image_size))


def encoder_features(
    dataset: Dataset, encoder: str, split: SplitName, positions: Labels, settings: Settings
) -> NDArray[np.float32]:
    """L2-normalised features [N, D] of some positions of a split by a frozen encoder, for kinds of noise.

    Args:
        dataset: whose images.
        encoder: a backbone's name, or "thumbnail": 16 x 16 colours less their mean, which needs no weights.
        split: which part.
        positions: [N].
        settings: where features are kept.
    """
    images = dataset.splits[split].images
    if encoder == THUMBNAIL:
        small = np.stack([_thumbnail(images[int(position)]) for position in positions])
        centred = small - small.mean(axis=1, keepdims=True)
        found: NDArray[np.float32] = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
        return found.astype(np.float32)
    backbone = open_backbone(encoder, settings.device)
    pooled = split_features(dataset, split, backbone, False, settings).pooled[torch.from_numpy(positions)]
    normalised: NDArray[np.float32] = F.normalize(pooled, dim=-1).numpy()
    return normalised


def encoder_texts(dataset: Dataset, encoder: str, settings: Settings) -> NDArray[np.float32]:
    """L2-normalised text features of the classes, [C, D], averaged over the data set's templates."""
    backbone = open_backbone(encoder, settings.device)
    texts = [template.format(name) for template in dataset.templates for name in dataset.class_names]
    features = F.normalize(backbone.text_templates(texts), dim=-1)
    mean = features.view(len(dataset.templates), len(dataset.class_names), -1).mean(0)
    found: NDArray[np.float32] = F.normalize(mean, dim=-1).cpu().numpy()
    return found


def _thumbnail(image: Image.Image) -> NDArray[Any]:
    small = image.convert("RGB").resize((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).reshape(-1) / 255
