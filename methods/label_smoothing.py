"""CoOp with smoothed labels."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

from bench.methods.coop import CoOp
from bench.methods.options.label_smoothing import LabelSmoothingOptions
from bench.methods.parts import losses


class LabelSmoothing(CoOp):
    """Control: CoOp with cross-entropy to labels that are mixed with the uniform distribution.

    Lukasik et al., "Does Label Smoothing Mitigate Label Noise?", ICML 2020 (arXiv 2003.02819), with the rate and the
    negative rates of Wei et al., "To Smooth or Not? When Label Smoothing Meets Noisy Labels", ICML 2022 (arXiv
    2106.04149; code UCSC-REAL/negative-label-smoothing at 05078f6). Neither has a prompt version.

    Equations: CoOp's logits; loss = mean of (1 - r) (-log p_y) - (r/C) sum over k of log p_k, r = 0.1, the default of
    Wei et al.'s code. They try r from 0.8 down to -8 and take the best for each noise: none is taken here. r < 0 pushes
    away from the uniform distribution, "negative label smoothing", and leaves the loss without a lower bound: theirs
    continues from a network trained with cross-entropy, this starts like all others. Parameters: as CoOp.

    Defects of the reference decided on: it keeps the best epoch on the test set beside the last: never available here.
    """

    Options: TypeAlias = LabelSmoothingOptions

    options: LabelSmoothingOptions
    smoothing: Tensor

    def sample_loss(self, name: str, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of that name of each sample, label-smoothing at this method's share: [...]."""
        if name == self.options.loss:
            return losses.smoothed_cross_entropy(logits, labels, self.smoothing)
        return super().sample_loss(name, logits, labels)
