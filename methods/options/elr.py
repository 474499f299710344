"""Options of ELR."""

from __future__ import annotations

from bench.contracts.options import WEIGHT, scalar, structural
from bench.methods.options.coop import CoOpOptions


class ELROptions(CoOpOptions):
    """CoOp's options and ELR's."""

    beta: float = scalar(
        0.3, "momentum of the memory; DeFT's .3, the authors' .7 (CIFAR-10)", "lambda_elr>0", ge=0, lt=1
    )
    lambda_elr: float = scalar(5.0, "weight of the pull; DeFT's 5, the authors' 3 (CIFAR-10)", **WEIGHT)
    faithful: bool = structural(False, "probabilities in half precision, as DeFT takes them", "lambda_elr>0")
