"""KgCoOp: learned class features kept near hand-written ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import method
from bench.methods.coop import CoOp
from bench.methods.options.kgcoop import KgCoOpOptions
from bench.methods.parts.templates import zero_shot_text, zero_shot_texts


class KgCoOp(CoOp):
    """CoOp with a pull of the learned class features towards those of hand-written texts.

    Yao et al., "Visual-Language Prompt Tuning with Knowledge-guided Context Optimization", CVPR 2023 (arXiv
    2303.13283).

    Equations: loss = mean of -log p_y + w (1 - mean over k of t_k·t0_k), t_k and t0_k normalised, t0_k the frozen
    feature of the hand-written text of class k. The authors' scripts say w = 8, as the paper; their configuration's
    default is 1: `kgcoop[w=1]`. Parameters: M·W (ViT-B/16, M = 4: 2,048).

    The hand-written texts are those of the data set, as for zero-shot CLIP; several are averaged. The authors keep a
    table of their own, which differs from the usual one in DTD alone ("a photo of a {}, a type of texture."): the
    option `template` takes it, and under `budget = "paper"` has it.

    Defects of the reference decided on: its mixed-precision branch takes the cross-entropy of a pair and fails, so here
    the pull is always there; it drops the last partial batch of 128, so that a small set has one step in an epoch (here
    none is dropped but where the cell says so, `drop_last`, as its paper budget does); its unused network, adapter and
    bias are left out. The pull does not depend on the batch and acts in every step that has a sample, whatever a split
    decides.
    """

    Options: TypeAlias = KgCoOpOptions

    options: KgCoOpOptions
    anchor: Tensor
    w: Tensor

    @classmethod
    def texts(cls, options: KgCoOpOptions, names: Sequence[str], templates: Sequence[str]) -> tuple[method.Text, ...]:
        """List CoOp's prompts, and the texts that they are kept near."""
        return (*super().texts(options, names, templates), *zero_shot_texts(names, templates, options.template))

    def setup(self, context: method.Context) -> None:
        """Set up as CoOp, and register `anchor` [C, D], normalised.

        Raises:
            BenchError: the template has no `{}`.
        """
        super().setup(context)
        self.register_buffer("anchor", zero_shot_text(context, self.options.template))

    def distance(self, text: Tensor) -> Tensor:
        """Compute 1 - mean cosine of class features [C, D] to their anchors, 0-dimensional."""
        return 1 - (F.normalize(text, dim=-1) * self.anchor).sum(-1).mean()

    def forward(self, batch: method.Batch) -> method.Losses:
        """Compute the objective's terms and anchor, w · `distance`, 0 where the batch has no sample."""
        text = self.text_features()
        logits = method.cosine_logits(self.backbone.scale, batch.inputs.pooled, text)
        pull = torch.where(batch.valid.any(), self.w * self.distance(text), 0)
        return method.Losses(self.objective(logits, batch) | {"anchor": pull})
