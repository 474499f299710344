"""Layers whose start is drawn from a given generator, and never from torch's global one."""

from __future__ import annotations

import math

import torch
from torch import nn


def empty_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer whose weights are not drawn: torch would draw them from its global generator."""
    return nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer on the CPU with torch's default initialisation, U(±1 / sqrt(inputs)), drawn from `generator`."""
    layer = empty_linear(inputs, outputs)
    bound = 1 / math.sqrt(inputs)
    nn.init.uniform_(layer.weight, -bound, bound, generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator)
    return layer
