"""The contract of losses and splits: functions that are given what their parameters name.

A loss takes logits [..., C] and labels [...] first and returns one number per sample, [...]. A further parameter that
is named like a scalar of the learner in `LOSS_GIVEN` gets it; others need a default. It runs under `torch.func.vmap`,
so it does not branch on values.

A split takes what it names of `SPLIT_GIVEN`, for N training samples and C classes, and returns a `CleanSplit`. It is
called at the start of every epoch, without gradient, or once where it names nothing that changes between epochs. Naming
is declaring: logits, losses and pseudo-labels cost a plain pass over the training set, and `share` makes an oracle of
the method.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor

from bench.errors import BenchError, did_you_mean
from bench.plugins import LOSSES, SPLITS
from bench.registry import Registry

LOSS_GIVEN: Final = {
    "q": "exponent of gce",
    "a": "weight of CE in sce",
    "b": "weight of reverse CE in sce",
    "off_class": "what sce puts for the logarithm of 0",
}
SPLIT_GIVEN: Final = {
    "observed": "observed labels, [N] long",
    "logits": "the method's plain logits, [N, C]",
    "losses": "their cross-entropy, [N]",
    "pseudo": "their arg-max, [N] long",
    "zero_shot": "logits of zero-shot CLIP under the data set's templates, [N, C]",
    "image": "image features of the frozen tower, [N, D]",
    "class_texts": "normalised features of the data set's P templates with each class name, [C, P, D]",
    "share": "1 minus the nominal noise rate, or the realised one of a kind that has none; an oracle",
    "epoch": "from 1",
    "seed": "a number of the epoch's own, below 2^31",
    "ot_reg": "entropy weight of a transport",
}
FULL_PASS: Final = frozenset({"logits", "losses", "pseudo"})
CHANGING: Final = FULL_PASS | {"epoch", "seed"}  # from epoch to epoch


@dataclass(frozen=True)
class CleanSplit:
    """Split of the training set into samples with right and with wrong labels.

    Attributes:
        clean: [N] bool, the samples taken for correctly labelled.
        pseudo: [N] long, the label the split believes.
        numbers: what the record keeps of it.
        confidence: [N], N times the largest entry of each row of a transport plan; None for other splits.
        selected: [N] bool, the samples whose rows of a transport plan are among the most confident; None for all.
        scored: [N] bool, the samples that the split has seen; None for all.
    """

    clean: Tensor
    pseudo: Tensor
    numbers: dict[str, float] = field(default_factory=dict)
    confidence: Tensor | None = None
    selected: Tensor | None = None
    scored: Tensor | None = None


def loss_asks(name: str) -> tuple[str, ...]:
    """List what a loss is given beside logits and labels.

    Raises:
        BenchError: the name is unknown, or the function asks for something else.
    """
    return _asks(LOSSES, name, LOSS_GIVEN, first=2)


def split_asks(name: str) -> tuple[str, ...]:
    """List what a split is given; nothing for "none".

    Raises:
        BenchError: the name is unknown, or the function asks for something else.
    """
    return () if name == "none" else _asks(SPLITS, name, SPLIT_GIVEN, first=0)


def _asks(registry: Registry[Callable[..., Any]], name: str, given: Mapping[str, str], first: int) -> tuple[str, ...]:
    row, found = registry.row(name), []
    for parameter in list(inspect.signature(registry.get(name)).parameters.values())[first:]:
        if parameter.name in given:
            found.append(parameter.name)
        elif parameter.default is parameter.empty:
            raise BenchError(
                f'{registry.kind} "{name}" ({row.origin}) asks for "{parameter.name}", which is not available; '
                f"{did_you_mean(parameter.name, given)}"
            )
    return tuple(found)
