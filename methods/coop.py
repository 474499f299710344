"""CoOp: learned context vectors, and the base of every method that learns them."""

from __future__ import annotations

from bench.methods.parts.prompt_learner import ObjectivePromptLearner


class CoOp(ObjectivePromptLearner):
    """Learn M context vectors with cross-entropy.

    Zhou et al., "Learning to Prompt for Vision-Language Models", IJCV 2022 (arXiv 2109.01134).

    Equations: text of class k = [SOS] v_1 … v_M [name_k] [.] [EOT], v ~ N(0, 0.02²) at the start or the
    embeddings of a phrase; logits = s f·t_k with both normalised; loss = mean of -log p_y. Parameters: M·W,
    class-specific C·M·W (ViT-B/16: 8,192; 819,200 at C = 100).

    Defects of the reference decided on: half-precision parameters (steps below 1e-5 round to nothing) are
    float32 here; one global generator is replaced by named streams; seed 0 counts; the last partial batch is
    not dropped; the validation set is not clean by default. Weight decay on the context pulls to zero
    vectors, not to the start: kept, it is the optimizer's setting and equal for all methods.
    """
