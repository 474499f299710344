"""CoOp with cross-entropy that takes probabilities for logits."""

from __future__ import annotations

from typing import TypeAlias

from bench.methods.coop import CoOp
from bench.methods.options.double_softmax import DoubleSoftmaxOptions


class DoubleSoftmax(CoOp):
    """CoOp whose cross-entropy sees softmax(logits) where logits belong, which bounds every gradient.

    Li et al., "Intrinsic Gradient Suppression for Label-Noise Prompt Tuning in Vision-Language Models", DSPT, ICML 2026
    (PMLR v306, arXiv 2605.00591). No repository was found, and its abstract and first page alone could be read here:
    its prompt learner is taken to be CoOp's. "A near-optimal initialization", as the abstract says of CLIP, hints at a
    context that starts from a phrase: `double-softmax[init="a photo of a"]`; the default is CoOp's random start.

    Equations: CoOp's logits z; loss = mean of -log softmax(softmax(z))_y. No hyper-parameter. The inner probabilities
    lie in [0, 1], so a sample that the model confidently rejects has almost no gradient. Parameters: as CoOp.

    Defects of the reference decided on: none known, there is no reference. NLPrompt's transport has the same double
    softmax in its cost by mistake (N1).
    """

    Options: TypeAlias = DoubleSoftmaxOptions
