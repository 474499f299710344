"""Options of ProGrad."""

from __future__ import annotations

from bench.contracts.options import WEIGHT, scalar, structural
from bench.methods.options.coop import CoOpOptions


class ProGradOptions(CoOpOptions):
    """CoOp's options, the share of the conflict that is removed, and the start."""

    init: str = structural("template", 'words at the end of the context; "template": the text\'s; "": random')
    context: int = structural(16, "context vectors M; CoOp's default 16", ge=1, le=64)
    template: str = structural(
        "dataset", 'a text with {} for the class name; "dataset": the set\'s first', "init=template or projection>0"
    )
    projection: float = scalar(1.0, "lambda, the share of the conflicting part that is removed; 1", **WEIGHT)
    faithful: bool = structural(
        False, "as the reference runs: as many tokens of the start as it has words, incomplete batches dropped"
    )
