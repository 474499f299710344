"""Turn images into features or bytes, chunk by chunk. `bench.images.loader` gives this work to processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.images.loader import DEFAULT_LIMITS, LoaderLimits, in_order
from bench.images.pixels import Evaluation, read

FeaturePart: TypeAlias = Literal["pooled", "tokens", "pixels"]
ChunkArrays: TypeAlias = Mapping[FeaturePart, NDArray[Any]]


def _decode(images: Sequence[Image.Image], evaluation: Evaluation, positions: range) -> Tensor:
    """Decode the images of a chunk, [B, 3, H, W]."""
    return torch.stack([read(images, position, evaluation) for position in positions])


def _keep(decode: Callable[[range], Tensor], positions: range) -> ChunkArrays:
    """Decode a chunk to an array for the part "pixels". torch would send a tensor through shared memory."""
    return {"pixels": np.ascontiguousarray(decode(positions).numpy())}


@torch.inference_mode()
def _encode(parts: Sequence[FeaturePart], backbone: Backbone, evaluation: Evaluation, decoded: Tensor) -> ChunkArrays:
    """Encode decoded images, on the backbone's device."""
    features = backbone.image(evaluation.scaled(decoded.to(backbone.device, non_blocking=True)))
    return {part: getattr(features, part).cpu().numpy().astype("<f4") for part in parts}


def _decode_and_encode(
    decode: Callable[[range], Tensor], encode: Callable[[Tensor], ChunkArrays], positions: range
) -> ChunkArrays:
    return encode(decode(positions))


def encoded(
    images: Sequence[Image.Image],
    parts: Sequence[FeaturePart],
    backbone: Backbone,
    evaluation: Evaluation,
    limits: LoaderLimits = DEFAULT_LIMITS,
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
        limits: of the processes that decode.

    Raises:
        BenchError: an image cannot be decoded, or a process was lost.
    """
    device, count = backbone.device.type, len(images)
    decode, encode = partial(_decode, images, evaluation), partial(_encode, parts, backbone, evaluation)
    decodes_only = list(parts) == ["pixels"]
    processes = limits.processes(count, backbone.image_size, "cpu" if decodes_only else device)
    if decodes_only:
        yield from in_order(partial(_keep, decode), count, processes)
    elif device == "cpu":
        yield from in_order(partial(_decode_and_encode, decode, encode), count, processes)
    else:
        yield from map(encode, in_order(decode, count, processes, pin=device == "cuda"))
