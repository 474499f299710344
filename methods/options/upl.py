"""Options of UPL."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import structural
from bench.methods.options.coop import CoOpOptions


class UPLOptions(CoOpOptions):
    """CoOp's options, the pseudo-labels and the ensemble."""

    split: Literal["none"] = structural("none", "always none: there is no given label to trust or not")
    per_class: int = structural(16, "images K of each predicted class; the authors' 16", ge=1, le=1_000_000)
    members: int = structural(1, "contexts E whose predictions are averaged; the paper's 16", ge=1, le=64)
    average: Literal["logits", "probabilities"] = structural(
        "logits", "what the members' mean is taken of; the authors' script averages logits", "members>1"
    )
