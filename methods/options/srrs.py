"""Options of SRRS."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import EPOCHS, WEIGHT, Q, scalar, structural
from bench.methods.options.prompt_learner import PromptLearnerOptions


class SRRSOptions(PromptLearnerOptions):
    """CoOp's options and SRRS's; defaults of its code."""

    context: int = structural(4, "context vectors M where no phrase starts them", "init=", ge=1, le=64)
    init: str = structural("a photo of a", "words that start both contexts, SRRS's; empty: random")
    position: Literal["end"] = structural("end", "always end: words follow the name")
    template: str = structural(
        "dataset", "text with {} behind the featured context; dataset: the set's second template, or its only one"
    )
    rescreen: Literal["zero-shot", "none"] = structural(
        "zero-shot", "who re-screens rectified labels; none: nobody is matched"
    )
    loss: Literal["ce", "gce"] = structural("ce", "loss of the rectified labels; gce: of their arg-max")
    q: float = scalar(0.5, "exponent of gce; the authors' 0.5", "loss=gce", **Q)
    warmup: int = structural(2, "warm-up epochs, capped at a fifth of all epochs", ge=0, **EPOCHS)
    every: int = structural(2, "epochs from one screening to the next", ge=1, **EPOCHS)
    window: int = structural(5, "screenings whose losses and scores are averaged", ge=1, **EPOCHS)
    theta: float = structural(0.01, "density at which a component of the losses ends", ge=1e-6, le=1)
    weight: float = scalar(0.5, "weight of the learners' consistency R, in losses and steps", **WEIGHT)
    alpha1: float = scalar(0.5, "weight of the negative entropy in warm-up", "warmup>0", **WEIGHT)
    alpha2: float = scalar(1.0, "weight of KL(uniform || mean p)", **WEIGHT)
    beta: float = structural(0.001, "parameter of the mix-up's Beta distribution; 0 for no mix-up", ge=0, le=1e6)
    faithful: bool = structural(False, "the reference's defects S1 and S4")
