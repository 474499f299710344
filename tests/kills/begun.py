"""A plugin file: two methods that note when the training of a cell begins, a line each in $BEGUN."""

from __future__ import annotations

import hashlib
import os
import time

import bench
from bench.contracts.method import Context
from bench.methods.coop import CoOp
from bench.methods.tip_adapter import TipAdapter


def _note(method: str, context: Context) -> None:
    """Note the method and the digest of the observed labels, which tell cells of these grids apart; and the time."""
    digest = hashlib.sha256(context.observed.cpu().numpy().astype("<i8").tobytes()).hexdigest()
    file = os.open(os.environ["BEGUN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{method}/{digest} {time.time_ns()}\n".encode())  # at once, and so whole
    os.close(file)


class BegunCoOp(CoOp):
    """CoOp, noted."""

    def setup(self, context: Context) -> None:
        _note("begun-coop", context)
        super().setup(context)


class BegunTip(TipAdapter):
    """Tip-Adapter, noted."""

    def setup(self, context: Context) -> None:
        _note("begun-tip", context)
        super().setup(context)


bench.register("begun-coop", BegunCoOp)
bench.register("begun-tip", BegunTip)
