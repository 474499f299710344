"""ProGrad: CoOp without the part of its gradient that contradicts zero-shot CLIP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from bench.contracts import method
from bench.errors import BenchError
from bench.methods.coop import CoOp
from bench.methods.options.prograd import ProGradOptions
from bench.methods.parts.losses import masked_mean, soft_cross_entropy
from bench.methods.parts.templates import zero_shot_text, zero_shot_texts

GUIDE = "kl"


def class_last(template: str) -> str:
    """Return the words in front of the class name once it stands last, as in most of ProGrad's own templates.

    "a photo of a {}, a type of pet." gives "a type of pet, a photo of a".

    Raises:
        BenchError: there is no `{}`, or no word beside it.
    """
    before, name, after = template.partition("{}")
    words = ", ".join(part for part in (after.strip(" ,."), before.strip()) if part)
    if not name or not words:
        raise BenchError(
            f'prograd cannot start from the template "{template}"; write words and {{}} for the class name.'
        )
    return words


def without_conflict(gradient: Tensor, guide: Tensor, share: Tensor | float = 1.0) -> Tensor:
    """Remove from a gradient g what contradicts a guide of the same shape.

    g - share <g, d> d with d = guide / |guide|, where <g, guide> < 0; g itself elsewhere, and where guide is 0. `share`
    is lambda, a number or a 0-dimensional tensor.
    """
    norm = torch.linalg.vector_norm(guide)
    direction = guide / torch.where(norm > 0, norm, 1)
    return gradient - share * (gradient * direction).sum().clamp(max=0) * direction


class ProGrad(CoOp):
    """CoOp whose gradient loses what would take the prompt away from zero-shot CLIP.

    Zhu et al., "Prompt-aligned Gradient for Prompt Tuning", ICCV 2023 (arXiv 2205.14865).

    Equations: g = gradient of mean(-log p_y), or of all terms of the objective together; g_kl = gradient of
    mean(-sum_k p0_k log p_k), p0 zero-shot CLIP's probabilities at temperature 1: that of KL(p0 || p). Where
    <g, g_kl> < 0 the step follows g - lambda <g, d> d with d = g_kl / |g_kl|, elsewhere g alone; the divergence itself
    is never minimised. Each parameter is projected by itself. Parameters: M·W (ViT-B/16: 8,192).

    Start: the words before the class name, at the right end of M vectors, zero vectors before them. One text gives the
    start and the teacher: the data set's first template with the class name moved to its end. So arise the authors'
    own templates, except for DTD's "a texture of {}.", which the option `template` takes and `budget =
    "paper"` has.

    Defects of the reference decided on. Repaired unless `faithful`, which is the reference as it runs: it takes as many
    tokens of the start as there are words, so that a comma pushes the last word out of the context and leaves it,
    frozen, before each class name; its loader drops the last batch where it is not full, unless it is the only one. Out
    of it: half precision; division by a norm of 0 (the comparison with NaN that follows happens to leave the same
    step); mixed precision, which differentiates a pair and fails; position middle, which fails. Kept: the projection of
    each tensor by itself; zero vectors, which differ by their positions alone. The authors set lambda to .8 for
    Flowers, DTD and EuroSAT at 8 and 16 shots and to 1 elsewhere: here it is 1.
    """

    Options: TypeAlias = ProGradOptions

    options: ProGradOptions
    faithful_drop_last = True
    projection: Tensor
    teacher: Tensor

    @classmethod
    def needs(cls, options: Any) -> method.Needs:
        """Require the gradient of each term, and what the split needs."""
        return replace(super().needs(options), separate_gradients=True)

    @classmethod
    def texts(cls, options: ProGradOptions, names: Sequence[str], templates: Sequence[str]) -> tuple[method.Text, ...]:
        """List CoOp's prompts, the words that start their context, and the teacher's texts."""
        words = class_last(templates[0] if options.template == "dataset" else options.template)
        start = words if options.init == "template" else options.init
        plain = super().texts(options.model_copy(update={"init": ""}), names, templates)
        return (*plain, *([method.Text(start)] if start else []), *zero_shot_texts(names, (f"{words} {{}}.",)))

    def setup(self, context: method.Context) -> None:
        """Set up as CoOp from the words, and register `teacher`, normalised zero-shot class features [C, D].

        Raises:
            BenchError: the template has no `{}`, or its words are more than the context.
        """
        template = self.options.template
        self.words = class_last(context.templates[0] if template == "dataset" else template)
        super().setup(context)
        self.register_buffer("teacher", zero_shot_text(context, f"{self.words} {{}}."))

    def _initial_context(self, context: method.Context, generator: torch.Generator) -> Tensor:
        options, backbone = self.options, context.backbone
        if not options.init:
            return super()._initial_context(context, generator)
        words = self.words if options.init == "template" else options.init
        vectors = backbone.phrase(words).detach()
        if options.faithful:
            vectors = self._cut(words.split(), vectors, context)
        missing = options.context - len(vectors)
        if missing < 0:
            raise BenchError(
                f'"{words}" takes {len(vectors)} tokens and prograd[context={options.context}] has too few vectors; '
                "choose a larger context or other words."
            )
        start = torch.cat([vectors.new_zeros(missing, backbone.width), vectors]).to(context.observed.device)
        return start.repeat(len(context.class_names), 1, 1) if options.class_specific else start

    def _cut(self, words: list[str], vectors: Tensor, context: method.Context) -> Tensor:
        """Keep as many vectors as words; the last words, one per token beyond, go before the class names."""
        beyond = len(vectors) - len(words)
        if beyond > 0:
            self.freeze_words(context, words[-beyond:])
        return vectors[: len(words)]

    def forward(self, batch: method.Batch) -> method.Losses:
        """Compute the objective's terms and kl, the cross-entropy to zero-shot CLIP, which guides `combine`."""
        logits = self.batch_logits(batch)
        zero_shot = method.cosine_logits(self.backbone.scale, batch.inputs.pooled, self.teacher).softmax(-1)
        guide = masked_mean(soft_cross_entropy(logits, zero_shot), batch.valid, batch.weight)
        return method.Losses(self.objective(logits, batch) | {GUIDE: guide})

    def combine(self, gradients: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Remove from the objective's gradient what contradicts that of kl, for each parameter by itself."""
        own = super().combine({term: gradient for term, gradient in gradients.items() if term != GUIDE})
        guide = gradients[GUIDE]
        return {name: without_conflict(own[name], guide[name], self.projection) for name in own}
