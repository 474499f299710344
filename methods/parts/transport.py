"""Entropic optimal transport in the log domain.

Written out in torch because it must also run batch by batch inside `forward`, under vmap; the tests hold it against
POT's `ot.bregman.sinkhorn_log`, and it is about ten times as fast on a whole training set.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CHECK_EVERY = 50
COARSE = 8  # the entropy's weight starts at about this part of the range of the costs


def sweep(kernel: Tensor, log_row: Tensor, log_column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """Update the columns' scaling, then the rows', logarithms all: kernel [N, C], row [N], column [C]."""
    column = log_column - torch.logsumexp(kernel + row.unsqueeze(1), 0)
    return log_row - torch.logsumexp(kernel + column, 1), column


def _block(kernel: Tensor, log_row: Tensor, log_column: Tensor, row: Tensor, sweeps: int) -> tuple[Tensor, Tensor]:
    """Update `sweeps` times: once in the log domain, then by products with the coupling that it gives.

    Relative to that coupling the scalings stay near 1, so nothing is lost, at a tenth of the time; where one leaves
    the range of float64 all the same, the block is done in the log domain throughout.
    """
    first, column = sweep(kernel, log_row, log_column, row)
    coupling = (kernel + first.unsqueeze(1) + column).exp()
    a, b = log_row.exp(), log_column.exp()
    u, v = torch.ones_like(first), torch.ones_like(column)
    for _ in range(sweeps - 1):
        v = b / (u @ coupling)
        u = a / (coupling @ v)
    scaled = first + u.log(), column + v.log()
    if all(bool(part.isfinite().all()) for part in scaled):
        return scaled
    for _ in range(sweeps):
        row, column = sweep(kernel, log_row, log_column, row)
    return row, column


@torch.no_grad()
def sinkhorn_log(
    cost: Tensor,
    reg: float,
    row_marginal: Tensor,
    column_marginal: Tensor,
    tolerance: float = 1e-4,
    max_iterations: int = 1000,
) -> tuple[Tensor, float, int]:
    """Solve entropic optimal transport (Cuturi, NeurIPS 2013) in the log domain and float64: nothing underflows.

    Epsilon scaling (Kosowsky and Yuille, 1994): the weight of the entropy comes down to `reg` by halves, each solution
    starting the next, because from a cold start a small weight needs far more iterations than anybody waits for.

    Args:
        cost: [N, C], finite.
        reg: weight of the entropy, above 0.
        row_marginal: [N], sums to 1.
        column_marginal: [C], sums to 1.
        tolerance: stop when the 2-norm of the columns' error falls below (looked at every fiftieth iteration).
        max_iterations: at `reg` itself; give up then; the residual says how far it came.

    Returns:
        The coupling [N, C], whose rows sum to the row marginal exactly; the 2-norm of its column error; the
        iterations, those on the way down included.

    Raises:
        FloatingPointError: the cost is not finite.
    """
    if not bool(cost.isfinite().all()):
        raise FloatingPointError("the cost of the optimal transport is not finite")
    cost = cost.double()
    log_row, log_column = row_marginal.double().log(), column_marginal.double().log()
    halvings = max(0, math.ceil(math.log2(float(cost.max() - cost.min()) / (COARSE * reg) + 1e-300)))
    row, iteration, residual = torch.zeros_like(log_row), 0, math.inf
    for halving in range(halvings, 0, -1):
        row, _ = _block(-cost / (reg * 2**halving), log_row, log_column, row, CHECK_EVERY)
        row, iteration = 2 * row, iteration + CHECK_EVERY
    kernel, last = -cost / reg, iteration + max_iterations
    coupling = torch.zeros_like(kernel)
    while residual >= tolerance and iteration < last:
        sweeps = min(CHECK_EVERY, last - iteration)
        row, column = _block(kernel, log_row, log_column, row, sweeps)
        iteration += sweeps
        coupling = (kernel + row.unsqueeze(1) + column).exp()
        residual = float((coupling.sum(0) - column_marginal).norm())
    return coupling, residual, iteration
