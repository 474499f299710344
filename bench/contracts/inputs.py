"""Frozen image features as methods are given them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

IMAGES = 64  # that are seen at a time where each has class texts of its own, or goes through the image tower
TEXTS = 2048  # of images and classes that are computed at a time, so that a deadline does not wait long for them


def images_at_a_time(classes: int) -> int:
    """Choose how many images have their class texts computed at a time: `IMAGES`, fewer where classes are many."""
    return max(1, min(IMAGES, TEXTS // classes))


class Pixels(Protocol):
    """Preprocessed images by position, a tensor [B, 3, H, W] or something that decodes or scales them when asked."""

    def __getitem__(self, index: Any, /) -> Tensor:
        """Return the images at these positions, [b, 3, H, W]."""

    def to(self, device: Any, /) -> Any:
        """Move to a device."""


@dataclass(frozen=True)
class Inputs:
    """Frozen image features of some samples, not normalised.

    Attributes:
        pooled: [B, D].
        tokens: [B, T, D], or None where the method did not declare them.
        pixels: [B, 3, H, W], or None where the method did not declare them; a tensor in every batch.
        index: number of each sample, [B] int64: 0 … N-1 are the rows of `Context.train`, under every view, and N + i is
            the i-th other sample of its set: test, validation, pool, and training samples that the method is not given.
            The engine numbers all; None where features were put together without.
    """

    pooled: Tensor
    tokens: Tensor | None = None
    pixels: Pixels | None = None
    index: Tensor | None = None

    def __len__(self) -> int:
        return self.pooled.shape[0]

    def take(self, index: Tensor | slice, on_host: Tensor | None = None) -> Inputs:
        """Select samples as a batch: images become a tensor.

        `on_host` is the same index for images that are decoded or scaled, which would wait for the device to know it.
        """
        pixels = self._parts()[2]
        asked = index if on_host is None or isinstance(pixels, Tensor) else on_host
        return self._rows(index, None if pixels is None else pixels[asked])

    def only(self, index: Tensor | slice) -> Inputs:
        """Select samples as a set: images that are decoded when asked for still are."""
        pixels = self._parts()[2]
        chosen = getattr(pixels, "only", None)
        return self._rows(index, pixels if pixels is None else pixels[index] if chosen is None else chosen(index))

    def numbered(self, first: int = 0) -> Inputs:
        """Return these inputs with numbers from `first` on."""
        numbers = torch.arange(first, first + len(self), device=self.pooled.device)
        return self._like(*self._parts()[:3], numbers)

    def to(self, device: str | torch.device) -> Inputs:
        """Move the features to a device."""
        return self._like(*(None if part is None else part.to(device) for part in self._parts()))

    def images(self) -> Tensor:
        """Return the pixels of a batch, [B, 3, H, W]. Raises TypeError where they were not declared."""
        if not isinstance(self.pixels, Tensor):
            raise TypeError("these inputs hold no images; declare Needs(pixels=True)")
        return self.pixels

    def _rows(self, index: Tensor | slice, images: Pixels | None) -> Inputs:
        pooled, tokens, _, numbers = self._parts()
        rows = [None if part is None else part[index] for part in (tokens, numbers)]
        return self._like(pooled[index], rows[0], images, rows[1])

    def _parts(self) -> tuple[Tensor, Tensor | None, Pixels | None, Tensor | None]:
        return self.pooled, self.tokens, self.pixels, self.index

    def _like(self, *parts: Any) -> Inputs:
        return Inputs(*parts)
