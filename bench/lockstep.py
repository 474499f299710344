"""Operations that members of a pack run together, with the bits that each has alone.

Under `torch.func.vmap` some operations are rewritten into others that round differently: a linear layer whose weight
all members share, layer normalisation with weights of each member's own, a product of two matrices. Inside
`in_lockstep` the functions marked here take the place of that rewriting; outside, and in a cell that runs alone, they
are what they wrap.

On a CPU a power, `sigmoid`, `softplus`, `silu` and `logaddexp` round the last elements of a tensor, less than 16,
otherwise than the others, and which are the last depends on how many members there are: `power`, `sigmoid` and
`logaddexp` here are without that. A product of few rows with a matrix rounds otherwise than one of more: less than four
on some processors, less than 16 on others. The sum over a gradient, such as a bias's, depends on its strides: what
makes the gradient then stands in one function with what takes the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeAlias, TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

Pure: TypeAlias = Callable[..., Any]
Function = TypeVar("Function", bound=Callable[..., Any])
FEW_ROWS = 16  # of a product with a matrix: below, its bits may depend on how many rows it has
_inside: ContextVar[bool] = ContextVar("lockstep", default=False)
_members: ContextVar[int] = ContextVar("members", default=1)  # that a function is called for at once


@contextmanager
def in_lockstep() -> Iterator[None]:
    """Mark that members of a pack are run together under `vmap`."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


class _Rule(torch.autograd.Function):
    """Function of tensors whose rule under `vmap` calls it below that level, where autograd sees plain operations."""

    @staticmethod
    def forward(function: Pure, run: Pure, *tensors: Tensor) -> Any:  # noqa: ARG004
        return function(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: what no member has for itself needs no gradient."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], function: Pure, run: Pure, *tensors: Tensor) -> Any:
        pairs = zip(tensors, in_dims[2:], strict=True)
        moved = [(tensor if at is None else tensor.movedim(at, 0), at is not None) for tensor, at in pairs]
        return run(function, info.batch_size, moved)


def together(function: Pure, align: bool = False) -> Pure:
    """Call a function once for all members, whose number becomes a dimension in front of each tensor.

    The function takes tensors alone, their leading dimensions are free, and every member has the bits it has alone.
    With `align` tensors of fewer dimensions get some of size 1 behind the first, as broadcasting has them alone.
    """
    return _marked(function, _aligned if align else _once)


def one_by_one(function: Function) -> Function:
    """Call a function of tensors for one member after the other, where its bits depend on how many there are."""
    return cast("Function", _marked(function, _each))


def _marked(function: Pure, run: Pure) -> Pure:
    @wraps(function)
    def called(*tensors: Tensor) -> Any:
        return _Rule.apply(function, run, *tensors) if _inside.get() else function(*tensors)

    return called


def apart(function: Pure, *tensors: Tensor) -> Tensor:
    """Call a function of rows [N, R, W] that multiplies each with a matrix; each member's by themselves where few.

    Within a function that is called `together`, whose members' rows are one after the other.
    """
    members, rows = _members.get(), tensors[0]
    if members == 1 or rows.is_cuda or rows.shape[:-1].numel() >= FEW_ROWS * members:
        return cast("Tensor", function(*tensors))
    return torch.cat([function(*own) for own in zip(*(tensor.chunk(members) for tensor in tensors), strict=True)])


def _once(function: Pure, members: int, moved: list[tuple[Tensor, bool]]) -> tuple[Any, Any]:
    token = _members.set(members)
    try:
        found = function(*(tensor if own else tensor.expand(members, *tensor.shape) for tensor, own in moved))
    finally:
        _members.reset(token)
    return found, 0 if isinstance(found, Tensor) else tuple(0 for _ in found)


def _aligned(function: Pure, members: int, moved: list[tuple[Tensor, bool]]) -> tuple[Any, Any]:
    most = max(tensor.ndim - own for tensor, own in moved)
    missing = [(slice(None), *[None] * (most + own - tensor.ndim)) if own else ... for tensor, own in moved]
    spread = [(tensor[where], own) for (tensor, own), where in zip(moved, missing, strict=True)]
    return _once(function, members, spread)


def _each(function: Pure, members: int, moved: list[tuple[Tensor, bool]]) -> tuple[Any, Any]:
    split = [tensor.unbind() if own else [tensor] * members for tensor, own in moved]
    found = [function(*own) for own in zip(*split, strict=True)]
    if isinstance(found[0], Tensor):
        return torch.stack(found), 0
    return tuple(map(torch.stack, zip(*found, strict=True))), tuple(0 for _ in found[0])


@one_by_one
def inner_products(rows: Tensor, others: Tensor) -> Tensor:
    """Multiply each row of [B, D] with each of [C, D]; returns [B, C]."""
    return rows @ others.mT


@one_by_one
def products(rows: Tensor, matrix: Tensor) -> Tensor:
    """Multiply each row of [B, D] with a matrix [D, C]; returns [B, C]."""
    return rows @ matrix


linear = one_by_one(F.linear)
sigmoid = one_by_one(torch.sigmoid)
logaddexp = one_by_one(torch.logaddexp)
_power = one_by_one(torch.pow)


def power(base: Tensor, exponent: Tensor | float) -> Tensor:
    """Raise to a power, elementwise."""
    raised: Tensor = _power(base, exponent) if isinstance(exponent, Tensor) else one_by_one(lambda b: b**exponent)(base)
    return raised


class Linear(torch.nn.Linear):
    """Linear layer with weights of each member's own."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Map the last dimension."""
        return linear(input, self.weight, self.bias) if _inside.get() else super().forward(input)


@one_by_one
def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x, weight.shape, weight, bias)


class LayerNorm(torch.nn.LayerNorm):
    """Layer normalisation with weights of each member's own."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise over the last dimension."""
        return _layer_norm(input, self.weight, self.bias) if _inside.get() else super().forward(input)
