"""Options of DoubleSoftmax."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import structural
from bench.methods.options.coop import CoOpOptions


class DoubleSoftmaxOptions(CoOpOptions):
    """CoOp's options; the loss is fixed."""

    loss: Literal["double-softmax"] = structural("double-softmax", "always double-softmax")
