"""Options of CoCoOp."""

from __future__ import annotations

from bench.contracts.options import PerImage, structural
from bench.methods.options.coop import CoOpOptions


class CoCoOpOptions(CoOpOptions):
    """CoOp's options; the context starts from a phrase."""

    context: int = structural(4, "context vectors M where no phrase starts them; CoCoOp's 4", "init=", ge=1, le=64)
    init: str = structural("a photo of a", "words that start the context, CoCoOp's; empty: random")

    @property
    def per_image(self) -> PerImage:
        """Texts: each image shifts the context."""
        return "texts"
