"""CoOp with mean absolute error."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

from bench.methods.coop import CoOp
from bench.methods.options.promptmae import PromptMAEOptions


class PromptMAE(CoOp):
    """CoOp with mean absolute error on every sample.

    The loss half of Pan et al., "NLPrompt: Noise-Label Prompt Learning for Vision-Language Models", CVPR 2025
    (arXiv 2412.01256); it has no repository of its own.

    Equations: CoOp's logits; loss = factor · mean of (1 - p_y). The textbook's |p - e_y|_1 is factor 2; the
    reference computes generalised cross-entropy at q = 1, factor 1, and so does the default. Under plain SGD
    the factor is one of the learning rate (weight decay apart), which is why it stands in the record.

    Defects of the reference decided on: NLPrompt with optimal transport switched off is plain CoOp, not
    PromptMAE; here it is written out.
    """

    Options: TypeAlias = PromptMAEOptions

    factor: Tensor

    def sample_loss(self, name: str, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute factor · (1 - p_y), [B]; any other loss, of what a split rejects, as it is."""
        loss = super().sample_loss(name, logits, labels)
        return self.factor * loss if name == "mae" else loss

    def diagnostics(self) -> dict[str, float]:
        """Return the split's numbers, and the factor before 1 - p_y."""
        return {**super().diagnostics(), "loss_factor": float(self.factor)}
