"""DeFT: a positive and a negative prompt per class select the samples, visual prompts adapt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import method
from bench.lockstep import inner_products, linear, sigmoid
from bench.methods.options.deft import DeFTOptions
from bench.methods.parts.image_prompts import ImagePromptLearner
from bench.methods.parts.losses import cross_entropy, masked_mean
from bench.seeds import Stream

LEAST = 1e-5  # probabilities are clamped to it before the logarithm
TUNED = ("head", "layers.")


def yes_probability(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the probability that each class is right, and that it is not, from its two logits; all [..., C]."""
    return sigmoid(positive - negative), sigmoid(negative - positive)


def negative_log(probability: Tensor, labels: Tensor) -> Tensor:
    """Compute -log of the label's entry, clamped to [1e-5, 1], without gradient below. [B, C] and [B] to [B]."""
    return -probability.clamp(LEAST, 1).log().gather(-1, labels.unsqueeze(-1)).squeeze(-1)


class DeFT(ImagePromptLearner):
    """Dual prompts whose contest is a learned threshold between clean and noisy; prompts in every visual layer.

    Wei et al., "Vision-Language Models are Strong Noisy Label Detectors", NeurIPS 2024 (arXiv 2409.19696).

    Equations: f with 20 prompts at the entry of every layer of the image tower, behind the first normalisation
    (the visual prompts of arXiv 2203.12119); z⁺ = s f·t⁺ and z⁻ = s f·t⁻ from two contexts; yes_k and no_k =
    softmax(z⁺_k, z⁻_k), with f and z⁺ held fixed, so that they train t⁻ alone. Selected: yes_y > 0.5. Loss =
    CE(z⁺, y), in warm-up over all samples and afterwards over the selected, + mean -log no_k, k a random class
    other than y, + mean -log yes_j, j = y, or after warm-up the prediction where a sample is not selected; both
    clamped at 1e-5. Prediction: z⁺. `real` is the authors' script for real noise: SCE in warm-up, y must also be
    the arg-max of yes, and j = y for every sample in the first epoch alone. Start: contexts N(0, 0.02²); visual
    prompts uniform within √(6 / (3 p² + Wv)), p the patch size. Parameters: 2·M·W + L·P·Wv (ViT-B/16: 200,704).

    The second phase, `fine_tune` last epochs, trains a private copy of the image tower's layers under a linear head
    with CE on what the last epoch before it selected, and predicts with them. It is off by default, because no other
    method here trains the backbone. Its rate is a sixtieth, the authors' 0.0005 to 0.03; unlike theirs it goes on
    along the one schedule.

    Defects of the reference decided on, repaired always: a batch that selects nothing gives NaN (0 here, as in the
    second phase); the best epoch on the test set is reported, pixels get the statistics of CIFAR or ImageNet, all
    seeds share one noise file (the engine's business); a linear head idles through the first phase (it is not
    registered before it is used). Kept: flags come from the training steps of an epoch, not from a pass after it.
    A ResNet has no place for visual prompts: an error.
    """

    Options: TypeAlias = DeFTOptions

    norm = False
    options: DeFTOptions
    visual_prompts: nn.Parameter
    selected: Tensor
    tuned: Tensor

    @classmethod
    def needs(cls, options: DeFTOptions) -> method.Needs:
        """Require the images; with a second phase, weights of the backbone."""
        return replace(super().needs(options), trains_backbone=options.fine_tune > 0)

    def _initial_context(self, context: method.Context, generator: torch.Generator) -> Tensor:
        """Draw the positive context, then the negative: [2, M, W] or [2, C, M, W]."""
        return torch.stack([super(DeFT, self)._initial_context(context, generator) for _ in range(2)])

    def build(self, context: method.Context, generator: torch.Generator) -> None:
        """Create `visual_prompts` [L, P, Wv], `selected` [N] bool, for a second phase the tower's layers and a head."""
        tower, device = context.backbone, context.observed.device
        self.num_classes = len(context.class_names)
        self.tuning_after = max(context.epochs - self.options.fine_tune, 1)
        self.warmup = math.ceil(self.options.warmup * self.tuning_after / 10)
        bound = math.sqrt(6 / (3 * tower.patch_size**2 + tower.vision_width))
        visual = torch.empty(tower.vision_layers, self.options.visual_context, tower.vision_width)
        self.visual_prompts = nn.Parameter(visual.uniform_(-bound, bound, generator=generator).to(device))
        self.register_buffer("selected", torch.zeros_like(context.observed, dtype=torch.bool))
        if not self.options.fine_tune:
            return
        self.layers = tower.image_layers()
        bound = tower.vision_width**-0.5
        weight = torch.empty(self.num_classes, tower.vision_width).uniform_(-bound, bound, generator=generator)
        bias = torch.empty(self.num_classes).uniform_(-bound, bound, generator=generator)
        self.head, self.head_bias = nn.Parameter(weight.to(device)), nn.Parameter(bias.to(device))
        self.register_buffer("tuned", torch.tensor(False, device=device))

    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        """Return every sample once, in the second phase weighted 1 where selected, 0 elsewhere.

        In the first phase the audit is given the buffer itself, which by the epoch's end holds the epoch's flags.
        """
        (phase,) = super().begin_epoch(epoch, full_pass)
        names = [name for name, _ in self.named_parameters()]
        tuning = epoch > self.tuning_after
        train = tuple(name for name in names if name.startswith(TUNED) == tuning)
        if not tuning:
            return (replace(phase, train=train if self.options.fine_tune else None, clean=self.selected),)
        weight, clean = self.selected.to(phase.weight), self.selected.clone()
        return (replace(phase, weight=weight, train=train, rate=self.options.fine_tune_rate, clean=clean),)

    def draw(self, epoch: int, step: int, size: int, stream: Stream) -> dict[str, Tensor]:
        """Draw `other` [size], steps of 1 … C - 1 from a label to a complementary one; see `losses_of`."""
        if epoch > self.tuning_after:
            return {}
        return {
            "other": torch.from_numpy(1 + stream.integers(max(self.num_classes - 1, 1), size)),
            "warm": torch.tensor(epoch <= self.warmup),
            "given": torch.tensor(epoch <= (1 if self.options.real else self.warmup)),
        }

    def forward(self, batch: method.Batch) -> method.Losses:
        """Compute warm_up, the loss of the selected, no, yes, and the flags; in the second phase tuning."""
        if "other" not in batch.draws:
            loss = cross_entropy(self.tuned_logits(batch.inputs), batch.observed)
            return method.Losses({"tuning": masked_mean(loss, batch.valid, batch.weight)})
        image = F.normalize(self.image_features(batch.inputs, self.visual()), dim=-1)
        positive, negative = F.normalize(self.text_features(), dim=-1).unbind(0)
        logits = inner_products(self.backbone.scale * image, positive)
        against = inner_products(self.backbone.scale * image.detach(), negative)
        yes, no = yes_probability(logits.detach(), against)
        selected = self.select(yes, batch.observed)
        return method.Losses(self.losses_of(logits, yes, no, selected, batch), {"selected": selected})

    def select(self, yes: Tensor, observed: Tensor) -> Tensor:
        """Select the samples that count as clean: probabilities [B, C] and labels [B] to [B] bool."""
        chosen = yes.gather(-1, observed.unsqueeze(-1)).squeeze(-1) > 0.5
        return chosen & (yes.argmax(-1) == observed) if self.options.real else chosen

    def losses_of(
        self, logits: Tensor, yes: Tensor, no: Tensor, selected: Tensor, batch: method.Batch
    ) -> dict[str, Tensor]:
        """Compute the terms of the first phase: logits and probabilities [B, C], selected [B]."""
        observed, valid, name = batch.observed, batch.valid, self.options.loss
        warm, given = batch.draws["warm"], batch.draws["given"]
        first = self.sample_loss("sce" if self.options.real else name, logits, observed)
        later = self.sample_loss(name, logits, observed)
        other = (observed + batch.draws["other"]) % self.num_classes
        pseudo = torch.where(selected | given, observed, logits.argmax(-1))
        return {
            "warm_up": masked_mean(first, valid & warm, batch.weight),
            name: masked_mean(later, valid & selected & ~warm, batch.weight),
            "no": masked_mean(negative_log(no, other), valid, batch.weight),
            "yes": masked_mean(negative_log(yes, pseudo), valid, batch.weight),
        }

    def visual(self) -> Tensor:
        """Return the visual prompts, [L, P, Wv]."""
        return self.visual_prompts

    def tuned_logits(self, inputs: method.Inputs) -> Tensor:
        """Compute logits of the linear head on the private layers, [B, C]."""
        return linear(self.backbone.hidden(inputs.images(), self.layers), self.head, self.head_bias)

    def end_epoch(self, epoch: int) -> None:
        """Note the share selected, and from when on the head predicts."""
        self.numbers["clean_share"] = float(self.selected.double().mean())
        if epoch > self.tuning_after:
            self.tuned.fill_(True)

    def prepare(self) -> dict[str, Tensor]:
        """Return positive class features and visual prompts; once the second phase has begun, nothing but a mark."""
        if self.options.fine_tune and bool(self.tuned):
            return {"tuned": self.tuned}
        prepared = super().prepare()
        return prepared | {"text": prepared["text"][0]}

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits [B, C]."""
        return self.tuned_logits(inputs) if "tuned" in prepared else super().predict(inputs, prepared)
