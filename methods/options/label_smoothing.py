"""Options of LabelSmoothing."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import scalar, structural
from bench.methods.options.coop import CoOpOptions

SMOOTHING = 0.1  # default of the authors' code in "To Smooth or Not?", ICML 2022


class LabelSmoothingOptions(CoOpOptions):
    """CoOp's options, and how much is smoothed; the loss is fixed."""

    loss: Literal["label-smoothing"] = structural("label-smoothing", "always label-smoothing")
    smoothing: float = scalar(
        SMOOTHING, "share r of the uniform distribution in the label; Wei et al.'s 0.1", ge=-8, lt=1
    )
