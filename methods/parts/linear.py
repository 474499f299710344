"""Layers whose start is drawn from a given generator, and never from torch's global one."""

from __future__ import annotations

import math

import torch
from torch import nn

from bench.lockstep import Linear


def empty_layer(inputs: int, outputs: int) -> nn.Linear:
    """Create a linear layer without drawing its weights, which torch would do from its global generator."""
    return Linear(inputs, outputs, device="meta").to_empty(device="cpu")


def linear_layer(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Create a linear layer on the CPU with torch's default initialisation, U(±1 / sqrt(inputs))."""
    layer, bound = empty_layer(inputs, outputs), 1 / math.sqrt(inputs)
    for values in (layer.weight, layer.bias):
        nn.init.uniform_(values, -bound, bound, generator)
    return layer
