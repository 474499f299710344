"""Options of CLAP."""

from __future__ import annotations

from typing import Literal, TypeAlias

from bench.contracts.options import structural
from bench.methods.options.objective import ObjectiveOptions

Multiplier: TypeAlias = Literal["class", "constant", "normalised", "unit"]
HELD = "constraint!=none"


class CLAPOptions(ObjectiveOptions):
    """The constraint, its multipliers, and the objective."""

    constraint: Literal["l2", "cosine", "none"] = structural(
        "l2", "distance of class weights to class texts that is kept small; none: ZSLP"
    )
    multiplier: Multiplier = structural(
        "class", "weights alpha of the classes in the constraint; the paper's class", HELD
    )
    adaptive: bool = structural(
        False,
        "whether alpha follows the distance after each epoch, as an augmented Lagrangian",
        HELD,
        "shows from the third epoch on, and where weights have moved far",
    )
    ensemble: bool = structural(False, "whether seven templates for ImageNet stand beside the data set's")
    faithful: bool = structural(
        False, "the reference's steps, drawn from all views, its texts with _, and no class without a sample"
    )
