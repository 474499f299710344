"""Classify images with a saved method."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.contracts.method import Inputs, Method
from bench.images.pixels import Evaluation


class Classifier:
    """Method with what else `bench.engine.checkpoint.restore` returns, on the backbone of its restoration.

    Args:
        class_names: C names.
        samples: that it was trained on.
    """

    def __init__(self, method: Method, class_names: tuple[str, ...], samples: int, backbone: Backbone) -> None:
        self.method, self.class_names, self.samples, self.backbone = method, class_names, samples, backbone
        self.needs = method.needs(method.options)
        self.evaluation = Evaluation(backbone.preprocess)
        with torch.no_grad():
            self.prepared = method.prepare()

    def decoded(self, image: Image.Image) -> Tensor:
        """Decode an image for `logits`, [3, H, W]."""
        return self.evaluation.decoded(image)

    @torch.no_grad()
    def logits(self, decoded: Sequence[Tensor], before: int = 0) -> Tensor:
        """Return class logits of B decoded images, [B, C] float32 on the CPU, behind `before` others."""
        pixels = self.evaluation.scaled(torch.stack(list(decoded)).to(self.backbone.device))
        features = self.backbone.image(pixels)
        tokens, images = features.tokens if self.needs.tokens else None, pixels if self.needs.pixels else None
        inputs = Inputs(features.pooled, tokens, images).numbered(self.samples + before)
        return self.method.predict(inputs, self.prepared).float().cpu()
