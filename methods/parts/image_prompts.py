"""What methods with prompts in the image tower share, beside CoOp's context: `maple`, `promptsrc`, `deft`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import method
from bench.errors import BenchError
from bench.methods.options.image_prompts import DeepPromptLearnerOptions, ImagePromptLearnerOptions
from bench.methods.parts.prompt_learner import CONTEXT_STD, ObjectivePromptLearner


class ImagePromptLearner(ObjectivePromptLearner):
    """Context vectors in the text, prompts in the image tower, and any loss or split of `Objective`.

    Subclasses bring `visual`. The pooled features of a batch are the frozen model's and are not used here.
    """

    Options: TypeAlias = ImagePromptLearnerOptions

    norm: ClassVar[bool] = True  # whether the first visual prompts pass the normalisation before the first layer

    @classmethod
    def needs(cls, options: Any) -> method.Needs:
        """Require the images, and what the split asks for."""
        return replace(super().needs(options), pixels=True)

    def visual(self) -> Tensor:
        """Return visual prompts of the first layers, [J, P, Wv]."""
        raise NotImplementedError

    def image_features(self, inputs: method.Inputs, visual: Tensor) -> Tensor:
        """Encode images under visual prompts [J, P, Wv] into features [B, D], not normalised."""
        first, *deep = visual.unbind(0)
        return self.backbone.image(inputs.images(), first, deep, self.norm, tokens=False).pooled

    def logits(self, inputs: method.Inputs) -> Tensor:
        """Compute training logits [B, C]."""
        image = self.image_features(inputs, self.visual())
        return method.cosine_logits(self.backbone.scale, image, self.text_features())

    def prepare(self) -> dict[str, Tensor]:
        """Return the normalised class features "text" [C, D], and "visual" [J, P, Wv]."""
        return super().prepare() | {"visual": self.visual()}

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits [B, C]."""
        image = self.image_features(inputs, prepared["visual"])
        return method.cosine_logits(self.backbone.scale, image, prepared["text"])


class DeepPromptLearner(ImagePromptLearner):
    """The same with prompts in the deeper layers of the text tower too, which replace the context there.

    The first M words of the phrase start the context. The others stay what they are, frozen, before the class name.
    """

    Options: TypeAlias = DeepPromptLearnerOptions

    options: DeepPromptLearnerOptions
    deep: nn.Parameter | None

    def setup(self, context: method.Context) -> None:
        """Set up as CoOp, with the words of the phrase that are left over in front of the class names.

        Raises:
            BenchError: the phrase's first M words are not M tokens, or the image tower takes no prompts.
        """
        super().setup(context)
        self.freeze_words(context, self.options.init.replace("_", " ").split()[self.options.context :])

    def _initial_context(self, context: method.Context, generator: torch.Generator) -> Tensor:
        options, device = self.options, context.observed.device
        if not options.init:
            return super()._initial_context(context, generator)
        words = options.init.replace("_", " ").split()[: options.context]
        start = context.backbone.phrase(" ".join(words)).detach().clone().to(device)
        if len(start) != options.context:
            raise BenchError(
                f'the first {options.context} words of init = "{options.init}" are {len(start)} tokens; '
                f"expected {options.context}: write a phrase of common words, or change context."
            )
        return start

    def build(self, context: method.Context, generator: torch.Generator) -> None:
        """Draw `deep` [J - 1, M, W], N(0, 0.02²), where J exceeds 1."""
        depth = min(self.options.depth, self.text_depth(context))
        shape = depth - 1, self.options.context, context.backbone.width
        deep = torch.empty(shape).normal_(0, CONTEXT_STD, generator=generator).to(context.observed.device)
        self.register_parameter("deep", nn.Parameter(deep) if depth > 1 else None)

    def text_depth(self, context: method.Context) -> int:
        """Count the layers of the text tower that take prompts."""
        return context.backbone.text_layers

    def text_features(self) -> Tensor:
        """Encode the current prompts into class features [C, D], not normalised."""
        deep = () if self.deep is None else self.deep.unbind(0)
        return self.backbone.text(self.context, self.classes, deep=deep)

    def all_text_prompts(self) -> Tensor:
        """Return context and deep prompts, [J, M, W]."""
        first = self.context.unsqueeze(0)
        return first if self.deep is None else torch.cat([first, self.deep])


def normalised(image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """Scale the rows of both to length 1."""
    return F.normalize(image, dim=-1), F.normalize(text, dim=-1)
