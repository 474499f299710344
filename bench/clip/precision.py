"""Precision in which the text tower, and the image tower under prompts, are computed.

Parameters, what the towers return, and features without prompts, which cells share, are float32 in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch

from bench.errors import BenchError
from bench.limits import Precision
from bench.machine import precision_problem

AS_IT_IS = nullcontext()
_current: ContextVar[Precision] = ContextVar("precision", default="float32")


@contextmanager
def precision_of(precision: Precision, device: str) -> Iterator[None]:
    """Compute the towers in the precision of a cell while the context lasts.

    "bf16": layers in bfloat16 under torch's autocast, as far as it deems safe. "tf32": products of float32 matrices
    with 10 bits of mantissa, from the first call of a tower on, which includes the methods' own products.

    Args:
        precision: of the cell.
        device: "cpu" or "cuda".

    Raises:
        BenchError: the device does not have it.
    """
    if problem := precision_problem(precision, device):
        raise BenchError(problem)
    before, token = torch.get_float32_matmul_precision(), _current.set(precision)
    try:
        yield
    finally:
        _current.reset(token)
        torch.set_float32_matmul_precision(before)


def tower(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which a tower computes in the current precision.

    For "tf32" torch's flag stays set, since the backward pass comes later. `precision_of` puts it back.
    """
    precision = _current.get()
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    if precision == "tf32":
        torch.set_float32_matmul_precision("high")
    return AS_IT_IS


@contextmanager
def full() -> Iterator[None]:
    """Compute in float32, whatever the current precision is."""
    before = torch.get_float32_matmul_precision()
    if _current.get() == "tf32":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if _current.get() == "tf32":
            torch.set_float32_matmul_precision(before)
