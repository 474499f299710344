"""Options of Objective."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from bench.contracts.options import ENTROPY, WEIGHT, Options, Q, Registered, scalar, structural
from bench.plugins import LOSSES, SPLITS

Loss: TypeAlias = Annotated[str, Registered(LOSSES)]
Rest: TypeAlias = Annotated[str, Registered(LOSSES, ("drop",))]
SplitBy: TypeAlias = Annotated[str, Registered(SPLITS, ("none",))]


def _uses(loss: str) -> str:
    """Return the condition under which some sample gets a loss."""
    return f"loss={loss} or rest={loss} and split!=none"


class ObjectiveOptions(Options):
    """The loss, and the split."""

    loss: Loss = structural("ce", "loss of every sample, or of those that the split takes for clean")
    split: SplitBy = structural("none", "who is clean; none: everyone")
    rest: Rest = structural("mae", "loss of what the split rejects; drop: left out", "split!=none")
    q: float = scalar(0.7, "exponent of gce; 0.7 in the loss's paper, 0.5 in PTNL's trainer", _uses("gce"), **Q)
    a: float = scalar(1.0, "weight of CE in sce; DeFT's 1", _uses("sce"), **WEIGHT)
    b: float = scalar(1.0, "weight of reverse CE in sce; DeFT's 1", _uses("sce"), **WEIGHT)
    ot_reg: float = structural(0.01, "entropy weight of the transport; NLPrompt's 0.01", "split=ot", **ENTROPY)
