"""Options of CoOp."""

from __future__ import annotations

from bench.methods.options.objective import ObjectiveOptions
from bench.methods.options.prompt_learner import PromptLearnerOptions


class CoOpOptions(PromptLearnerOptions, ObjectiveOptions):
    """Context and objective."""
