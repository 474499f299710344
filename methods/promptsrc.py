"""PromptSRC: independent prompts in both towers, held to what frozen CLIP says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import method
from bench.contracts.method import Backbone
from bench.lockstep import inner_products
from bench.methods.options.promptsrc import PromptSRCOptions
from bench.methods.parts.image_prompts import DeepPromptLearner, normalised
from bench.methods.parts.losses import masked_mean
from bench.methods.parts.prompt_learner import CONTEXT_STD

TEMPLATES = 60
WIDE = ("positional_embedding", "class_embedding", "ln_", "logit_scale")  # what CLIP keeps in float32


def teacher_texts(names: Sequence[str], count: int = TEMPLATES) -> tuple[method.Text, ...]:
    """List the first of CLIP's templates for ImageNet with every class name."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return method.filled([template("{}") for template in OPENAI_IMAGENET_TEMPLATES[:count]], names)


def teacher_text(context: method.Context, count: int = TEMPLATES) -> Tensor:
    """Encode frozen class features [C, D]: the mean over templates, normalised after the mean and not before.

    The reference's 60 templates are the first 60 of CLIP's 80 for ImageNet, in another order.
    """
    texts = [text for text, _ in teacher_texts(context.class_names, count)]
    encoded = context.backbone.text_templates(texts).view(count, len(context.class_names), -1)
    return F.normalize(encoded.mean(0), dim=-1)


def gaussian_weights(epochs: int, mean: Tensor | float, deviation: Tensor | float) -> Tensor:
    """Compute weights of the epochs 1 … E, [E], float64: a Gaussian that sums to 1, however far its mean."""
    distance = (torch.arange(1, epochs + 1, dtype=torch.float64) - mean) / deviation
    return (-0.5 * distance**2).softmax(0)


def re_summed(weight: Tensor, shares: Sequence[float], dtype: torch.dtype) -> Tensor:
    """Add up share · weight over the epochs for a weight that never changed, rounded to `dtype` at every step."""
    narrow = weight.to(dtype)
    total = narrow * shares[0]
    for share in shares[1:]:
        total = narrow * share + total
    return total.to(weight.dtype)


def re_summed_backbone(backbone: Backbone, shares: Sequence[float]) -> Backbone:
    """Create a private copy of CLIP as the reference's average leaves it: matrices and embeddings re-summed in half."""

    def change(name: str, weight: Tensor) -> Tensor:
        wide = any(part in name for part in WIDE)
        return re_summed(weight, shares, torch.float32 if wide else torch.float16)

    return backbone.changed(change)


class PromptSRC(DeepPromptLearner):
    """Deep prompts in both towers, regularised towards frozen CLIP and averaged over the epochs.

    Khattak et al., "Self-regulating Prompts: Foundational Model Adaptation without Forgetting", ICCV 2023 (arXiv
    2307.06948).

    Equations: prompts as in MaPLe, but the visual ones are free. With f, t normalised, f⁰ frozen CLIP's
    feature of the same image, t⁰ the normalised mean of its text encodings over 60 templates, p⁰ = softmax(s f⁰·t⁰):
    loss = CE + 25 · mean |t - t⁰| over C·D entries + 10 · mean |f - f⁰| over B·D + KL(p⁰ || p) / (B·C).
    Final prompts = sum of g_e θ_e over the epochs' ends, g Gaussian in e = 1 … E with sum 1. Start: context = the
    embeddings of "a photo of a", all others N(0, 0.02²). Parameters: J·M·W + J·P·Wv (ViT-B/16, J = 9,
    M = P = 4: 46,080).

    Defects of the reference decided on. Kept: KL is divided by C too, so it weighs C times less than a mean over the
    batch. Repaired unless `faithful`, which is the reference as it runs but for half precision elsewhere: the average
    runs over the whole half-precision state, so that CLIP's frozen weights come back re-summed with rounding, and the
    context is summed in half (here only the prompts are averaged, in float32); its loader drops the last batch where it
    is not full, unless it is the only one. Out of it: the mixed-precision branch, which takes no step. Mean and
    deviation of g are chosen by data set in the paper (30, 30 or 45, 5 of 50 epochs); 30, 30 serve all here, in epochs
    whatever E is. J is capped at the layers of each tower. A ResNet has no place for visual prompts: an error.
    """

    Options: TypeAlias = PromptSRCOptions

    options: PromptSRCOptions
    faithful_drop_last = True
    visual_prompts: nn.Parameter
    teacher: Tensor
    shares: Tensor
    text_weight: Tensor
    image_weight: Tensor
    mean: Tensor
    deviation: Tensor

    @classmethod
    def texts(cls, options: Any, names: Sequence[str], templates: Sequence[str]) -> tuple[method.Text, ...]:
        """List CoOp's prompts, and the teacher's texts."""
        return (*super().texts(options, names, templates), *teacher_texts(names))

    def build(self, context: method.Context, generator: torch.Generator) -> None:
        """Create deep text prompts, `visual_prompts` [J, P, Wv], the teacher's class features, the epochs' weights."""
        super().build(context, generator)
        depth = min(self.options.depth, context.backbone.vision_layers)
        visual = torch.empty(depth, self.options.visual_context, context.backbone.vision_width)
        visual.normal_(0, CONTEXT_STD, generator=generator)
        self.visual_prompts = nn.Parameter(visual.to(context.observed.device))
        self.register_buffer("teacher", teacher_text(context))
        self.register_buffer("shares", gaussian_weights(context.epochs, self.mean.double(), self.deviation.double()))
        for name, parameter in self.named_parameters():
            half = self.options.faithful and name == "context"
            self.register_buffer(f"average_{name}", torch.zeros_like(parameter, dtype=torch.half if half else None))

    def visual(self) -> Tensor:
        """Return the visual prompts, [J, P, Wv]."""
        return self.visual_prompts

    def forward(self, batch: method.Batch) -> method.Losses:
        """Compute the objective's terms, and text, image and kl."""
        valid, scale = batch.valid, self.backbone.scale
        image, text = normalised(self.image_features(batch.inputs, self.visual()), self.text_features())
        logits = inner_products(scale * image, text)
        frozen = F.normalize(batch.inputs.pooled, dim=-1)
        reference = inner_products(scale * frozen, self.teacher).log_softmax(-1)
        divergence = (reference.exp() * (reference - logits.log_softmax(-1))).mean(-1)
        regularisers = {
            "text": torch.where(valid.any(), self.text_weight * (text - self.teacher).abs().mean(), 0),
            "image": self.image_weight * masked_mean((image - frozen).abs().mean(-1), valid, batch.weight),
            "kl": masked_mean(divergence, valid, batch.weight),
        }
        return method.Losses(self.objective(logits, batch) | regularisers)

    @torch.no_grad()
    def end_epoch(self, epoch: int) -> None:
        """Add the epoch's share of every prompt to its average."""
        share = float(self.shares[epoch - 1])
        for name, parameter in self.named_parameters():
            average = self.get_buffer(f"average_{name}")
            average.add_(parameter.to(average.dtype) * share)

    @torch.no_grad()
    def finalize(self, validation: tuple[method.Inputs, Tensor] | None) -> None:
        """Put the averages in the prompts' place; `faithful`: and re-summed weights in CLIP's."""
        for name, parameter in self.named_parameters():
            parameter.copy_(self.get_buffer(f"average_{name}"))
        if self.options.faithful:
            backbone = re_summed_backbone(self.backbone, self.shares.tolist())
            object.__setattr__(self, "backbone", backbone)
            object.__setattr__(self, "classes", backbone.class_tokens(self.classes.names))
