"""Options of ZeroShotFilter."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import structural
from bench.methods.options.coop import CoOpOptions
from bench.methods.options.objective import Rest


class ZeroShotFilterOptions(CoOpOptions):
    """CoOp's options; the split is fixed, what it rejects may be trained on with another loss."""

    split: Literal["zero-shot"] = structural("zero-shot", "always zero-shot")
    rest: Rest = structural("drop", "loss of what the filter rejects; drop: left out")
