"""NLPrompt: optimal transport splits the set, cross-entropy on the clean part, mean absolute error on the rest."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from bench.contracts import method
from bench.contracts.objective import CleanSplit
from bench.errors import BenchError
from bench.methods.coop import CoOp
from bench.methods.options.nlprompt import NLPromptOptions
from bench.methods.parts.drop_last import DropLast
from bench.methods.parts.objective import CLEAN, REST
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

    Defects of the reference decided on. Repaired unless `faithful`, which is the reference as it runs, with all of them
    together: N1 the cost is minus the softmax of a softmax, not -log p; N2 a kernel that underflows at reg 1e-3 to a
    plan of zeros, whose arg-max is class 0 throughout; N3 the pass goes through the shuffled and augmented training
    loader with drop_last, so that up to B - 1 samples are not scored and fall to the rest (in a cell without views on
    plain images); N4 one sample lost to rounding; N5 the remainder of each part, and a part below one batch, is not
    trained on; N6 an epoch without a clean sample trains all with CE and then all with MAE, and the first epoch crashes
    (here an error). Neither repaired nor reproduced, for they change no number: N7 images kept in memory unused; N8 the
    class count as an argument. Half precision is float32, also under `faithful`. N9, the uniform class marginal, is
    exactly true where the noise was put on a balanced set, a leak of the prior: kept, and `nlprompt[split=argmax]` is
    the ablation without it.
    """

    Options: TypeAlias = NLPromptOptions

    options: NLPromptOptions
    loader: DropLast | None

    def setup(self, context: method.Context) -> None:
        """Set up as CoOp, with the loader's draws where it drops samples."""
        super().setup(context)
        self.loader = DropLast(context) if self.options.as_run else None

    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        """Return the parts, one phase each; what `faithful` leaves over of each is dropped.

        Raises:
            BenchError: under `faithful`, no sample of the first epoch is clean.
        """
        self.epoch = epoch
        phases = super().begin_epoch(epoch, full_pass)
        return phases if self.loader is None else self.loader.phases(epoch, phases)

    def split_phases(self, split: CleanSplit) -> tuple[method.Phase, ...]:
        """Return clean and rest, and under `faithful` everything twice where nothing is clean (N6)."""
        phases = super().split_phases(split)
        if self.loader is None or bool(split.clean.any()):
            return phases
        if self.epoch == 1:
            raise BenchError(
                "faithful=true: no sample of the first epoch is clean, where the reference crashes; leave it out."
            )
        return tuple(
            replace(phase, group=torch.full_like(phase.group, number))
            for phase, number in zip(phases, (CLEAN, REST), strict=False)
        )

    def partition(self, epoch: int, full_pass: method.FullPass) -> CleanSplit:
        """Split by the transport with this epoch's budget, or by arg-max."""
        options = self.options
        if options.split != "ot":
            return super().partition(epoch, full_pass)
        length = options.curriculum
        budget = min(curriculum_budget(epoch - 1, length, options.begin, options.growth), 1.0) if length else 1.0
        if self.loader is None:
            return nlprompt_split(full_pass(), self.observed, options.ot_reg, budget)

        def reference_split(logits: Tensor, observed: Tensor) -> CleanSplit:
            return nlprompt_reference_split(logits.softmax(1), observed, options.ot_reg, budget)[0]

        return self.loader.split(epoch, full_pass("augmented"), self.observed, reference_split)
