"""Options of JoAPR."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import EPOCHS, WEIGHT, scalar, structural
from bench.methods.options.prompt_learner import PromptLearnerOptions


class JoAPROptions(PromptLearnerOptions):
    """CoOp's options and JoAPR's."""

    warmup: int = structural(10, "warm-up epochs; the authors' for EuroSAT, theirs run from 1 to 150", ge=0, **EPOCHS)
    warmup_cap: float = structural(
        0.2, "largest share of the epochs that is warm-up, but one epoch at least", "warmup>0", ge=0, le=1
    )
    alpha1: float = scalar(0.5, "weight of the negative entropy in warm-up; authors: .1 to .5", "warmup>0", **WEIGHT)
    alpha2: float = scalar(1.0, "weight of KL(uniform || mean p); authors: .5 or 1", **WEIGHT)
    beta: float = structural(0.001, "parameter of the mix-up's Beta distribution; 0 for no mix-up", ge=0, le=1e6)
    targets: Literal["step", "epoch"] = structural("step", "soft targets from each step or the epoch's start")
    faithful: bool = structural(False, "as the reference runs: J1, J3, J4's C·K, incomplete batches dropped")
