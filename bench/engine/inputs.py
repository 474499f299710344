"""Build a method's inputs from the feature store: plain, or under augmented views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.clip.encode import FeaturePart
from bench.clip.features import FeatureStore, Listen
from bench.contracts.method import Inputs, Needs
from bench.engine.feature_rows import SampleOrigin, StoreRequest
from bench.images.augment import View
from bench.images.pixels import Decoded, Evaluation, Joined, LazyPixels

# Without tokens, and with.
FEATURES: tuple[tuple[FeaturePart, ...], tuple[FeaturePart, ...]] = ("pooled",), ("pooled", "tokens")
PIXEL_PARTS: tuple[FeaturePart, ...] = ("pixels",)


def wanted_by(
    needs: Needs, origins: Sequence[SampleOrigin], backbone: Backbone, view: View | None = None
) -> list[StoreRequest]:
    """List what the feature store must hold before `inputs_from` finds everything there."""
    asked = [FEATURES[needs.tokens], *([PIXEL_PARTS] if needs.pixels and view is None else [])]
    return [origin.wanted(backbone, parts, view) for origin in origins for parts in asked]


def inputs_from(
    origins: Sequence[SampleOrigin],
    order: Tensor | None,
    backbone: Backbone,
    needs: Needs,
    store: FeatureStore,
    view: View | None = None,
) -> Inputs:
    """Build the declared inputs of the samples of all origins. The order is [N] (None: one origin after the other)."""
    inputs = features_of(origins, backbone, needs.tokens, store, view)
    inputs = inputs if order is None else inputs.take(order)
    if not needs.pixels:
        return inputs
    unscaled, rows = _plain(origins, backbone, store) if view is None else _augmented(origins, backbone, store, view)
    rows = rows if order is None else rows[order]
    return replace(inputs, pixels=LazyPixels(unscaled, rows, Evaluation(backbone.preprocess)))


def features_of(
    origins: Sequence[SampleOrigin],
    backbone: Backbone,
    tokens: bool,
    store: FeatureStore,
    view: View | None = None,
    listen: Listen | None = None,
) -> Inputs:
    """Read the features of the samples of all origins, one after the other."""
    found = []
    for origin in origins:
        wanted = origin.wanted(backbone, FEATURES[tokens], view)
        entry = wanted.entry(store, backbone, listen)
        inputs = Inputs(entry["pooled"], entry.get("tokens"))
        found.append(inputs if wanted.rows is None else inputs.take(wanted.rows))
    if len(found) == 1:
        return found[0]
    grids = [inputs.tokens for inputs in found if inputs.tokens is not None]
    return Inputs(torch.cat([inputs.pooled for inputs in found]), torch.cat(grids) if grids else None)


def _plain(origins: Sequence[SampleOrigin], backbone: Backbone, store: FeatureStore) -> tuple[Tensor, Tensor]:
    """Return decoded images from the store, and the rows of the samples of all origins in them."""
    found = []
    for origin in origins:
        wanted = origin.wanted(backbone, PIXEL_PARTS)
        entry = wanted.entry(store, backbone)["pixels"]
        found.append((entry, torch.arange(len(entry)) if wanted.rows is None else wanted.rows))
    if len(found) == 1:
        return found[0]
    together = torch.cat([entry[rows] for entry, rows in found])
    return together, torch.arange(len(together))


def _augmented(
    origins: Sequence[SampleOrigin], backbone: Backbone, store: FeatureStore, view: View
) -> tuple[Decoded, Tensor]:
    """Return images under a view, decoded on demand. A view is used once, and all of them are many."""
    seen = [
        origin.seen(origin.positions, backbone.image_size, view) for origin in origins if origin.positions is not None
    ]
    images = Joined(seen)
    return Decoded(images, Evaluation(backbone.preprocess), store.limits.threads()), torch.arange(len(images))


class Views(Sequence[Inputs]):
    """Augmented views of one set, on a device, computed on demand; only the last is held."""

    def __init__(self, load: Callable[[int], Inputs], count: int) -> None:
        self._load, self._count = lru_cache(maxsize=1)(load), count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Inputs:  # type: ignore[override] # slices are never asked for
        if not 0 <= number < self._count:
            raise IndexError(number)
        return self._load(number)
