"""Options of PromptSRC."""

from __future__ import annotations

from bench.contracts.options import WEIGHT, scalar, structural
from bench.methods.options.image_prompts import DeepPromptLearnerOptions


class PromptSRCOptions(DeepPromptLearnerOptions):
    """Context, objective, depth, regularisation and average; the authors' few-shot values."""

    context: int = structural(4, "text prompts M of each layer; the authors' 4", ge=1, le=64)
    visual_context: int = structural(4, "visual prompts P of each layer; the authors' 4", ge=1, le=256)
    text_weight: float = scalar(25.0, "weight of the text features' distance; the authors' 25", **WEIGHT)
    image_weight: float = scalar(10.0, "weight of the image features' distance; the authors' 10", **WEIGHT)
    mean: float = scalar(30.0, "centre of the average in epochs; the authors' 30 or 45 of 50", ge=-1e6, le=1e6)
    deviation: float = scalar(30.0, "width of the average in epochs; the authors' 30 or 5", ge=0.01, le=1e6)
    faithful: bool = structural(
        False, "as the reference runs: CLIP's own weights averaged too, in half, and incomplete batches dropped"
    )
