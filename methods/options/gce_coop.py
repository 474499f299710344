"""Options of GCECoOp."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import structural
from bench.methods.options.coop import CoOpOptions


class GCECoOpOptions(CoOpOptions):
    """CoOp's options; the loss is fixed."""

    loss: Literal["gce"] = structural("gce", "always gce")
