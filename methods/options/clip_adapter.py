"""Options of CLIPAdapter."""

from __future__ import annotations

from bench.contracts.options import scalar, structural
from bench.methods.options.objective import ObjectiveOptions


class CLIPAdapterOptions(ObjectiveOptions):
    """The adapter, and the objective."""

    reduction: int = structural(
        4, "width of the features over that of the bottleneck; the authors' 4", "ratio>0", ge=1, le=10_000
    )
    ratio: float = scalar(0.2, "share of the adapted in the new feature; the authors' code 0.2", ge=0, le=1)
