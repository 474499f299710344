"""Options of CoTeaching."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import EPOCHS, structural
from bench.methods.options.coop import CoOpOptions


class CoTeachingOptions(CoOpOptions):
    """CoOp's options and co-teaching's."""

    init: Literal[""] = structural("", "always random: two networks of one start would stay one network")
    split: Literal["none"] = structural("none", "always none: the selection is made in every step")
    gradual: int = structural(10, "epochs until R is the whole noise rate; the authors' 10", ge=1, **EPOCHS)
    faithful: bool = structural(
        False, "as the reference runs: second division, rounding, R a tenth early, incomplete batches dropped"
    )
