"""Options of RobustUPL."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import Q, scalar, structural
from bench.methods.options.objective import Loss
from bench.methods.options.upl import UPLOptions


class RobustUPLOptions(UPLOptions):
    """UPL's options, and which of the predictions are taken."""

    loss: Loss = structural("gce", "loss of every sample; the authors' gce")
    q: float = scalar(0.5, "exponent of gce; 0.5 in PTNL's trainer", "loss=gce", **Q)
    pick: Literal["random", "surest"] = structural("random", "which predictions of a class; surest: UPL's")
