"""A method that is no prompt learner: the class whose training images are nearest on average."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

import bench


class NearestMean(bench.Method):
    """Classify by the nearest mean feature of the training images of each class; nothing is trained.

    Equations: m_k = normalised mean of the normalised image features with observed label k; logits = s f·m_k, s the
    backbone's scale. A class without a training image has logits of 0. Parameters: 0.
    """

    class Options(bench.Options):
        """How much the means are drawn towards each other."""

        shrink: float = bench.scalar(0.0, "share of the mean of all images in every class mean", ge=0, lt=1)

    means: Tensor
    scale: Tensor
    shrink: Tensor

    def setup(self, context: bench.Context) -> None:
        """Register `means` [C, D] of the training images; what is computed here needs no training."""
        features = F.normalize(context.train.pooled, dim=-1)  # [N, D]
        member = F.one_hot(context.observed, len(context.class_names)).to(features)  # [N, C]
        own = member.mT @ features / member.sum(0).clamp(min=1)[:, None]
        self.register_buffer("means", F.normalize(torch.lerp(own, features.mean(0), self.shrink), dim=-1))
        self.register_buffer("scale", torch.as_tensor(context.backbone.scale).detach().clone())

    def begin_epoch(self, epoch: int, full_pass: bench.FullPass) -> tuple[bench.Phase, ...]:
        """No phases: nothing is trained."""
        return ()

    def predict(self, inputs: bench.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        return self.scale * F.normalize(inputs.pooled, dim=-1) @ self.means.mT
