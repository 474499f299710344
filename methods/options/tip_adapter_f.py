"""Options of TipAdapterF."""

from __future__ import annotations

from bench.methods.options.objective import ObjectiveOptions
from bench.methods.options.tip_adapter import TipCacheOptions


class TipAdapterFOptions(TipCacheOptions, ObjectiveOptions):
    """Strength of the cache, the search for it, and the objective."""
