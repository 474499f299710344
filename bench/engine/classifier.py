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
    """Method from `bench.engine.checkpoint.restore`, with its C class names, on the backbone of its restoration."""

    def __init__(self, method: Method, class_names: tuple[str, ...], backbone: Backbone) -> None:
        self.method, self.class_names, self.backbone = method, class_names, backbone
        self.needs = method.needs(method.options)
        self.evaluation = Evaluation(backbone.preprocess)
        with torch.no_grad():
            self.prepared = method.prepare()

    def decoded(self, image: Image.Image) -> Tensor:
        """Decode an image for `logits`, [3, H, W]."""
        return self.evaluation.decoded(image)

    @torch.no_grad()
    def logits(self, decoded: Sequence[Tensor]) -> Tensor:
        """Return class logits of B decoded images, [B, C] float32 on the CPU."""
        pixels = self.evaluation.scaled(torch.stack(list(decoded)).to(self.backbone.device))
        features = self.backbone.image(pixels)
        tokens, images = features.tokens if self.needs.tokens else None, pixels if self.needs.pixels else None
        return self.method.predict(Inputs(features.pooled, tokens, images), self.prepared).float().cpu()
