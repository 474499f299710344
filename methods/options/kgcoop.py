"""Options of KgCoOp."""

from __future__ import annotations

from bench.contracts.options import WEIGHT, scalar, structural
from bench.methods.options.coop import CoOpOptions


class KgCoOpOptions(CoOpOptions):
    """CoOp's options, the weight of the pull, and where it pulls to."""

    context: int = structural(4, "context vectors M where no phrase starts them; KgCoOp's 4", "init=", ge=1, le=64)
    init: str = structural("a photo of a", "words that start the context, KgCoOp's; empty: random")
    w: float = scalar(8.0, "weight of the pull; 8 in the paper and the scripts, 1 in the configuration", **WEIGHT)
    template: str = structural("dataset", 'a text with {} for the class name, or "dataset" for the set\'s own', "w>0")
