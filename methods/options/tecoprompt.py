"""Options of TecoPrompt."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import EPOCHS, Q, scalar, structural
from bench.methods.options.nlprompt import NLPromptOptions

SMOOTHED = "split=ot and threshold>0"  # arg-max knows no confidence
MIDDLE_LOSS = "split=argmax and rewrite=true or faithful=false and rewrite=true or faithful=false and threshold>low"


class TecoPromptOptions(NLPromptOptions):
    """NLPrompt's options and the memory's."""

    patience: int = structural(
        8, "epochs K that a label must be steady; the authors' 8", "rewrite=true", ge=1, **EPOCHS
    )
    steady: float = structural(
        0.99, "confidence in each of them; the authors' .99", "split=ot and rewrite=true", ge=0, le=1
    )
    minimum: int = structural(
        1,
        "labels due in an epoch below which none is rewritten; the authors' 2 (T3)",
        "split=argmax and rewrite=true or faithful=false and rewrite=true",
        "a short run has no epoch in which one label alone is due",
        ge=1,
    )
    rewrite: bool = structural(True, "whether labels are rewritten at all")
    smoothing: float = structural(
        0.8,
        "share of the old confidence; the authors' .8, 0 for none",
        SMOOTHED,
        "in a short run a middle part is smaller than a batch and joins the clean one",
        ge=0,
        lt=1,
    )
    threshold: float = structural(0.8, "smoothed confidence of the clean; the authors' .8", "split=ot", ge=0, le=1)
    low: float = structural(0.2, "smoothed confidence of the middle; the authors' .2", SMOOTHED, ge=0, le=1)
    middle: Literal["gce", "ce", "mae"] = structural(
        "gce", "loss of the middle part; the authors' code runs ce (T1)", MIDDLE_LOSS
    )
    rest: Literal["mae", "gce", "ce"] = structural("mae", "loss of the noisy part")
    q: float = scalar(0.5, "exponent of gce; the authors' .5 in the middle", "loss=gce or rest=gce or middle=gce", **Q)
