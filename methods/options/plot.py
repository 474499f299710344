"""Options of PLOT."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import scalar, structural
from bench.methods.options.coop import CoOpOptions


class PLOTOptions(CoOpOptions):
    """CoOp's options and the transport's."""

    init: Literal[""] = structural("", "always empty: equal prompts would stay equal")
    prompts: int = structural(4, "prompts N per class; PLOT's 4", ge=1, le=64)
    epsilon: float = scalar(0.1, "weight of the entropy; PLOT's 0.1", "prompts>1", ge=0.025, le=1e6)
    iterations: int = structural(100, "Sinkhorn's iterations; PLOT's cap", "prompts>1", ge=1, le=10_000)
    pooled: bool = structural(False, "whether the pooled feature's logit is added, as PLOT does on ImageNet")
    faithful: bool = structural(
        False, "as the reference runs: transport stopped by the mean over the batch, incomplete batches dropped"
    )
