"""ELR: cross-entropy, and a pull towards what the model predicted early on."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from bench.contracts import method
from bench.methods.coop import CoOp
from bench.methods.options.elr import ELROptions
from bench.methods.parts.losses import early_learning_regularisation, early_learning_target, masked_mean


class ELR(CoOp):
    """CoOp pulled towards a moving average of its own predictions, which early on are right more often than labels.

    Liu et al., "Early-Learning Regularization Prevents Memorization of Noisy Labels", NeurIPS 2020 (arXiv 2007.00151).

    Equations: p' = p clamped to [1e-4, 1 - 1e-4]; t_i <- beta t_i + (1 - beta) p'_i / sum p'_i from t = 0, without
    gradient and before it is used; loss = mean CE + lambda · mean log(1 - <t_i, p'_i>). CE may be any `loss` of the
    objective, and a split leaves samples out of both terms. Parameters: M·W (ViT-B/16: 8,192); memory N·C.

    On prompts it is this project's: no code that was seen runs it there. (beta, lambda) = (.3, 5) is what DeFT (arXiv
    2409.19696) runs on CLIP, with prompts frozen: its `main_baseline.py` trains image tower and linear head, by its
    read-me all of the tower. It is the default, for each sample is seen once per epoch, and a short memory suits tens
    of epochs. ELR's authors train networks from scratch over 150 epochs, with (.7, 3) for CIFAR-10 and (.9, 7) for
    CIFAR-100. None of these constants was chosen for prompts.

    Defects of the reference decided on: DeFT takes p in half precision, where 1 - 1e-4 rounds to 1: the upper clamp is
    none and log(1 - <t, p>) may reach minus infinity, so that the cell diverges. Here p and t are float32; `faithful`
    takes p in half, as DeFT does; its loaders drop no batch. The authors choose the epoch on a noisy part of the
    training set; here nothing is chosen. The ramps of ELR+, meant for 40,000 steps, are part of ELR+ alone, which this
    is not.
    """

    Options: TypeAlias = ELROptions

    options: ELROptions
    memory: Tensor
    beta: Tensor
    lambda_elr: Tensor

    def setup(self, context: method.Context) -> None:
        """Create CoOp's parameters, and the empty memory [N, C]."""
        super().setup(context)
        shape = (len(context.observed), len(context.class_names))
        self.register_buffer("memory", torch.zeros(shape, device=context.observed.device))

    def forward(self, batch: method.Batch) -> method.Losses:
        """Compute the objective's terms, `early_learning`, and the batch's new rows of the memory."""
        logits, half = self.batch_logits(batch), self.options.faithful
        rows = early_learning_target(self.memory[batch.index], logits, self.beta, half)
        pull = masked_mean(early_learning_regularisation(logits, rows, half), batch.valid, batch.weight)
        terms = self.objective(logits, batch) | {"early_learning": self.lambda_elr * pull}
        return method.Losses(terms, {"memory": rows})
