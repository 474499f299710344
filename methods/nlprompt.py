"""NLPrompt: optimal transport splits the set, cross-entropy on the clean part, mean absolute error on the rest."""

from __future__ import annotations

import math
from typing import Literal

from bench.contracts import method
from bench.contracts.method import EPOCHS, structural
from bench.contracts.objective import CleanSplit
from bench.methods.coop import CoOp
from bench.methods.parts.objective import Rest
from bench.methods.parts.splits import nlprompt_reference_split, nlprompt_split


def curriculum_budget(epoch: int, length: int, start: float, shape: Literal["linear", "exp"] = "linear") -> float:
    """Compute the share of samples that may be confident, as NLPrompt's code grows it.

    linear: start + (1 - start) e / length, which passes 1 behind `length`; exp: start + (1 - start) (1 - exp(-4 e /
    length)). Epochs e count from 0; `start` is the share in epoch 0.
    """
    progress = epoch / length
    return start + (1 - start) * (progress if shape == "linear" else 1 - math.exp(-4 * progress))


class NLPrompt(CoOp):
    """Transport the training set to the classes, trust the label where the plan confirms it, be robust elsewhere.

    Pan et al., "NLPrompt: Noise-Label Prompt Learning for Vision-Language Models", CVPR 2025 (arXiv 2412.01256).

    Equations: at the start of every epoch, plan = Sinkhorn(-log p, uniform marginals, reg) over all samples; clean iff
    arg-max of the row = observed label and the row's maximum is among the floor(budget · N) largest; then all batches
    of the clean part with mean CE, and then all of the rest with mean 1 - p_y. budget = 1, or with a curriculum of T
    epochs from .3 up. Parameters: as CoOp.

    Defects of the reference decided on. Repaired unless `faithful`: N1 the cost is minus the softmax of a softmax, not
    -log p; N2 a kernel that underflows at reg 1e-3 to a plan of zeros, whose arg-max is class 0 throughout; N4 one
    sample lost to rounding. Repaired always: N3 up to B - 1 samples are never scored and fall to the rest; N5
    drop_last discards the remainder of either part; N6 an empty clean part crashes or trains on everything; N7 images
    kept in memory unused; N8 the class count as an argument. N9, the uniform class marginal, is exactly true where the
    noise was put on a balanced set, a leak of the prior: kept, and `nlprompt[split=argmax]` is the ablation without it.
    """

    class Options(CoOp.Options):
        """CoOp's options; split and rest have NLPrompt's defaults."""

        split: Literal["ot", "argmax"] = structural("ot", "transport, or the arg-max of the prediction (N9)")
        rest: Rest = structural("mae", "loss of what the split rejects; drop: left out")
        curriculum: int = structural(
            0, "epochs T of the curriculum; the authors' 0 for none", "split=ot", ge=0, **EPOCHS
        )
        begin: float = structural(0.3, "confident share at its start; the authors' .3", "curriculum>0", gt=0, le=1)
        growth: Literal["linear", "exp"] = structural("linear", "shape of the curriculum", "curriculum>0 and begin!=1")
        faithful: bool = structural(False, "the reference's defects N1, N2 and N4", "split=ot")

    options: NLPrompt.Options

    def partition(self, epoch: int, full_pass: method.FullPass) -> CleanSplit:
        """Split by the transport with this epoch's budget, or by arg-max."""
        options = self.options
        if options.split != "ot":
            return super().partition(epoch, full_pass)
        length = options.curriculum
        budget = min(curriculum_budget(epoch - 1, length, options.begin, options.growth), 1.0) if length else 1.0
        if options.faithful:
            return self.reference_split(epoch, full_pass, budget)
        return nlprompt_split(full_pass(), self.observed, options.ot_reg, budget)

    def reference_split(self, epoch: int, full_pass: method.FullPass, budget: float) -> CleanSplit:
        """Compute the split as the reference does."""
        return nlprompt_reference_split(full_pass().softmax(1), self.observed, self.options.ot_reg, budget)[0]
