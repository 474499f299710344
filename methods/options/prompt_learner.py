"""Options of PromptLearner."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import Options, structural


class PromptLearnerOptions(Options):
    """Shape and start of the context; CoOp's defaults."""

    context: int = structural(16, "context vectors M; CoOp's default 16", "init=", ge=1, le=64)
    class_specific: bool = structural(False, "one context per class instead of a shared one")
    init: str = structural("", "words whose embeddings start the context (M is then their count)")
    position: Literal["end", "middle", "front"] = structural("end", "where the class name stands")
