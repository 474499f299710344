"""Options of CoOpSplit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bench.contracts.options import ENTROPY, Q, scalar, structural
from bench.methods.options.prompt_learner import PromptLearnerOptions

TRANSPORT = "loss=split and split=ot"


class CoOpSplitOptions(PromptLearnerOptions):
    """CoOp's options; the split and the loss."""

    split: Literal["ot", "argmax", "none"] = structural(
        "ot", "who is certain: transport, arg-max, or everyone", "loss=split"
    )
    ot_scope: Literal["set", "batch"] = structural(
        "set", "transport over the whole set, or batch by batch (V3)", TRANSPORT
    )
    ot_reg: float = scalar(0.1, "entropy weight of the transport (authors .01, plain domain)", TRANSPORT, **ENTROPY)
    delta: float = scalar(0.5, "confidence threshold; the authors' config value .5", TRANSPORT, ge=0, le=1)
    q: float = scalar(0.7, "exponent of GCE; authors' .7", "loss=gce or loss=split and split!=none and alpha!=1", **Q)
    alpha: Literal["certain"] | Annotated[float, Field(ge=0, le=1)] = structural(
        "certain",
        "weight of CE: the certain fraction, or a constant in [0, 1] (the authors' is not stated)",
        "loss=split",
    )
    loss: Literal["split", "ce", "gce"] = structural("split", "both losses, or one of them on every sample")
