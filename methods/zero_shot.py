"""Zero-shot CLIP: hand-written templates, no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.errors import BenchError
from methods import base


def zero_shot_text(context: base.Context, template: str = "dataset") -> Tensor:
    """Normalised class features [C, D] from a text with `{}`, or the mean over the data set's templates.

    Raises:
        BenchError: the template has no `{}`.
    """
    templates = context.templates if template == "dataset" else (template,)
    if any("{}" not in text for text in templates):
        raise BenchError(f'the template "{template}" has no "{{}}"; write {{}} where the class name belongs.')
    texts = [text for text, _ in base.filled(templates, context.class_names)]
    with torch.no_grad():
        encoded = F.normalize(context.backbone.text_templates(texts), dim=-1)
        mean = encoded.view(len(templates), len(context.class_names), -1).mean(0)
    return F.normalize(mean, dim=-1)


def zero_shot_texts(names: Sequence[str], templates: Sequence[str], template: str = "dataset") -> tuple[base.Text, ...]:
    """The texts that `zero_shot_text` encodes."""
    return base.filled(templates if template == "dataset" else (template,), names)


def zero_shot_logits(context: base.Context) -> Tensor:
    """Zero-shot logits of the training set under the data set's templates, [N, C]."""
    return base.cosine_logits(context.backbone.scale, context.train.pooled, zero_shot_text(context))


class ZeroShot(base.Method):
    """Class features from hand-written texts, no training.

    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (arXiv
    2103.00020).

    Equations: t_k = normalise(mean over templates of normalise(encode(template(name_k)))); logits = s f·t_k
    with normalised image features f and the frozen scale s.

    Defects decided on: CoOp's ensemble variant appends to a template list that lives on the class object, so
    it grows with every construction; here the templates are an argument. Underscores in class names become
    spaces, as in CoOp.
    """

    class Options(base.Options):
        """`template` is a text with `{}` for the class name, or "dataset" for all templates of the data set."""

        template: str = base.structural("dataset", 'a text with {} for the class name, or "dataset"')

    options: ZeroShot.Options
    reads_labels: ClassVar[bool] = False
    text: Tensor

    @classmethod
    def texts(cls, options: base.Options, names: Sequence[str], templates: Sequence[str]) -> tuple[base.Text, ...]:
        """Every template with every class name."""
        assert isinstance(options, ZeroShot.Options)  # noqa: S101 - narrows the type
        return zero_shot_texts(names, templates, options.template)

    def setup(self, context: base.Context) -> None:
        """Encode every template and average; registers `text` [C, D].

        Raises:
            BenchError: the template has no `{}`.
        """
        text = zero_shot_text(context, self.options.template)
        self.register_buffer("text", text)
        self.register_buffer("scale", torch.as_tensor(context.backbone.scale).detach().clone())

    def begin_epoch(self, epoch: int, full_pass: base.FullPass) -> tuple[base.Phase, ...]:
        """No phases: nothing is trained."""
        return ()

    def predict(self, inputs: base.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        return base.cosine_logits(self.get_buffer("scale"), inputs.pooled, self.text)
