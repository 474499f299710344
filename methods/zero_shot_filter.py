"""CoOp on what zero-shot CLIP confirms."""

from __future__ import annotations

from typing import Literal

from bench.contracts.method import structural
from bench.methods.coop import CoOp
from bench.methods.parts.objective import Rest


class ZeroShotFilter(CoOp):
    """Ask zero-shot CLIP once which labels it agrees with, and train CoOp on these alone.

    A baseline that the field's tables lack: selection before training, by a model that has seen no label (in the
    spirit of CLIPCleaner, ACM MM 2024, without its second classifier and its mixtures).

    Equations: clean iff arg-max of the zero-shot logits under the data set's templates = observed label; loss = mean
    CE over the clean samples; the others are left out for good. Parameters: as CoOp.

    Defects of the reference decided on: none, there is no reference. What zero-shot CLIP gets wrong is never trained.
    """

    class Options(CoOp.Options):
        """CoOp's options; the split is fixed, what it rejects may be trained on with another loss."""

        split: Literal["zero-shot"] = structural("zero-shot", "always zero-shot")
        rest: Rest = structural("drop", "loss of what the filter rejects; drop: left out")
