"""Options of DivideMix."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import EPOCHS, WEIGHT, scalar, structural
from bench.methods.options.prompt_learner import PromptLearnerOptions


class DivideMixOptions(PromptLearnerOptions):
    """CoOp's options and DivideMix's; defaults of its code."""

    init: Literal[""] = structural("", "always random: the two networks must differ")
    warmup: int = structural(10, "warm-up epochs, capped at a fifth of all epochs", ge=0, **EPOCHS)
    penalty: float = scalar(0.0, "weight of -entropy in warm-up; authors: 1 for asymmetric noise", "warmup>0", **WEIGHT)
    window: int = structural(1, "epochs whose losses are averaged; authors: 5 at a rate of 90 %", ge=1, **EPOCHS)
    threshold: float = structural(0.5, "membership above which a sample is clean", ge=0, le=1)
    temperature: float = scalar(0.5, "T of the sharpening", ge=0.1, le=1)
    beta: float = structural(4.0, "parameter of the mix-up's Beta distribution; 0 for no mix-up", ge=0, le=1e6)
    lambda_u: float = scalar(25.0, "weight of the noisy half's loss", **WEIGHT)
    rampup: int = structural(16, "epochs over which that weight rises", "lambda_u>0", ge=1, **EPOCHS)
