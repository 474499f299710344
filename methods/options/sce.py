"""Options of SCE."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import structural
from bench.methods.options.coop import CoOpOptions


class SCEOptions(CoOpOptions):
    """CoOp's options; the loss is fixed."""

    loss: Literal["sce"] = structural("sce", "always sce")
    faithful: bool = structural(False, "VisPrompt's 1e-6 / C for the zeros of the label", "b>0")
