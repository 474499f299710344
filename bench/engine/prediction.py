"""Predictions and numbers of single samples, collected chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from bench.contracts.method import IMAGES, CheckTime, Inputs, Method, Needs, images_at_a_time, no_limit

Ask: TypeAlias = Callable[[Inputs, Mapping[str, Tensor]], Tensor]
POOLED_CHUNK = 4096


def chunk_of(needs: Needs, classes: int) -> int:
    """Return the number of samples per prediction call. With a text per image and class it is lower where classes are
    many.

    A chunk is the longest that a deadline waits for.
    """
    if needs.per_image_text:
        return images_at_a_time(classes)
    return IMAGES if needs.pixels else POOLED_CHUNK


@torch.no_grad()
def collect(
    ask: Ask, inputs: Inputs, prepared: Mapping[str, Tensor], chunk: int, check_time: CheckTime = no_limit
) -> Tensor:
    """Collect a method's `predict` or `scores` for all inputs, [..., N, C], `chunk` samples at a time.

    Raises:
        TimedOut: `check_time`, asked before every chunk, raised it.
        TypeError: what is returned is no tensor of real numbers.
    """
    parts = []
    for start in range(0, len(inputs), chunk):
        check_time()
        logits: object = ask(inputs.take(slice(start, start + chunk)), prepared)
        if not isinstance(logits, Tensor) or logits.is_complex():
            found = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
            raise TypeError(f"{ask.__qualname__}: expected a tensor of real numbers, found {found}")
        parts.append(logits.float())
    return torch.cat(parts, dim=-2)


@torch.no_grad()
def collect_samples(method: Method, inputs: Inputs, chunk: int) -> dict[str, Tensor]:
    """Collect a method's `per_sample` for all inputs, [N] by name, `chunk` samples at a time. Empty where it has none.

    Raises:
        ValueError: a number is not one for each sample.
        TimedOut: the method's deadline has passed.
    """
    parts: list[Mapping[str, Tensor]] = []
    for start in range(0, len(inputs) if type(method).per_sample is not Method.per_sample else 0, chunk):
        method.check_time()
        part = inputs.take(slice(start, start + chunk))
        parts.append(method.per_sample(part))
        if not parts[0]:
            return {}
        if wrong := [name for name, values in parts[-1].items() if values.shape != (len(part),)]:
            raise ValueError(f"{type(method).__name__}.per_sample: expected {wrong[0]} of shape [{len(part)}]")
    return {name: torch.cat([part[name].float() for part in parts]) for name in (parts[0] if parts else ())}
