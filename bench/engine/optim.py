"""Learning-rate schedule and optimizer of a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.records.cell import Cell


def learning_rate(epoch: int, cell: Cell, part: float = 0.0) -> float:
    """Compute the rate at the fraction `part` of an epoch, counted from 0.

    cosine: a constant warm-up, then a cosine that never reaches 0 and stands still within an epoch, as Dassl executes
    it (method specification 1.3): lr(e) = ½·lr₀·(1 + cos(π(e - w)/E)) after w warm-up epochs of E. cosine-step: a
    cosine over all steps, without warm-up (Tip-Adapter-F). constant: lr₀ throughout.
    """
    if cell.schedule == "constant":
        return cell.learning_rate
    if cell.schedule == "cosine-step":
        return 0.5 * cell.learning_rate * (1 + math.cos(math.pi * (epoch + part) / cell.epochs))
    if epoch < cell.warmup_epochs:
        return cell.warmup_learning_rate
    return 0.5 * cell.learning_rate * (1 + math.cos(math.pi * (epoch - cell.warmup_epochs) / cell.epochs))


def optimizer_of(cell: Cell, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
    """Build the optimizer that a cell names. The loop sets its learning rate before every use."""
    if cell.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=1.0, momentum=cell.momentum, weight_decay=cell.weight_decay)
    adaptive = torch.optim.Adam if cell.optimizer == "adam" else torch.optim.AdamW
    return adaptive(parameters, lr=1.0, eps=cell.epsilon, weight_decay=cell.weight_decay)
