"""Options of MaPLe."""

from __future__ import annotations

from bench.contracts.options import structural
from bench.methods.options.image_prompts import DeepPromptLearnerOptions


class MaPLeOptions(DeepPromptLearnerOptions):
    """Context, objective, depth and start."""

    context: int = structural(2, "prompts M of each layer; the authors' 2", ge=1, le=64)
    faithful: bool = structural(
        False, "as the reference runs: deep projections start as copies of one draw, incomplete batches dropped"
    )
