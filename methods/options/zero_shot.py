"""Options of ZeroShot."""

from __future__ import annotations

from bench.contracts.options import Options, structural


class ZeroShotOptions(Options):
    """`template` is a text with `{}` for the class name, or "dataset" for all templates of the data set."""

    template: str = structural("dataset", 'a text with {} for the class name, or "dataset"')
