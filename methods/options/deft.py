"""Options of DeFT."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import EPOCHS, WEIGHT, scalar, structural
from bench.methods.options.image_prompts import ImagePromptLearnerOptions
from bench.methods.options.objective import Loss

SCE = "loss=sce or real=true and warmup>0"


class DeFTOptions(ImagePromptLearnerOptions):
    """Context, loss of the selected, visual prompts, warm-up and second phase."""

    init: Literal[""] = structural("", "always random: two equal contexts would never disagree")
    split: Literal["none"] = structural("none", "always none: the selection is made in every step")
    loss: Loss = structural("ce", "loss of the selected, and in warm-up unless real", "real=false or warmup!=10")
    a: float = scalar(1.0, "weight of CE in sce; the authors' 1", SCE, **WEIGHT)
    b: float = scalar(1.0, "weight of reverse CE in sce; the authors' 1", SCE, **WEIGHT)
    visual_context: int = structural(20, "visual prompts P of each layer; the authors' 20", ge=1, le=256)
    warmup: int = structural(1, "warm-up epochs in every ten; the authors' 1, for real noise 5", ge=0, le=10)
    real: bool = structural(False, "the authors' script for real noise")
    fine_tune: int = structural(
        0, "epochs at the end that train a copy of the image tower; authors' 10", ge=0, **EPOCHS
    )
    fine_tune_rate: float = structural(1 / 60, "factor of the learning rate in them", "fine_tune>0", gt=0, le=1e6)
