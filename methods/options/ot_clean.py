"""Options of OTClean."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import structural
from bench.methods.options.nlprompt import NLPromptOptions


class OTCleanOptions(NLPromptOptions):
    """NLPrompt's options; the rest is dropped."""

    rest: Literal["drop"] = structural("drop", "always drop")
