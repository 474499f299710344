"""Options of PromptMAE."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import scalar, structural
from bench.methods.options.coop import CoOpOptions


class PromptMAEOptions(CoOpOptions):
    """CoOp's options and the factor."""

    loss: Literal["mae"] = structural("mae", "always mae")
    factor: float = scalar(1.0, "1 as NLPrompt computes it, 2 for the textbook's L1 distance", gt=0, le=1e6)
