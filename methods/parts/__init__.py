"""What several methods share: prompt learners, losses, splits, mixing."""

from __future__ import annotations

from bench.rows import Row

LOSSES = (
    Row("ce", "bench.methods.parts.losses:cross_entropy", "cross-entropy, -log p_y"),
    Row("gce", "bench.methods.parts.losses:generalised_cross_entropy", "generalised cross-entropy, (1 - p_y^q) / q",
        paper="Zhang and Sabuncu, NeurIPS 2018, arXiv 1805.07836"),
    Row("mae", "bench.methods.parts.losses:mean_absolute_error", "mean absolute error, 1 - p_y"),
    Row("sce", "bench.methods.parts.losses:symmetric_cross_entropy", "symmetric cross-entropy, a CE + b RCE",
        paper="Wang et al., ICCV 2019, arXiv 1908.06112"),
    Row("double-softmax", "bench.methods.parts.losses:double_softmax_cross_entropy",
        "cross-entropy of softmax(logits) taken as logits", paper="DSPT, ICML 2026, arXiv 2605.00591"),
    Row("label-smoothing", "bench.methods.parts.losses:smoothed_cross_entropy",
        "cross-entropy to labels with a uniform tenth", paper="Lukasik et al., ICML 2020, arXiv 2003.02819"),
)  # fmt: skip
SPLITS = (
    Row("ot", "bench.methods.parts.splits:nlprompt_split", "optimal transport to the classes confirms the label",
        paper="Pan et al., CVPR 2025, arXiv 2412.01256"),
    Row("argmax", "bench.methods.parts.splits:argmax_split", "the prediction is the label"),
    Row("mixture", "bench.methods.parts.splits:mixture_split", "two Gaussians on the losses",
        paper="Li et al., ICLR 2020, arXiv 2002.07394"),
    Row("small-loss", "bench.methods.parts.splits:small_loss_split",
        "the smallest losses, as many as are clean (oracle)"),
    Row("zero-shot", "bench.methods.parts.splits:zero_shot_split", "zero-shot CLIP agrees with the label, once"),
    Row("clipcleaner", "bench.methods.parts.clipcleaner:clipcleaner_split",
        "zero-shot CLIP and a regression on the features agree with the label, once",
        paper="Feng et al., ACM MM 2024, arXiv 2408.10012"),
)  # fmt: skip
