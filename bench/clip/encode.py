"""Images to features or bytes, chunk by chunk: the work that `bench.data.loader` gives to processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.data.loader import in_order, processes
from bench.data.pixels import Evaluation, read

Part: TypeAlias = Literal["pooled", "tokens", "pixels"]
Arrays: TypeAlias = Mapping[Part, NDArray[Any]]


class _Decode:
    """The decoded images of a chunk, [B, 3, H, W]."""

    def __init__(self, images: Sequence[Image.Image], evaluation: Evaluation) -> None:
        self.images, self.evaluation = images, evaluation

    def __call__(self, positions: range) -> Tensor:
        return torch.stack([read(self.images, position, self.evaluation) for position in positions])


class _Encode:
    """The parts of a chunk, computed where this is called."""

    def __init__(self, decode: _Decode, parts: Sequence[Part], backbone: Backbone) -> None:
        self.decode, self.parts, self.backbone = decode, parts, backbone

    def __call__(self, positions: range) -> Arrays:
        decoded = self.decode(positions)
        return _pixels(decoded) if list(self.parts) == ["pixels"] else self.encoded(decoded)

    @torch.inference_mode()
    def encoded(self, decoded: Tensor) -> Arrays:
        """Features of decoded images, on the backbone's device."""
        device = self.backbone.device
        pixels = self.decode.evaluation.scaled(decoded.to(device, non_blocking=True))
        features = self.backbone.image(pixels)
        return {part: getattr(features, part).cpu().numpy().astype("<f4") for part in self.parts}


def encoded(
    images: Sequence[Image.Image],
    parts: Sequence[Part],
    backbone: Backbone,
    evaluation: Evaluation,
    most: int | None = None,
) -> Iterator[Arrays]:
    """The parts of each chunk of images, in order: pooled [B, D], tokens [B, T, D], or pixels alone [B, 3, H, W].

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
    here = backbone.device.type
    decode = _Decode(images, evaluation)
    encode = _Encode(decode, parts, backbone)
    if here == "cpu" or list(parts) == ["pixels"]:
        yield from in_order(encode, len(images), processes(len(images), backbone.image_size, "cpu", most))
        return
    count = processes(len(images), backbone.image_size, here, most)
    for decoded in in_order(decode, len(images), count, pin=here == "cuda"):
        yield encode.encoded(decoded)


def _pixels(decoded: Tensor) -> Arrays:
    return {"pixels": np.ascontiguousarray(decoded.numpy())}
