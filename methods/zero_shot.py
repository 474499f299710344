"""Zero-shot CLIP: hand-written templates, no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from bench.contracts import method
from bench.methods.options.zero_shot import ZeroShotOptions
from bench.methods.parts.templates import zero_shot_text, zero_shot_texts


class ZeroShot(method.Method):
    """Class features from hand-written texts, no training.

    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (arXiv
    2103.00020).

    Equations: t_k = normalise(mean over templates of normalise(encode(template(name_k)))); logits = s f·t_k
    with normalised image features f and the frozen scale s.

    Defects decided on: CoOp's ensemble variant appends to a template list that lives on the class object, so
    it grows with every construction; here the templates are an argument. Underscores in class names become
    spaces, as in CoOp.
    """

    Options: TypeAlias = ZeroShotOptions

    options: ZeroShotOptions
    reads_labels: ClassVar[bool] = False
    text: Tensor
    scale: Tensor

    @classmethod
    def texts(cls, options: ZeroShotOptions, names: Sequence[str], templates: Sequence[str]) -> tuple[method.Text, ...]:
        """List every template with every class name."""
        return zero_shot_texts(names, templates, options.template)

    def setup(self, context: method.Context) -> None:
        """Register `text` [C, D], the mean of the encoded templates.

        Raises:
            BenchError: the template has no `{}`.
        """
        self.register_buffer("text", zero_shot_text(context, self.options.template))
        self.register_buffer("scale", torch.as_tensor(context.backbone.scale).detach().clone())

    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        """Return no phase: nothing is trained."""
        return ()

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits [B, C]."""
        return method.cosine_logits(self.scale, inputs.pooled, self.text)
