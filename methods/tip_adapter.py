"""Tip-Adapter: a key-value cache of the training features beside zero-shot CLIP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import method
from bench.errors import BenchError
from bench.lockstep import inner_products, products
from bench.methods.options.tip_adapter import TipAdapterOptions, TipCacheOptions
from bench.methods.parts.templates import zero_shot_text, zero_shot_texts

SCALE = 100.0  # written out in the reference, whatever the weights' own temperature: alpha is measured against it
CROP = 0.5  # least share of the area in the reference's views; CoOp's is 0.08
LOWEST = 0.1  # where both of the reference's grids begin


def cache_keys(views: Tensor) -> Tensor:
    """Average features [V, N, D], not normalised, over V views into normalised keys [N, D]."""
    return F.normalize(views.mean(0), dim=-1)


def cache_values(observed: Tensor, classes: int, faithful: bool = False) -> Tensor:
    """Return one-hot observed labels, [N, C].

    `faithful` takes the width from the labels, as the reference does: the largest of them and one more.

    Raises:
        BenchError: that width neither is C nor spreads over all classes, so the logits cannot be added.
    """
    values = F.one_hot(observed, -1 if faithful else classes).float()
    width = values.shape[1]
    if width not in (1, classes):
        raise BenchError(
            f"faithful=true: no sample is labelled with the last of {classes} classes, so the reference's "
            f"one-hot labels are only {width} wide; leave out faithful=true."
        )
    return values


def search_grid(highest: float, steps: int) -> list[float]:
    """Return the reference's grid of `steps` values from 0.1 up, evenly spaced, `highest` itself left out."""
    return [step * (highest - LOWEST) / steps + LOWEST for step in range(steps)]


class TipCache(method.Method):
    """Cache and logits of both Tip-Adapters, and their search for alpha and beta on the validation twin."""

    Options: TypeAlias = TipCacheOptions

    options: TipCacheOptions
    alpha: Tensor
    beta: Tensor
    keys: Tensor
    values: Tensor
    text: Tensor

    @classmethod
    def needs(cls, options: Any) -> method.Needs:
        """Require the validation twin for the search, views of at least half an image, and what a split needs."""
        return replace(super().needs(options), validation=options.search, views=True, crop=CROP)

    @classmethod
    def texts(cls, options: Any, names: Sequence[str], templates: Sequence[str]) -> tuple[method.Text, ...]:
        """List the data set's templates with every class name, and the texts that a split encodes."""
        return (*super().texts(options, names, templates), *zero_shot_texts(names, templates))

    def setup(self, context: method.Context) -> None:
        """Register `values` [N, C], class features `text` [C, D], and the keys [N, D] by `keep`.

        Raises:
            BenchError: under `faithful`, the last class has no sample.
        """
        self.register_buffer("observed", context.observed.clone())
        values = cache_values(context.observed, len(context.class_names), self.options.faithful)
        self.register_buffer("values", values)
        self.register_buffer("text", zero_shot_text(context))
        self.keep(cache_keys(torch.stack([seen.pooled for seen in context.views or (context.train,)])))

    def keep(self, keys: Tensor) -> None:
        """Register `keys` [N, D]."""
        self.register_buffer("keys", keys)

    def cache_logits(self, image: Tensor, beta: Tensor | float) -> Tensor:
        """Compute exp(-beta (1 - f Kᵀ)) V of normalised features [B, D]; [B, C]."""
        return products((-(beta - beta * inner_products(image, self.keys))).exp(), self.values)

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits [B, C]."""
        image = F.normalize(inputs.pooled, dim=-1)
        return inner_products(SCALE * image, self.text) + self.alpha * self.cache_logits(image, self.beta)

    @torch.no_grad()
    def finalize(self, validation: tuple[method.Inputs, Tensor] | None) -> None:
        """Set `alpha` and `beta` to the best of the grid on the validation twin; nothing without one."""
        if validation is not None and self.options.search:
            inputs, labels = validation
            beta, alpha = self.best(inputs, labels)
            self.beta.fill_(beta)
            self.alpha.fill_(alpha)

    def best(self, inputs: method.Inputs, labels: Tensor) -> tuple[float, float]:
        """Find beta and alpha of the most hits; of equals the first, beta running slowest, as in the reference.

        Where no setting has a hit, the present ones; under `faithful` 0 and 0, which switches the cache off.
        """
        image = F.normalize(inputs.pooled, dim=-1)
        zero_shot = SCALE * image @ self.text.mT
        alphas = search_grid(self.options.search_alpha, self.options.steps_alpha)
        most, best = 0, (0.0, 0.0) if self.options.faithful else (float(self.beta), float(self.alpha))
        for beta in search_grid(self.options.search_beta, self.options.steps_beta):
            cache = self.cache_logits(image, beta)
            hits = torch.stack([((zero_shot + cache * alpha).argmax(1) == labels).sum() for alpha in alphas]).tolist()
            if max(hits) > most:
                most = max(hits)
                best = beta, alphas[hits.index(most)]
        return best

    def diagnostics(self) -> dict[str, float]:
        """Return the alpha and beta in use, and the numbers of a split."""
        return super().diagnostics() | {"alpha": float(self.alpha), "beta": float(self.beta)}


class TipAdapter(TipCache):
    """Zero-shot CLIP and the labels of similar training images, added up; nothing is trained.

    Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification", ECCV 2022 (arXiv
    2207.09519).

    Equations: logits = 100 f Wᵀ + alpha exp(-beta (1 - f Kᵀ)) V; f the normalised image feature, W [C, D] the class
    texts (mean of the normalised templates, normalised again), K [N, D] the normalised mean feature of each training
    image over its views, V [N, C] one-hot observed labels, through which alone noise enters. alpha and beta: the best
    of 200 × 20 values on the noisy validation twin, after which the one row is measured. Parameters: 0.

    The views are the cell's, crops of at least half the area as the authors' ten (`views = 10`); with `views = 0` the
    plain image alone. 100 is a literal in the reference and here, not the weights' own temperature (which it is for
    OpenAI's weights): alpha has its meaning beside it.

    Defects of the reference decided on: A2 one-hot labels take their width from the largest label seen and do not fit
    where the last class has no sample (all C classes here; `faithful` reproduces it and says so). A search without a
    hit returns alpha = beta = 0 there (the set values stay here; `faithful` gives 0). A3 the whole clean
    validation split is searched there (the noisy few-shot twin here, as any user would have). On ImageNet it searches
    on the test set: not available. Ranges and starts are set per data set there; one setting for all here.
    """

    Options: TypeAlias = TipAdapterOptions

    options: TipAdapterOptions

    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        """Return no phase: nothing is trained."""
        return ()
