"""TecoPrompt: NLPrompt with a memory of its transport, which smooths confidence and rewrites labels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import method
from bench.contracts.objective import CleanSplit
from bench.methods.nlprompt import NLPrompt
from bench.methods.parts import losses

CLEAN, UNCERTAIN, NOISY = range(3)
CONFIDENT = "split=ot and threshold>0"  # arg-max knows no confidence


class Memory:
    """What the transport has said of each sample so far.

    Args:
        observed: the given labels, [N].
        smoothing: share of the old confidence in the new.
        patience: epochs in a row after which a steady label may be written.
        threshold: smoothed confidence that it takes.

    Attributes:
        labels: the labels in force, [N]; rewritten ones differ from `observed`.
        confidence: smoothed, [N]; that of the first epoch is its own.
    """

    def __init__(self, observed: Tensor, smoothing: float, patience: int, threshold: float) -> None:
        self.labels = observed.clone()
        self.smoothing, self.patience, self.threshold = smoothing, patience, threshold
        self.confidence: Tensor | None = None
        self.pseudo, self.steady = observed.new_full(observed.shape, -1), torch.zeros_like(observed)

    def update(self, pseudo: Tensor, confidence: Tensor) -> None:
        """Take in the transport's labels and confidences of an epoch, [N] each, and rewrite what has been steady."""
        old = confidence if self.confidence is None else self.confidence
        self.confidence = self.smoothing * old + (1 - self.smoothing) * confidence
        self.steady = torch.where(pseudo == self.pseudo, self.steady + 1, 1)
        self.pseudo = pseudo
        rewrite = (pseudo != self.labels) & (self.steady >= self.patience) & (self.confidence >= self.threshold)
        self.labels = torch.where(rewrite, pseudo, self.labels)


class TecoPrompt(NLPrompt):
    """NLPrompt's transport every epoch, remembered: what it says steadily and surely becomes the label.

    TecoPrompt, ECCV 2026 (arXiv 2609.16858). Only the read-me of its repository and its tables could be read: what
    follows is our reading, and where it is a guess it says so.

    Equations: per epoch NLPrompt's plan; confidence k_i = min(N · max of row i, 1), smoothed c <- .8 c + .2 k; where
    the plan's label differs from the label in force, has been the same for K = 8 epochs and c >= .5, it is written in
    its place. Then three groups, one after the other: the plan confirms the label in force and c >= .5, CE; confirms
    it below, GCE with q = .5; contradicts it, 1 - p_y. Parameters: as CoOp.

    From the read-me: the transport, .8, K = 8, the three losses. Our guess: what divides CE from GCE (the ablation
    without smoothing implies that the smoothed confidence does), the threshold .5, and that a rewritten label stays
    until another has been steady for as long.

    Defects of the reference decided on: those of NLPrompt, on which it builds, in the same way.
    """

    class Options(NLPrompt.Options):
        """NLPrompt's options and the memory's."""

        curriculum: Literal[0] = method.structural(
            0, "always 0: it bounds whom NLPrompt trusts, which is not asked here"
        )
        rest: Literal["mae"] = method.structural("mae", "always mae, on what the plan contradicts")
        q: float = method.scalar(
            0.5, "exponent of GCE on the uncertain; the authors' .5", f"loss=gce or {CONFIDENT}", **method.Q
        )
        smoothing: float = method.structural(
            0.8, "share of the old confidence; the authors' .8, 0 for none", CONFIDENT, ge=0, lt=1
        )
        patience: int = method.structural(
            8, "epochs K that a label must be steady; the authors' 8", "rewrite=true", ge=1, **method.EPOCHS
        )
        threshold: float = method.structural(
            0.5, "smoothed confidence that counts as sure; our guess", "split=ot", ge=0, le=1
        )
        rewrite: bool = method.structural(True, "whether labels are rewritten at all")

    options: TecoPrompt.Options

    def setup(self, context: method.Context) -> None:
        """NLPrompt's, and an empty memory."""
        super().setup(context)
        options = self.options
        patience = options.patience if options.rewrite else context.epochs + 1
        self.memory = Memory(self.observed, options.smoothing, patience, options.threshold)

    def split_phases(self, split: CleanSplit) -> tuple[method.Phase, ...]:
        """Three phases, whose targets are the labels in force."""
        memory = self.memory
        sure = torch.ones_like(split.clean, dtype=torch.double) if split.confidence is None else split.confidence
        memory.update(split.pseudo, sure.clamp(max=1))
        assert memory.confidence is not None  # noqa: S101 - set by the update
        agrees, confident = split.pseudo == memory.labels, memory.confidence >= memory.threshold
        group = torch.where(agrees, torch.where(confident, CLEAN, UNCERTAIN), NOISY)
        self.numbers["rewritten_share"] = float((memory.labels != self.observed).double().mean())
        target = F.one_hot(memory.labels, len(self.classes)).float()
        weight = torch.ones(len(group), device=group.device)
        clean = (group != NOISY) & (memory.labels == self.observed)
        pseudo = torch.where(agrees, memory.labels, split.pseudo)
        return tuple(
            method.Phase(torch.where(group == number, number, -1), weight, target, clean=clean, pseudo=pseudo)
            for number in (CLEAN, UNCERTAIN, NOISY)
        )

    def objective(self, logits: Tensor, batch: method.Batch) -> dict[str, Tensor]:
        """Terms ce, gce and mae, of the three groups; the first with the loss of option `loss`. Logits [B, C]."""
        assert batch.target is not None  # noqa: S101 - every phase has targets
        labels = batch.target.argmax(-1)
        name: str = self.options.loss
        chosen = {
            name: (CLEAN, self.sample_loss(name, logits, labels)),
            "uncertain_gce": (UNCERTAIN, losses.generalised_cross_entropy(logits, labels, self.q)),
            "rest_mae": (NOISY, losses.mean_absolute_error(logits, labels)),
        }
        return {
            term: losses.masked_mean(values, batch.valid & (batch.group == group), batch.weight)
            for term, (group, values) in chosen.items()
        }
