"""Options of LinearProbe."""

from __future__ import annotations

from bench.contracts.options import Options, structural


class LinearProbeOptions(Options):
    """Penalty and its search."""

    search: bool = structural(True, "whether C is chosen on the noisy validation twin")
    strength: float = structural(
        1.0, "C where it is not searched for; scikit-learn's default 1", "search=false", ge=1e-6, le=1e6
    )
    faithful: bool = structural(False, "the reference's features, not normalised, and its choice of equals")
