"""PLOT: several prompts per class, matched to patch tokens by optimal transport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import method
from bench.methods.coop import CoOp
from bench.methods.options.plot import PLOTOptions
from bench.methods.parts.prompt_learner import CONTEXT_STD

THRESHOLD = 1e-2  # the authors' stopping rule


def _sweep(kernel: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """Update the tokens' scaling [..., 1, T] and then the prompts' [..., N, 1]; uniform marginals."""
    prompts, tokens = kernel.shape[-2:]
    row = 1 / tokens / (kernel * column).sum(-2, keepdim=True)
    return row, 1 / prompts / (kernel * row).sum(-1, keepdim=True)


def transport_plan(similarity: Tensor, epsilon: Tensor | float, iterations: int) -> Tensor:
    """Compute Sinkhorn's plan at cost 1 - similarity, marginals uniform, in a fixed number of iterations.

    Without gradient. In the plain domain: cosines keep the kernel above exp(-2 / epsilon), which is why `epsilon`, the
    weight of the entropy, must be at least 0.025 in float32. Cosines [..., N, T] of N prompts and T tokens; the plan is
    of the same shape and sums to 1, to 1/N exactly over the tokens of each prompt.
    """
    kernel = ((similarity.detach() - 1) / epsilon).exp()
    row = column = torch.ones_like(kernel[..., :1])
    for _ in range(iterations):
        row, column = _sweep(kernel, column)
    return kernel * row * column


def reference_plan(similarity: Tensor, epsilon: Tensor | float, iterations: int, valid: Tensor) -> tuple[Tensor, int]:
    """Compute the same plan [B, C, N, T] as the authors stop it, and the iterations used.

    They stop, at the latest after `iterations`, when the tokens' scaling changes by less than 0.01 on average over the
    batch; padding, where `valid` [B] is False, has no say. Similarity [B, C, N, T].
    """
    kernel = ((similarity.detach() - 1) / epsilon).exp()
    row, column, used = torch.ones_like(kernel[..., :1, :]), torch.ones_like(kernel[..., :1]), 0
    while used < iterations:
        before = row
        row, column = _sweep(kernel, column)
        used += 1
        if not bool((row - before).abs()[valid].mean() >= THRESHOLD):
            break
    return kernel * row * column, used


class PLOT(CoOp):
    """N prompts per class, matched to the patch tokens of an image by optimal transport.

    Chen et al., "PLOT: Prompt Learning with Optimal Transport for Vision-Language Models", ICLR 2023 (arXiv
    2210.01253).

    Equations: V the normalised patch tokens [T, D] of an image (a ResNet's attention pool, asked by every position),
    t_nk the normalised text features of N contexts; for each image and class a plan P [N, T] that minimises
    <P, 1 - t V'> - epsilon H(P) with uniform marginals (Sinkhorn, epsilon = .1), taken as a constant; logits =
    s sum(P * t V'). `pooled`, the authors' form for ImageNet, adds s f·t_k with t_k the normalised mean of the text
    features of the N prompts. Parameters: N·M·W (ViT-B/16, N = 4, M = 16: 32,768).

    Defects of the reference decided on. Repaired unless `faithful`, which is the reference as it runs: Sinkhorn stops,
    before its 100th iteration, when its scaling changes little on average over the batch, so that a logit depends on
    its batch mates (here all `iterations` are run); its loader drops the last batch where it is not full, unless it is
    the only one. Under `faithful` evaluation depends on the batch as well. Out of it:
    half-precision Sinkhorn, whose plan may be no number, and then nothing is returned; middle and front positions and
    class-specific contexts, wrong or failing for N > 1. A phrase as start, which would make all prompts equal for good,
    is refused. PLOT++, with prompts in the image tower too, is left out.
    """

    Options: TypeAlias = PLOTOptions

    options: PLOTOptions
    faithful_drop_last = True
    entries: ClassVar[int] = 2**23  # similarities, or features of tokens, in a prediction at a time: 32 MiB a copy
    epsilon: Tensor

    @classmethod
    def needs(cls, options: PLOTOptions) -> method.Needs:
        """Require patch tokens, and what the split needs."""
        return replace(super().needs(options), tokens=True)

    def _initial_context(self, context: method.Context, generator: torch.Generator) -> Tensor:
        """Draw [N, M, W], or [N, C, M, W] where class-specific, N(0, 0.02²)."""
        classes = [len(context.class_names)] if self.options.class_specific else []
        start = torch.empty(self.options.prompts, *classes, self.options.context, context.backbone.width)
        return start.normal_(0, CONTEXT_STD, generator=generator).to(context.observed.device)

    def prepare(self) -> dict[str, Tensor]:
        """Return normalised class features of the prompts, "text" [N, C, D], and of their mean, "mean_text" [C, D]."""
        text = self.text_features()
        return {"text": F.normalize(text, dim=-1), "mean_text": F.normalize(text.mean(0), dim=-1)}

    def similarity(self, tokens: Tensor | None, text: Tensor) -> Tensor:
        """Compute cosines [B, C, N, T] of tokens [B, T, D] and normalised text [N, C, D]."""
        if tokens is None:
            raise TypeError("plot was handed features without patch tokens")
        return torch.einsum("btd,ncd->bcnt", F.normalize(tokens, dim=-1), text).contiguous()

    def matched(self, inputs: method.Inputs, prepared: Mapping[str, Tensor], valid: Tensor) -> Tensor:
        """Compute logits [B, C]; `valid` [B] says whom the authors' stopping rule heeds."""
        options, scale = self.options, self.backbone.scale
        similarity = self.similarity(inputs.tokens, prepared["text"])
        if options.faithful:
            plan, _ = reference_plan(similarity, self.epsilon, options.iterations, valid)
        else:
            plan = transport_plan(similarity, self.epsilon, options.iterations)
        logits = scale * (plan * similarity).sum((-2, -1))
        return logits + method.cosine_logits(scale, inputs.pooled, prepared["mean_text"]) if options.pooled else logits

    def batch_logits(self, batch: method.Batch) -> Tensor:
        """Compute training logits [B, C]."""
        return self.matched(batch.inputs, self.prepare(), batch.valid)

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits [B, C] of as many images at a time as memory allows."""
        tokens = 1 if inputs.tokens is None else inputs.tokens.shape[1]
        prompts, width = prepared["text"].shape[:2].numel(), prepared["text"].shape[2]
        size = max(self.entries // (tokens * max(prompts, width)), 1)
        everyone = torch.ones(size, dtype=torch.bool, device=inputs.pooled.device)
        logits = []
        for start in range(0, len(inputs), size):
            self.check_time()
            chunk = inputs.take(slice(start, start + size))
            logits.append(self.matched(chunk, prepared, everyone[: len(chunk)]))
        return torch.cat(logits)
