"""CoOp on what zero-shot CLIP confirms."""

from __future__ import annotations

from typing import TypeAlias

from bench.methods.coop import CoOp
from bench.methods.options.zero_shot_filter import ZeroShotFilterOptions


class ZeroShotFilter(CoOp):
    """Ask zero-shot CLIP once which labels it agrees with, and train CoOp on these alone.

    A baseline that the field's tables lack: selection before training, by a model that has seen no label (in the
    spirit of CLIPCleaner, ACM MM 2024, without its second classifier and its mixtures).

    Equations: clean iff arg-max of the zero-shot logits under the data set's templates = observed label; loss = mean
    CE over the clean samples; the others are left out for good. Parameters: as CoOp.

    Defects of the reference decided on: none, there is no reference. What zero-shot CLIP gets wrong is never trained.
    """

    Options: TypeAlias = ZeroShotFilterOptions
