"""Map samples to rows of the feature store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.clip.encode import FeaturePart
from bench.clip.features import PLAIN_VIEW, FeatureKey, FeatureStore, Listen
from bench.contracts.dataset import Dataset, SplitName
from bench.contracts.noise import Labels
from bench.images.augment import Augmented, View
from bench.images.pixels import Chosen

ENCODED_WHOLE = 4096
SHARE = 8


def alone(size: int, few: int, encode_whole: int = ENCODED_WHOLE) -> bool:
    """Return whether `few` samples of a split of `size` images are encoded without the rest of it.

    This rests on data set and cell, never on the machine or on what is stored: both ways differ by rounding.
    """
    return size > encode_whole and few * SHARE < size


@dataclass(frozen=True)
class StoreRequest:
    """Parts that the store must hold, and the rows of the samples in them.

    Attributes:
        images: all images of the entry.
        parts: "pooled", perhaps with "tokens", or "pixels" alone.
        rows: of the entry, one for each sample, [n]; None for all in their order.
    """

    key: FeatureKey
    images: Sequence[Image.Image]
    parts: tuple[FeaturePart, ...]
    rows: Tensor | None = None

    def entry(self, store: FeatureStore, backbone: Backbone, listen: Listen | None = None) -> dict[FeaturePart, Tensor]:
        """Return all rows of the entry by part, computing them where they are missing."""
        return store.parts(self.key, self.parts, self.images, backbone, listen=listen)


@dataclass(frozen=True)
class SampleOrigin:
    """Samples of one split, a whole set or a part of one.

    Attributes:
        positions: of the samples in the split, [n]; None is the whole split in its order.
        few: samples of the whole set, from all its origins.
        name: what random streams know the data set by, where it is not the cell's own.
        encode_whole: size up to which a split is encoded whole, for all seeds.
    """

    dataset: Dataset
    split: SplitName
    positions: Labels | None = None
    few: int = 0
    name: str = ""
    encode_whole: int = ENCODED_WHOLE

    @property
    def size(self) -> int:
        """Number of samples, n."""
        return len(self.dataset.splits[self.split]) if self.positions is None else len(self.positions)

    def wanted(self, backbone: Backbone, parts: tuple[FeaturePart, ...], view: View | None = None) -> StoreRequest:
        """Return what the store must hold for these samples: plain, or under one augmented view."""
        images = self.dataset.splits[self.split].images
        if self.positions is None:
            return StoreRequest(self._key(backbone, parts, view), images, parts)
        if view is None and not alone(len(images), self.few, self.encode_whole):
            return StoreRequest(self._key(backbone, parts, view), images, parts, torch.from_numpy(self.positions))
        unique, inverse = np.unique(self.positions, return_inverse=True)
        images = Chosen(images, unique.tolist()) if view is None else self.seen(unique, backbone.image_size, view)
        digest = hashlib.sha256(unique.astype("<i8").tobytes()).hexdigest()
        return StoreRequest(self._key(backbone, parts, view, digest), images, parts, torch.from_numpy(inverse))

    def seen(self, positions: Labels, size: int, view: View) -> Augmented:
        """Return the images at some positions [n] of the split under a view, `size` x `size` pixels."""
        split = self.dataset.splits[self.split]
        names = [split.name(position) for position in positions.tolist()]
        return Augmented(Chosen(split.images, positions.tolist()), names, self._own(view), self.split, size)

    def _own(self, view: View) -> View:
        return replace(view, dataset=self.name or view.dataset)

    def _key(
        self, backbone: Backbone, parts: tuple[FeaturePart, ...], view: View | None, positions: str = ""
    ) -> FeatureKey:
        text = PLAIN_VIEW if view is None else str(self._own(view))
        return FeatureKey.of(self.dataset.images_digest, self.split, backbone, text, positions, parts == ("pixels",))
