"""Preprocessed images of a split: kept in memory where they are few, decoded when asked where they are many."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor

Transform = Callable[[Image.Image], Tensor]
LIMIT = 2**29


class LazyPixels:
    """Images that are decoded and transformed when asked for.

    Args:
        images: of a whole split.
        transform: image to pixels [3, H, W].
        positions: which images, in which order, [N] long.
        device: where the pixels are handed over.
    """

    def __init__(
        self,
        images: Sequence[Image.Image],
        transform: Transform,
        positions: Tensor,
        device: str | torch.device = "cpu",
    ) -> None:
        self.images, self.transform = images, transform
        self.positions, self.device = positions.cpu(), device

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """The images at these positions, [B, 3, H, W]."""
        chosen = self.positions[index if isinstance(index, slice) else index.cpu()]
        return torch.stack([self.transform(self.images[position]) for position in chosen.tolist()]).to(self.device)

    def to(self, device: str | torch.device) -> LazyPixels:
        """The same, handed over on a device."""
        return LazyPixels(self.images, self.transform, self.positions, device)


def preprocessed(
    images: Sequence[Image.Image], transform: Transform, positions: Tensor, size: int, limit: int = LIMIT
) -> Tensor | LazyPixels:
    """The images at `positions`, transformed: a tensor [N, 3, size, size] up to `limit` bytes, lazy above."""
    lazy = LazyPixels(images, transform, positions)
    small = 0 < len(positions) * 3 * size * size * 4 <= limit
    return lazy[:] if small else lazy
