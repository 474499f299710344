"""Turn images into features or bytes, chunk by chunk. `bench.images.loader` gives this work to processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.images.loader import in_order, processes
from bench.images.pixels import Evaluation, read

FeaturePart: TypeAlias = Literal["pooled", "tokens", "pixels"]
ChunkArrays: TypeAlias = Mapping[FeaturePart, NDArray[Any]]


class _Decode:
    """Decode the images of a chunk, [B, 3, H, W]."""

    def __init__(self, images: Sequence[Image.Image], evaluation: Evaluation) -> None:
        self.images, self.evaluation = images, evaluation

    def __call__(self, positions: range) -> Tensor:
        return torch.stack([read(self.images, position, self.evaluation) for position in positions])


class _Keep:
    """Decode a chunk to an array for the part "pixels". torch would send a tensor through shared memory."""

    def __init__(self, decode: _Decode) -> None:
        self.decode = decode

    def __call__(self, positions: range) -> ChunkArrays:
        return {"pixels": np.ascontiguousarray(self.decode(positions).numpy())}


class _Encode:
    """Compute the features of a chunk in the calling process."""

    def __init__(self, decode: _Decode, parts: Sequence[FeaturePart], backbone: Backbone) -> None:
        self.decode, self.parts, self.backbone = decode, parts, backbone

    def __call__(self, positions: range) -> ChunkArrays:
        return self.encoded(self.decode(positions))

    @torch.inference_mode()
    def encoded(self, decoded: Tensor) -> ChunkArrays:
        """Encode decoded images, on the backbone's device."""
        device = self.backbone.device
        pixels = self.decode.evaluation.scaled(decoded.to(device, non_blocking=True))
        features = self.backbone.image(pixels)
        return {part: getattr(features, part).cpu().numpy().astype("<f4") for part in self.parts}


def encoded(
    images: Sequence[Image.Image],
    parts: Sequence[FeaturePart],
    backbone: Backbone,
    evaluation: Evaluation,
    most: int | None = None,
) -> Iterator[ChunkArrays]:
    """Yield the parts of each chunk of images, in order. These are pooled [B, D], tokens [B, T, D], or only pixels
    [B, 3, H, W].

    On the CPU each process decodes and encodes by itself, with one thread. For another device processes decode and
    this one encodes, while the next chunks are on their way in pinned memory.

    Args:
        images: N of them.
        parts: "pixels" alone, or features.
        backbone: on its device.
        evaluation: its transform.
        most: processors that may be used, or None for what this process may use.

    Raises:
        BenchError: an image cannot be decoded, or a process was lost.
    """
    device, count, size = backbone.device.type, len(images), backbone.image_size
    decode = _Decode(images, evaluation)
    encode = _Encode(decode, parts, backbone)
    if list(parts) == ["pixels"]:
        yield from in_order(_Keep(decode), count, processes(count, size, "cpu", most))
    elif device == "cpu":
        yield from in_order(encode, count, processes(count, size, "cpu", most))
    else:
        for decoded in in_order(decode, count, processes(count, size, device, most), pin=device == "cuda"):
            yield encode.encoded(decoded)
