"""UPL: CoOp on pseudo-labels of the whole unlabelled training split."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import method
from bench.errors import BenchError
from bench.methods.coop import CoOp
from bench.methods.options.upl import UPLOptions
from bench.methods.parts.losses import masked_mean
from bench.methods.parts.templates import zero_shot_text, zero_shot_texts


def pseudo_labels(logits: Tensor, per_class: int) -> tuple[Tensor, Tensor]:
    """Select the most confident samples of each *predicted* class: logits [N, C] to positions [P] and labels [P].

    Confidence is the probability of the predicted class, compared by its log-odds, which do not round; equals stand in
    the order of the samples. A class predicted fewer than `per_class` times keeps what it has.
    """
    highest, predicted = logits.double().max(1)
    others = logits.double().scatter(1, predicted.unsqueeze(1), -math.inf).logsumexp(1)
    return first_of_each((highest - others).argsort(descending=True, stable=True), predicted, per_class)


def first_of_each(order: Tensor, predicted: Tensor, per_class: int) -> tuple[Tensor, Tensor]:
    """Select the first `per_class` samples of each predicted class, positions [P] and labels [P].

    Args:
        order: [N], the samples' positions.
        predicted: [N], their predicted classes.
        per_class: K.
    """
    ranked = predicted[order]
    positions = torch.cat([order[ranked == label][:per_class] for label in range(int(predicted.max()) + 1)])
    return positions, predicted[positions]


class UPL(CoOp):
    """Learn context vectors on what zero-shot CLIP is surest of, without any given label.

    Huang, Chu, Wei, "Unsupervised Prompt Learning for Vision-Language Models", arXiv 2204.03649.

    Equations: p = softmax of the zero-shot logits of every image of the training split; per predicted class the
    K = 16 images of largest p; CoOp with cross-entropy on these images and predictions, in the place of the training
    set. With `members` E > 1, E contexts that differ in their start see the same batches, each minimises its own mean
    loss, and the prediction is the mean of their logits. Parameters: E·M·W (ViT-B/16: 8,192 per member).

    A reference line in a noisy benchmark: it never reads the observed labels, so all rates of noise give one number.
    It sees more images than the few shots that all others see, and no label of any. The budget counts epochs of
    its up to K·C images.

    Decided: E = 1, where the paper has 16 (16 seeds, its own order and crops each): every step costs E times the
    text tower, and the budget is to be equal; `budget = "paper"` has 16. The paper's UPL* averages the
    probabilities of eight backbones: one backbone here.

    Defects of the reference decided on: a class that is never predicted gets no data and one with fewer than K
    predictions stays short: kept, it is the method, and counted in the diagnostics. What its labelling stores as logits
    are probabilities, harmless there; its ensemble averages logits, `average=probabilities` the probabilities.
    Files are found by the text "/data/" in their paths and seeds that are missing are left out of the ensemble in
    silence: neither exists here. Equal confidences fall in arbitrary order there, in the pool's order here.
    """

    Options: TypeAlias = UPLOptions

    options: UPLOptions
    reads_labels: ClassVar[bool] = False
    chosen: tuple[method.Inputs, Tensor]

    @classmethod
    def needs(cls, options: Any) -> method.Needs:  # noqa: ARG003
        """Require the unlabelled training split."""
        return method.Needs(pool=True)

    @classmethod
    def texts(cls, options: Any, names: Sequence[str], templates: Sequence[str]) -> tuple[method.Text, ...]:
        """List CoOp's prompts, and the data set's templates with every class name."""
        return (*super().texts(options, names, templates), *zero_shot_texts(names, templates))

    def setup(self, context: method.Context) -> None:
        """Create the contexts, [E, M, W] or [E, C, M, W], and choose the pseudo-labels of the pool.

        Raises:
            BenchError: several members would start from one phrase, and stay one.
        """
        if self.options.init and self.options.members > 1:
            raise BenchError(
                f"init={self.options.init} beside members={self.options.members}: members that start alike stay alike; "
                "leave out init, or members."
            )
        super().setup(context)
        assert context.pool is not None  # noqa: S101 - declared
        logits = method.cosine_logits(context.backbone.scale, context.pool.pooled, zero_shot_text(context))
        positions, labels = self.pick(logits, context)
        self.chosen = context.pool.take(positions), labels
        counts = labels.bincount(minlength=len(context.class_names))
        self.numbers = {
            "pseudo_labels": float(len(labels)),
            "classes_without_data": float((counts == 0).sum()),
            "classes_short_of_data": float((counts < self.options.per_class).sum()),
        }

    def pick(self, logits: Tensor, context: method.Context) -> tuple[Tensor, Tensor]:
        """Choose positions in the pool [P] and pseudo-labels [P] from its zero-shot logits, [N, C]."""
        return pseudo_labels(logits, self.options.per_class)

    def _initial_context(self, context: method.Context, generator: torch.Generator) -> Tensor:
        """Draw the members' starts, [E, M, W] or [E, C, M, W]."""
        members = range(self.options.members)
        return torch.stack([super(UPL, self)._initial_context(context, generator) for _ in members])

    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        """Return one phase of the pseudo-labelled images."""
        labels = self.chosen[1]
        return (replace(method.everything(len(labels), labels.device), own=self.chosen),)

    def batch_logits(self, batch: method.Batch) -> Tensor:
        """Compute training logits of every member, [E, B, C]."""
        return self.member_logits(batch.inputs, F.normalize(self.text_features(), dim=-1))

    def member_logits(self, inputs: method.Inputs, text: Tensor) -> Tensor:
        """Compute logits [E, B, C] against normalised class features [E, C, D]."""
        return self.backbone.scale * F.normalize(inputs.pooled, dim=-1) @ text.mT

    def objective(self, logits: Tensor, batch: method.Batch) -> dict[str, Tensor]:
        """Add up the members' mean losses, so that each gets its own gradient. Logits [E, B, C]."""
        name: str = self.options.loss
        values = self.sample_loss(name, logits, batch.observed.expand(self.options.members, -1))
        return {name: masked_mean(values.mT, batch.valid, batch.weight).sum()}

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Average the members' logits, or take the log of their mean probability; [B, C]."""
        logits = self.member_logits(inputs, prepared["text"])
        if self.options.average == "logits":
            return logits.mean(0)
        return logits.log_softmax(-1).logsumexp(0) - math.log(self.options.members)
