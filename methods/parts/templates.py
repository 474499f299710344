"""Text features of hand-written templates, and zero-shot logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import method
from bench.errors import BenchError


def template_features(context: method.Context, template: str = "dataset") -> Tensor:
    """Encode class names in a template, or in each of the data set's P: normalised, [C, P, D].

    Raises:
        BenchError: the template has no `{}`.
    """
    templates = context.templates if template == "dataset" else (template,)
    if any("{}" not in text for text in templates):
        raise BenchError(f'the template "{template}" has no "{{}}"; write {{}} where the class name belongs.')
    texts = [text for text, _ in method.filled(templates, context.class_names)]
    with torch.no_grad():
        encoded = F.normalize(context.backbone.text_templates(texts), dim=-1)
    return encoded.view(len(templates), len(context.class_names), -1).transpose(0, 1)


def zero_shot_text(context: method.Context, template: str = "dataset") -> Tensor:
    """Encode normalised class features [C, D] from a text with `{}`, or average over the data set's templates.

    Raises:
        BenchError: the template has no `{}`.
    """
    return F.normalize(template_features(context, template).transpose(0, 1).mean(0), dim=-1)


def zero_shot_texts(
    names: Sequence[str], templates: Sequence[str], template: str = "dataset"
) -> tuple[method.Text, ...]:
    """List the texts that `zero_shot_text` encodes."""
    return method.filled(templates if template == "dataset" else (template,), names)


def zero_shot_logits(context: method.Context) -> Tensor:
    """Compute zero-shot logits of the training set under the data set's templates, [N, C]."""
    return method.cosine_logits(context.backbone.scale, context.train.pooled, zero_shot_text(context))
