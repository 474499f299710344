"""Options of TipCache, TipAdapter."""

from __future__ import annotations

from bench.contracts.options import WEIGHT, Options, scalar, structural

SEARCH = "search=true"
FINE = "shows where another step of the grid has more hits on the validation twin"


class TipCacheOptions(Options):
    """Strength of the cache, and the search for it."""

    alpha: float = scalar(1.17, "weight of the cache before the search; the authors' for ImageNet", **WEIGHT)
    beta: float = scalar(1.0, "sharpness of the cache before the search; the authors' 1", "alpha>0", **WEIGHT)
    search: bool = structural(True, "whether alpha and beta are chosen on the noisy validation twin")
    search_beta: float = structural(
        7.0, "end of the grid of beta; the authors' for ImageNet and Pets", SEARCH, FINE, gt=0.1, le=1e6
    )
    search_alpha: float = structural(3.0, "end of the grid of alpha; the authors' as above", SEARCH, gt=0.1, le=1e6)
    steps_beta: int = structural(200, "values of beta tried; the authors' 200", SEARCH, FINE, ge=1, le=10_000)
    steps_alpha: int = structural(20, "values of alpha tried; the authors' 20", SEARCH, FINE, ge=1, le=10_000)
    faithful: bool = structural(
        False,
        "the reference's one-hot without class count, its search without a hit",
        unseen="shows where the last class has no sample, or the search no hit",
    )


class TipAdapterOptions(TipCacheOptions):
    """Strength of the cache, or the search for it."""

    alpha: float = scalar(1.17, "weight of the cache; the authors' for ImageNet", "search=false", **WEIGHT)
    beta: float = scalar(1.0, "sharpness of the cache; the authors' 1", "search=false and alpha>0", **WEIGHT)
