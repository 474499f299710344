"""Cross-entropy on the part that NLPrompt's transport takes for clean, and nothing else."""

from __future__ import annotations

from typing import TypeAlias

from bench.methods.nlprompt import NLPrompt
from bench.methods.options.ot_clean import OTCleanOptions


class OTClean(NLPrompt):
    """NLPrompt without its second half: what the transport rejects is left out.

    A baseline that independent runs of NLPrompt's code ask for: there it beat NLPrompt at high noise on most data
    sets. Pan et al., CVPR 2025 (arXiv 2412.01256), for the split.

    Equations: NLPrompt's split at the start of every epoch; loss = mean CE over the clean part. An epoch whose clean
    part is empty has no step. Parameters: as CoOp.

    Defects of the reference decided on: as NLPrompt. N5 weighs most here: with the reference's drop_last a clean part
    below one batch trains nothing at all, and those runs ended with the untrained prompt; here every sample counts,
    unless `faithful`.
    """

    Options: TypeAlias = OTCleanOptions
