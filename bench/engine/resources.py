"""Open the resources of a run: data sets, backbones, frozen features and drawn labels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from bench import dataset_name
from bench.clip.backbone import Backbone
from bench.clip.features import FeatureStore, Listen
from bench.clip.load import load_backbone
from bench.clip.place import features_root
from bench.contracts.dataset import Dataset, SplitName
from bench.contracts.method import Inputs, Needs
from bench.contracts.noise import Labels, Sampled
from bench.data.library import Library
from bench.engine.feature_rows import ENCODED_WHOLE, SampleOrigin
from bench.engine.inputs import Views, features_of, inputs_from
from bench.engine.labelling import FEW, draw, scene_of
from bench.grid.code import backbone_code
from bench.images.augment import View
from bench.images.decode import in_colour
from bench.images.loader import LoaderLimits
from bench.records.cell import Cell

THUMBNAIL = "thumbnail"
THUMBNAIL_SIZE = 16


@dataclass(frozen=True)
class TrialSettings:
    """Everything but cells that a trial needs, and that may not change a number.

    Attributes:
        timeout: seconds a cell may take, or None.
        library: opens data sets.
        cache: folder of the feature store, or None for the user's cache.
        device: "cpu" or "cuda".
        keep_prompts: whether what a method has learned is kept beside its record.
        processors: that decoding images may use beside the trial; None for what its process may use.
        encode_whole: see `SampleOrigin`; another number rounds features otherwise.
    """

    timeout: float | None = None
    library: Library = field(default_factory=Library)
    cache: str | None = None
    device: str = "cpu"
    keep_prompts: bool = False
    processors: int | None = None
    encode_whole: int = ENCODED_WHOLE


@lru_cache(maxsize=2)
def open_backbone(name: str, device: str) -> Backbone:
    """Load the backbone of a name on a device; the last two are kept."""
    backbone = load_backbone(name).to(device)
    backbone.code = backbone_code(name)
    return backbone


def store_of(settings: TrialSettings) -> FeatureStore:
    """Return the feature store that the settings name."""
    return FeatureStore(features_root(settings.cache), LoaderLimits(settings.processors))


def split_features(
    dataset: Dataset, split: SplitName, backbone: Backbone, tokens: bool, settings: TrialSettings
) -> Inputs:
    """Read the features of a whole split from the feature store, in the order of the split."""
    return features_of([SampleOrigin(dataset, split)], backbone, tokens, store_of(settings))


def origins_of(
    dataset: Dataset, split: SplitName, sampled: Sampled | None, settings: TrialSettings
) -> tuple[list[SampleOrigin], Tensor | None]:
    """Return the origins of a set's samples, and the samples' order among these, [N], None if unchanged.

    Two origins where noise has brought images of another data set; the whole split where `sampled` is None.
    """
    if sampled is None:
        return [SampleOrigin(dataset, split)], None
    few = partial(SampleOrigin, few=len(sampled.positions), encode_whole=settings.encode_whole)
    if sampled.foreign is None:
        return [few(dataset, split, sampled.positions)], None
    elsewhere = sampled.foreign.positions
    own, guests = np.flatnonzero(elsewhere < 0), np.flatnonzero(elsewhere >= 0)
    other = settings.library.open(sampled.foreign.dataset)
    name = dataset_name.stream_name(sampled.foreign.dataset)
    both = [few(dataset, split, sampled.positions[own]), few(other, "train", elsewhere[guests], name=name)]
    return [origin for origin in both if origin.size], torch.from_numpy(np.argsort(np.concatenate([own, guests])))


def inputs_of(
    dataset: Dataset,
    split: SplitName,
    backbone: Backbone,
    needs: Needs,
    settings: TrialSettings,
    sampled: Sampled | None = None,
) -> Inputs:
    """Return the declared inputs of the samples of a split in their order, or of the whole split where None."""
    origins, order = origins_of(dataset, split, sampled, settings)
    return inputs_from(origins, order, backbone, needs, store_of(settings))


def views_of(
    dataset: Dataset,
    cell: Cell,
    backbone: Backbone,
    needs: Needs,
    settings: TrialSettings,
    sampled: Sampled,
    numbers: Tensor,
) -> Views:
    """Return the augmented views of a cell's training samples, which have these numbers, [N]."""
    origins = origins_of(dataset, "train", sampled, settings)

    def load(number: int) -> Inputs:
        view = view_of(cell, needs, number)
        found = inputs_from(*origins, backbone, needs, store_of(settings), view)
        return replace(found, index=numbers).to(settings.device)

    return Views(load, cell.views)


def view_of(cell: Cell, needs: Needs, number: int) -> View:
    """Return a cell's augmented view by number, from 0."""
    return View(dataset_name.stream_name(cell.dataset), cell.seed, number, needs.crop)


def labelled(
    dataset: Dataset, cell: Cell, settings: TrialSettings, listen: Listen | None = None
) -> dict[SplitName, Sampled]:
    """Draw the few shots of training and validation set under the noise of a cell.

    `listen` is called with the number of images that had to be encoded for kinds of noise that look at them.

    Raises:
        BenchError: the kind cannot be applied to this data set.
    """

    def features(encoder: str, part: SplitName, positions: Labels) -> NDArray[np.float32]:
        return encoder_features(dataset, encoder, part, positions, settings, listen)

    def texts(encoder: str) -> NDArray[np.float32]:
        return encoder_texts(dataset, encoder, settings)

    opened = settings.library.open
    return {split: draw(scene_of(dataset, cell, split, features, texts, opened), cell) for split in FEW}


def encoder_features(
    dataset: Dataset,
    encoder: str,
    split: SplitName,
    positions: Labels,
    settings: TrialSettings,
    listen: Listen | None = None,
) -> NDArray[np.float32]:
    """Encode some positions of a split by a frozen encoder, for kinds of noise: L2-normalised [N, D].

    The encoder is a backbone, or "thumbnail": 16 x 16 colours less their mean, which needs no weights. `listen` is
    called with the number of images that had to be encoded.
    """
    images = dataset.splits[split].images
    if encoder == THUMBNAIL:
        small = np.stack([_thumbnail(images[int(position)]) for position in positions])
        centred = small - small.mean(axis=1, keepdims=True)
        found: NDArray[np.float32] = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
        return found.astype(np.float32)
    backbone = open_backbone(encoder, settings.device)
    origin = SampleOrigin(dataset, split, positions, len(positions), encode_whole=settings.encode_whole)
    pooled = features_of([origin], backbone, False, store_of(settings), listen=listen).pooled
    normalised: NDArray[np.float32] = F.normalize(pooled, dim=-1).numpy()
    return normalised


def encoder_texts(dataset: Dataset, encoder: str, settings: TrialSettings) -> NDArray[np.float32]:
    """Encode the class names, averaged over the data set's templates: L2-normalised [C, D]."""
    backbone = open_backbone(encoder, settings.device)
    texts = [template.format(name) for template in dataset.templates for name in dataset.class_names]
    features = F.normalize(backbone.text_templates(texts), dim=-1)
    mean = features.view(len(dataset.templates), len(dataset.class_names), -1).mean(0)
    found: NDArray[np.float32] = F.normalize(mean, dim=-1).cpu().numpy()
    return found


def _thumbnail(image: Image.Image) -> NDArray[Any]:
    small = in_colour(image).resize((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).reshape(-1) / 255
