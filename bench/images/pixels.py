"""Images before a tower: kept as bytes until a batch is scaled, decoded or read on demand."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeAlias

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from bench.errors import BenchError
from bench.images.decode import UNDECODABLE
from bench.images.grey import scaled

Transform: TypeAlias = Callable[[Image.Image], Tensor]


class Evaluation:
    """Evaluation transform, split where its images are still bytes: geometry per image, scaling per batch.

    Bytes are a quarter of the size to send, to keep and to move to a device, and the bits of a batch that is scaled as
    one are those of `transform` (torchvision's ToTensor and Normalize) on each image.

    Args:
        transform: open_clip's, a torchvision `Compose`; any other is applied whole, and its images are floats.
    """

    def __init__(self, transform: Transform) -> None:
        steps: list[Any] = list(getattr(transform, "transforms", ()))
        kinds = [type(step).__name__.removeprefix("Maybe") for step in steps[-2:]]
        self.in_bytes = kinds == ["ToTensor", "Normalize"]
        self._geometry: list[Any] = steps[:-2] if self.in_bytes else [transform]
        self._mean, self._std = (list(steps[-1].mean), list(steps[-1].std)) if self.in_bytes else ([], [])

    def decoded(self, image: Image.Image) -> Tensor:
        """Decode an image before scaling, [3, H, W] uint8 (float32 where the transform could not be split)."""
        found: Any = scaled(image)
        for step in self._geometry:
            found = step(found)
        return F.pil_to_tensor(found) if self.in_bytes else found  # type: ignore[no-any-return] # untyped

    def scaled(self, pixels: Tensor) -> Tensor:
        """Scale decoded images to a tower's input, [B, 3, H, W] float32, on their device."""
        if not self.in_bytes:
            return pixels
        found: Tensor = F.normalize(pixels.to(torch.float32).div_(255), self._mean, self._std, inplace=True)
        return found


def read(images: Sequence[Image.Image], index: int, evaluation: Evaluation) -> Tensor:
    """Decode one image, [3, H, W].

    Raises:
        BenchError: it cannot be; named by whoever holds the files, else by its number.
    """
    try:
        return evaluation.decoded(images[index])
    except UNDECODABLE as error:
        text = " ".join(str(error).split()) or "no reason given"
        raise BenchError(
            f"image {index} of {len(images)} cannot be decoded: {type(error).__name__}: {text}; put it right."
        ) from error


class Chosen(Sequence[Image.Image]):
    """Selected images of a sequence, in the order of their positions [N]."""

    def __init__(self, images: Sequence[Image.Image], positions: Sequence[int]) -> None:
        self.images, self.positions = images, positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override] # slices are never asked for
        return self.images[self.positions[index]]


class Joined(Sequence[Image.Image]):
    """Concatenated sequences of images."""

    def __init__(self, parts: Sequence[Sequence[Image.Image]]) -> None:
        self.parts, self.ends = parts, list(itertools.accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override] # slices are never asked for
        part = bisect.bisect_right(self.ends, index)
        return self.parts[part][index - (self.ends[part - 1] if part else 0)]


class Unscaled(Protocol):
    """Decoded images by position: a tensor [N, 3, H, W], or an object that decodes them."""

    def __getitem__(self, index: Any, /) -> Tensor:
        """Return the images at these positions [B], [B, 3, H, W]."""
        ...

    def __len__(self) -> int: ...


class Decoded:
    """Images decoded on demand by a few threads (Pillow releases the interpreter while it decodes).

    Args:
        images: N images.
        evaluation: how.
        threads: at a time.
    """

    def __init__(self, images: Sequence[Image.Image], evaluation: Evaluation, threads: int = 1) -> None:
        self.images, self.evaluation, self.threads = images, evaluation, threads

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Tensor) -> Tensor:
        """Decode the images at these positions [B], [B, 3, H, W]."""
        positions = index.tolist()
        if self.threads < 2:
            return torch.stack([self._read(position) for position in positions])
        with ThreadPoolExecutor(self.threads) as pool:
            return torch.stack(list(pool.map(self._read, positions)))

    def _read(self, position: int) -> Tensor:
        return read(self.images, position, self.evaluation)


class LazyPixels:
    """Images of some samples, scaled on demand; see `bench.contracts.method.Pixels`.

    Args:
        unscaled: decoded images.
        rows: which of them, in which order, [N] long.
        evaluation: how they are scaled.
        device: where the pixels are handed over.
    """

    def __init__(
        self, unscaled: Unscaled, rows: Tensor, evaluation: Evaluation, device: str | torch.device = "cpu"
    ) -> None:
        self.unscaled, self.rows, self.evaluation, self.device = unscaled, rows.cpu(), evaluation, device

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Return the images at these positions, [B, 3, H, W] float32, on the device."""
        rows = self.rows[index if isinstance(index, slice) else index.cpu()]
        return self.evaluation.scaled(self.unscaled[rows].to(self.device))

    def only(self, index: Tensor | slice) -> LazyPixels:
        """Select some of the samples without decoding them."""
        rows = self.rows[index if isinstance(index, slice) else index.cpu()]
        return LazyPixels(self.unscaled, rows, self.evaluation, self.device)

    def to(self, device: str | torch.device) -> LazyPixels:
        """Return the same images, delivered on another device."""
        return LazyPixels(self.unscaled, self.rows, self.evaluation, device)
