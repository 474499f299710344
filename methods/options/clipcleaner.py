"""Options of CLIPCleaner."""

from __future__ import annotations

from typing import Literal, TypeAlias

from bench.contracts.options import structural
from bench.methods.options.coop import CoOpOptions
from bench.methods.options.objective import Rest

Classifiers: TypeAlias = Literal["both", "zero-shot", "visual"]
Fill: TypeAlias = Literal["highest", "lowest"]
Scope: TypeAlias = Literal["set", "class"]


class CLIPCleanerOptions(CoOpOptions):
    """CoOp's options; the split is fixed and has options of its own."""

    split: Literal["clipcleaner"] = structural("clipcleaner", "always clipcleaner")
    rest: Rest = structural("drop", "loss of what the selection rejects; drop: left out")
    theta_gmm: float = structural(
        0.5, "least membership of the upper Gaussian; the authors' .5, 0 for no such rule", ge=0, le=1
    )
    theta_cons: float = structural(
        0.8, "least ratio of p_y to the largest p; the authors' .8 (WebVision 1), 0 for no such rule", ge=0, le=1
    )
    temperature: float = structural(
        0.07, "of the zero-shot probabilities; the authors' .07", "classifiers!=visual", gt=0.001, le=100
    )
    classifiers: Classifiers = structural("both", "who is asked: zero-shot CLIP, the regression, or both")
    mixture: Scope = structural("set", "Gaussians over the set or, the authors', by class", "faithful=false")
    fill: Fill = structural("highest", "scores that fill an empty class (Q1)", "faithful=false")
    template: str = structural(
        "dataset", 'a text with {} for the class name, or "dataset" for the set\'s own', "classifiers!=visual"
    )
    faithful: bool = structural(False, "the reference's defects Q1 and Q3, and its mixtures by class")
