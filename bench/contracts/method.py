"""The contract of a method: what the training loop asks of it and what it is given.

A method is an `nn.Module`. What may differ between the members of a pack is a tensor; everything else is
equal. The loop owns the optimizer, the order of the samples, all randomness and the evaluation; the method
owns its parameters, its loss and its view of which samples to trust. Shapes: N training samples, B batch, C
classes, D embedding width, T patch tokens, W width of the text tower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.clip.backbone import Backbone, ClassTokens
from bench.contracts.inputs import IMAGES, TEXTS, Inputs, Pixels, images_at_a_time
from bench.contracts.options import ENTROPY, EPOCHS, WEIGHT, Options, Q, check_class, scalar, scalar_options, structural
from bench.lockstep import inner_products
from bench.seeds import Stream

__all__ = [
    "ENTROPY", "EPOCHS", "IMAGES", "TEXTS", "WEIGHT", "AnyOptions", "Backbone", "Batch", "CheckTime", "ClassTokens",
    "Context", "FullPass", "Inputs", "Losses", "Method", "Needs", "Options", "Phase", "Pixels", "Q", "Text",
    "cosine_logits", "everything", "filled", "images_at_a_time", "no_limit", "scalar", "scalar_options", "structural",
]  # fmt: skip

CheckTime: TypeAlias = Callable[[], None]


@dataclass(frozen=True)
class Needs:
    """What a method must be given; the engine hands over nothing undeclared.

    Attributes:
        tokens: patch tokens beside the pooled feature.
        pixels: the preprocessed images themselves, for prompts in the image tower; the pooled feature beside them is
            then the frozen teacher's.
        full_pass: the scores of the whole training set at the start of an epoch.
        per_image_text: text features differ from image to image, so evaluation is chunked.
        pool: the features of the whole unlabelled training split.
        views: the augmented views of the training set in `setup`, where the cell has any; training batches come from
            the epoch's view without asking.
        crop: least share of an image's area that an augmented view keeps; CoOp's and its descendants' 0.08.
        validation: the validation twin with its noisy labels, in `finalize`.
        separate_gradients: the gradient of each loss term by itself, in `combine`.
        oracle: facts a user would not know, for example "noise_rate"; tables mark such methods.
        trains_backbone: weights of the backbone, in a private copy among the method's own parameters.
    """

    tokens: bool = False
    pixels: bool = False
    full_pass: bool = False
    per_image_text: bool = False
    pool: bool = False
    views: bool = False
    crop: float = 0.08
    validation: bool = False
    separate_gradients: bool = False
    oracle: tuple[str, ...] = ()
    trains_backbone: bool = False


class Text(NamedTuple):
    """A text as the text tower gets it, behind a number of context vectors."""

    text: str
    context: int = 0


def filled(templates: Sequence[str], names: Sequence[str]) -> tuple[Text, ...]:
    """Insert every class name into every template, template by template; `_` becomes a space."""
    spoken = [name.replace("_", " ") for name in names]
    return tuple(Text(template.replace("{}", name)) for template in templates for name in spoken)


def no_limit() -> None:
    """Check no deadline."""


@dataclass(frozen=True)
class Context:
    """What `setup` is given.

    Attributes:
        class_names: C names.
        templates: at least one text with `{}` for the class name.
        observed: the observed labels of the training set, [N].
        backbone: the frozen backbone facade.
        train: the declared features of the training set.
        init: stream for the initial parameters.
        method: stream for everything else random in the set-up.
        batch_size: samples per optimizer step.
        epochs: epochs of training.
        oracle: the declared oracle facts, by name.
        pool: the features of the whole training split without labels, or None where the method did not declare it.
        views: the features of the training set under each augmented view; empty where the cell has none, or the method
            did not declare them.
        shots: samples per class that were asked for, of which a small class may have fewer; 0 where unknown.
    """

    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    observed: Tensor
    backbone: Backbone
    train: Inputs
    init: Stream
    method: Stream
    batch_size: int
    epochs: int
    oracle: Mapping[str, float] = field(default_factory=dict)
    pool: Inputs | None = None
    views: tuple[Inputs, ...] = ()
    shots: int = 0


@dataclass(frozen=True)
class Phase:
    """A part of an epoch: which samples, how weighted, against which targets, in which batches.

    Attributes:
        group: [N] long, -1 where the sample is left out.
        weight: [N] float, for the method's `forward` to use.
        target: soft targets [N, C], or None where the observed label is the target.
        policy: "single" draws batches from all groups together; "paired_cycle" puts `batch_size` samples of group 0
            and `batch_size` of group 1 side by side, as long as the larger group lasts, the smaller one starting
            anew (an empty group contributes nothing).
        train: names of the parameters that this phase trains; None is all.
        own: inputs and labels [P] that stand in for the training set, from the declared pool; group, weight and target
            are then [P] and [P, C].
        rate: factor of the learning rate.
        clean: [N] bool, the samples the method takes for correctly labelled; read by the audit alone.
        pseudo: [N] long, the label the method believes; read by the audit alone.
    """

    group: Tensor
    weight: Tensor
    target: Tensor | None = None
    policy: Literal["single", "paired_cycle"] = "single"
    train: tuple[str, ...] | None = None
    own: tuple[Inputs, Tensor] | None = None
    rate: float = 1.0
    clean: Tensor | None = None
    pseudo: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """One step's samples, padded to a fixed size.

    Attributes:
        index: positions in the training set, [B].
        valid: [B] bool, False on padding.
        group: [B] long, as in the phase.
        weight: [B] float.
        observed: observed labels, [B].
        target: soft targets [B, C] or None.
        inputs: features of the samples.
        draws: this step's random numbers, as `Method.draw` returned them.
        phase: number of the phase in its epoch, from 0; a Python number, equal for all members of a pack.
    """

    index: Tensor
    valid: Tensor
    group: Tensor
    weight: Tensor
    observed: Tensor
    target: Tensor | None
    inputs: Inputs
    draws: Mapping[str, Tensor]
    phase: int = 0


@dataclass(frozen=True)
class Losses:
    """What `forward` returns.

    Attributes:
        terms: named scalars; their sum is minimised. A term is exactly 0 where no sample contributes.
        state: rows for per-sample buffers by buffer name, [B, ...]; the engine writes the valid ones at `batch.index`.
    """

    terms: Mapping[str, Tensor]
    state: Mapping[str, Tensor] = field(default_factory=dict)


class FullPass(Protocol):
    """`Method.scores` of the whole training set, [N, C] or [models, N, C], in index order, without gradient."""

    def __call__(self, view: str = "plain") -> Tensor:
        """Compute scores under a view: "plain", or "augmented", which the epoch is trained on.

        Where the cell has no augmented views, the plain one is trained on.
        """


AnyOptions: TypeAlias = Options  # inside `Method` the name `Options` is the class of that method's own options


class Method(nn.Module):
    """Base class of all methods; see the module's docstring for the division of labour.

    Class methods take `options: Any`, so that an override names the class of its own options there.

    Attributes:
        options: the method's own.
        check_time: raises where the cell's time is used up. The loop asks it between its own parts; a method asks it
            between the parts of long work of its own.
    """

    Options: ClassVar[type[Options]] = Options
    random_start: ClassVar[bool] = True  # whether two seeds start from different parameters, where there are any
    reads_labels: ClassVar[bool] = True  # whether predictions depend on the observed labels
    faithful_drop_last: ClassVar[bool] = False  # whether the option `faithful` includes a loader with drop_last

    def __init_subclass__(cls, **more: Any) -> None:
        """Check what plans and lists ask of the class."""
        super().__init_subclass__(**more)
        check_class(cls, ("needs", "texts"))

    def __init__(self, options: AnyOptions) -> None:
        """Keep the options, and every scalar one as a float32 buffer of its name."""
        super().__init__()
        self.options = options
        self.check_time: CheckTime = no_limit
        for name in scalar_options(type(options)):
            self.register_buffer(name, torch.tensor(float(getattr(options, name))))

    @classmethod
    def needs(cls, options: Any) -> Needs:  # noqa: ARG003 - overridden by methods whose needs depend on options
        """Return what the method must be given under these options."""
        return Needs()

    @classmethod
    def texts(cls, options: Any, names: Sequence[str], templates: Sequence[str]) -> tuple[Text, ...]:  # noqa: ARG003
        """List texts that will be encoded, so that a run is refused early where one cannot be.

        Args:
            options: of the method.
            names: C class names.
            templates: of the data set.
        """
        return ()

    def setup(self, context: Context) -> None:
        """Create parameters and buffers. Training-free methods do their work here."""
        raise NotImplementedError

    def begin_epoch(self, epoch: int, full_pass: FullPass) -> tuple[Phase, ...]:
        """Return the phases of an epoch (1-based), run in order. Default: every sample once, equally weighted."""
        return (everything(self.sample_count()),)

    @classmethod
    def drops_last(cls, options: Any) -> bool:
        """Return whether the loop drops the last batch of a phase where it is not full, whatever the cell says."""
        return cls.faithful_drop_last and bool(getattr(options, "faithful", False))

    def sample_count(self) -> int:
        """Count N; methods that keep the default `begin_epoch` register the observed labels as buffer `observed`."""
        return int(self.get_buffer("observed").shape[0])

    def draw(self, epoch: int, step: int, size: int, stream: Stream) -> dict[str, Tensor]:
        """Draw all randomness of one step for a padded batch of `size`; `forward` gets it as `batch.draws`."""
        return {}

    def forward(self, batch: Batch) -> Losses:
        """Compute the loss terms, as a pure function of parameters, buffers and batch."""
        raise NotImplementedError

    def combine(self, gradients: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Reduce the gradients of the terms (term, then parameter) to one by parameter. Pure.

        Called under `Needs.separate_gradients`. The default is their sum, which every other method gets.
        """
        terms = list(gradients.values())
        return {name: torch.stack([term[name] for term in terms]).sum(0) for name in terms[0]}

    def end_epoch(self, epoch: int) -> None:
        """Update state after the last step of an epoch."""

    def finalize(self, validation: tuple[Inputs, Tensor] | None) -> None:
        """End training; `validation`: inputs and observed labels, or None where it was not declared."""

    def prepare(self) -> dict[str, Tensor]:
        """Compute what all predictions of an evaluation share: usually the text features."""
        return {}

    def predict(self, inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits [B, C], independent of the batch's size and order within 1e-5."""
        raise NotImplementedError

    def scores(self, inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute what the full pass collects: `predict`, [B, C], or [models, B, C] where a method trains several."""
        return self.predict(inputs, prepared)

    def probes(self) -> Mapping[str, Callable[[Inputs, Mapping[str, Tensor]], Tensor]]:
        """Return further ways to predict, by name; their test accuracy after training is a diagnostic."""
        return {}

    def diagnostics(self) -> dict[str, float]:
        """Return numbers of the last epoch for the record, by name."""
        return {}

    def per_sample(self, inputs: Inputs) -> Mapping[str, Tensor]:
        """Compute numbers of single samples, [B] each, by names that `diagnostics` does not use; none by default.

        A pure function of parameters, buffers and inputs, independent of the batch's size and order within 1e-5. It is
        called for all training samples at every row of the curve, so it encodes no text. The audit alone, which knows
        the true labels, makes `NAME_clean`, `NAME_mislabeled` and `NAME_auroc` of it.
        """
        return {}


def everything(count: int, device: torch.device | None = None) -> Phase:
    """Create the phase that takes all `count` samples once, with weight 1."""
    return Phase(torch.zeros(count, dtype=torch.long, device=device), torch.ones(count, device=device))


def cosine_logits(scale: Tensor, image: Tensor, text: Tensor) -> Tensor:
    """Compute logits [B, C]: scale · cosine similarity of image [B, D] and text [C, D] or [B, C, D]."""
    image, text = F.normalize(image, dim=-1), F.normalize(text, dim=-1)
    if text.ndim == image.ndim:
        logits: Tensor = inner_products(scale * image, text)
        return logits
    return scale * torch.einsum("bd,bcd->bc", image, text)
