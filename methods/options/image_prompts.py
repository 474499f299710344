"""Options of ImagePromptLearner and DeepPromptLearner."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import PerImage, structural
from bench.methods.options.coop import CoOpOptions


class ImagePromptLearnerOptions(CoOpOptions):
    """Context and objective."""

    @property
    def per_image(self) -> PerImage:
        """Pixels: prompts are trained in the image tower, too."""
        return "pixels"


class DeepPromptLearnerOptions(ImagePromptLearnerOptions):
    """A shared context before the name, started from a phrase."""

    init: str = structural("a photo of a", "phrase whose first M words start the context; empty: random")
    class_specific: Literal[False] = structural(False, "always false: deep prompts are shared")
    position: Literal["end"] = structural("end", "always end: deep prompts replace the first positions")
    depth: int = structural(
        9, "layers J of each tower with prompts, at most as many as it has; the authors' 9", ge=1, le=1000
    )
