"""Learned context vectors: the base of every method that learns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import method
from bench.contracts.method import Backbone, ClassTokens
from bench.methods.options.coop import CoOpOptions
from bench.methods.options.prompt_learner import PromptLearnerOptions
from bench.methods.parts.objective import Objective

CONTEXT_STD = 0.02


class PromptLearner(method.Method):
    """What methods with learned context vectors share: the vectors, the text features, the prediction.

    Subclasses bring the loss: `forward`, or the class `Objective` beside this one. The backbone is kept outside
    the module's parameters and buffers, so it is neither trained, nor copied into a pack.
    """

    Options: TypeAlias = PromptLearnerOptions

    options: PromptLearnerOptions
    context: nn.Parameter
    observed: Tensor
    backbone: Backbone
    classes: ClassTokens

    @classmethod
    def texts(cls, options: Any, names: Sequence[str], templates: Sequence[str]) -> tuple[method.Text, ...]:
        """List the class names behind the context, or behind the phrase that starts it; and what the split needs."""
        phrase = options.init.replace("_", " ")
        context = 0 if phrase else options.context
        prompts = [method.Text(f"{phrase} {name}.".replace("_", " ").strip(), context) for name in names]
        return (*prompts, *super().texts(options, names, templates))

    def setup(self, context: method.Context) -> None:
        """Register `context` [M, W] or [C, M, W], N(0, 0.02²) from the stream `init`, and `observed` [N]."""
        self.numbers: dict[str, float] = {}
        object.__setattr__(self, "backbone", context.backbone)
        object.__setattr__(self, "classes", context.backbone.class_tokens(context.class_names))
        self.register_buffer("observed", context.observed.clone())
        generator = context.init.torch()
        self.context = nn.Parameter(self._initial_context(context, generator))
        self.build(context, generator)

    def build(self, context: method.Context, generator: torch.Generator) -> None:
        """Create further parameters, drawn from `generator` after the context, which so starts alike everywhere."""

    def _initial_context(self, context: method.Context, generator: torch.Generator) -> Tensor:
        device = context.observed.device
        if self.options.init:
            start = context.backbone.phrase(self.options.init).detach().clone().to(device)
        else:
            start = torch.empty(self.options.context, context.backbone.width)
        if self.options.class_specific:
            start = start.expand(len(context.class_names), *start.shape).contiguous()
        if not self.options.init:
            start = start.normal_(0, CONTEXT_STD, generator=generator)
        return start.to(device)

    def freeze_words(self, context: method.Context, words: Sequence[str]) -> None:
        """Put words before every class name; they stay what they are."""
        names = [" ".join([*words, name]) for name in context.class_names]
        object.__setattr__(self, "classes", context.backbone.class_tokens(names))

    def encode(self, context: Tensor, classes: ClassTokens | None = None) -> Tensor:
        """Encode contexts [..., M, W] or [..., C, M, W] into class features [..., C, D], not normalised.

        The words beside the context are the class names, or those of `classes`.
        """
        position, class_specific = self.options.position, self.options.class_specific
        return self.backbone.text(context, classes or self.classes, position=position, class_specific=class_specific)

    def text_features(self) -> Tensor:
        """Encode the current context into class features [C, D], not normalised."""
        return self.encode(self.context)

    def logits(self, inputs: method.Inputs) -> Tensor:
        """Compute training logits [B, C]."""
        return method.cosine_logits(self.backbone.scale, inputs.pooled, self.text_features())

    def batch_logits(self, batch: method.Batch) -> Tensor:
        """Compute training logits of a batch, [B, C]."""
        return self.logits(batch.inputs)

    def prepare(self) -> dict[str, Tensor]:
        """Return the normalised class features, "text" [C, D]."""
        return {"text": F.normalize(self.text_features(), dim=-1)}

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits [B, C]."""
        return method.cosine_logits(self.backbone.scale, inputs.pooled, prepared["text"])

    def diagnostics(self) -> dict[str, float]:
        """Return what the method keeps in `numbers`."""
        return dict(self.numbers)


class ObjectivePromptLearner(PromptLearner, Objective):
    """Learned context vectors under a loss and a split that are chosen by options."""

    Options: TypeAlias = CoOpOptions

    options: CoOpOptions

    def setup(self, context: method.Context) -> None:
        """Create the context, and what the split needs."""
        super().setup(context)
        self.prepare_split(context)
