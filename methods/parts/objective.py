"""Loss and partition as options of a learner, so that any of them combines with any model.

`maple[split=ot]` is NLPrompt's split on MaPLe, `promptsrc[loss=gce]` generalised cross-entropy on PromptSRC: no code of
their own. A learner brings logits (and perhaps further terms), the objective brings the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from bench.contracts import method
from bench.contracts.objective import CHANGING, FULL_PASS, CleanSplit, loss_asks, split_asks
from bench.errors import BenchError
from bench.methods.options.objective import ObjectiveOptions
from bench.methods.parts import (
    clipcleaner,  # noqa: F401 - what the registry loads counts among the code of a method
    losses,
    splits,  # noqa: F401 - likewise
)
from bench.methods.parts.templates import template_features, zero_shot_logits, zero_shot_texts
from bench.plugins import LOSSES, SPLITS

CLEAN, REST = 0, 1


class Objective(method.Method):
    """A loss per sample, and who gets it: a base for learners, beside the class that makes their logits.

    Losses and splits are those of the registries (`bench list losses`, `bench list splits`), a user's among them. A
    split is made anew at the start of every epoch, or once where nothing that it asks for changes. What it takes for
    clean is trained with `loss`, in batches of its own, and then the rest with `rest`.
    """

    Options: TypeAlias = ObjectiveOptions

    options: ObjectiveOptions
    observed: Tensor
    q: Tensor
    a: Tensor
    b: Tensor
    off_class = losses.OFF_CLASS

    @classmethod
    def needs(cls, options: Any) -> method.Needs:
        """Require a plain pass for splits by the model's own scores; the noise rate for small-loss."""
        asked = split_asks(options.split)
        oracle = ("noise_rate",) if "share" in asked else ()
        return method.Needs(full_pass=not FULL_PASS.isdisjoint(asked), oracle=oracle)

    @classmethod
    def texts(cls, options: Any, names: Sequence[str], templates: Sequence[str]) -> tuple[method.Text, ...]:
        """List the data set's templates with every class name, where the split asks for their features."""
        asked = {"zero_shot", "class_texts"} & set(split_asks(options.split))
        own = zero_shot_texts(names, templates) if asked else ()
        return (*super().texts(options, names, templates), *own)

    def prepare_split(self, context: method.Context) -> None:
        """Keep what the split needs; learners call this at the end of their `setup`."""
        self.numbers: dict[str, float] = {}
        self.asked = split_asks(self.options.split)
        self.noise_rate = context.oracle["noise_rate"] if "share" in self.asked else 0.0
        self.seeds = context.method.integers(2**31, context.epochs) if "seed" in self.asked else None
        self.zero_shot = zero_shot_logits(context) if "zero_shot" in self.asked else None
        self.image = context.train.pooled if "image" in self.asked else None
        self.class_texts = template_features(context) if "class_texts" in self.asked else None
        self.lasting: CleanSplit | None = None

    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        """Return one phase of all samples; with a split, the clean and then the rest."""
        if self.options.split == "none":
            return super().begin_epoch(epoch, full_pass)
        split = self.partition(epoch, full_pass)
        self.numbers = {"clean_share": float(split.clean.double().mean()), **split.numbers}
        return self.split_phases(split)

    def split_phases(self, split: CleanSplit) -> tuple[method.Phase, ...]:
        """Return all batches of the clean part, then all of the rest unless that is dropped."""
        weight = torch.ones(len(split.clean), device=split.clean.device)
        groups = [torch.where(split.clean, CLEAN, -1)]
        if self.options.rest != "drop":
            groups.append(torch.where(split.clean, -1, REST))
        return tuple(method.Phase(group, weight, clean=split.clean, pseudo=split.pseudo) for group in groups)

    def partition(self, epoch: int, full_pass: method.FullPass) -> CleanSplit:
        """Split the training set for an epoch.

        Raises:
            BenchError: the registered function returns something else.
        """
        if self.lasting is not None:
            return self.lasting
        split = SPLITS.get(self.options.split)(**self._given(epoch, full_pass))
        if (
            not isinstance(split, CleanSplit)
            or split.clean.shape != self.observed.shape
            or split.clean.dtype != torch.bool
        ):
            raise BenchError(
                f'split "{self.options.split}" returned no split; return bench.contracts.objective.CleanSplit with '
                "clean, [N] bool, and pseudo, [N] long."
            )
        self.lasting = split if CHANGING.isdisjoint(self.asked) else None
        return split

    def _given(self, epoch: int, full_pass: method.FullPass) -> dict[str, Any]:
        """Return what the split asks for, by name."""
        known = {"observed": self.observed, "zero_shot": self.zero_shot, "epoch": epoch, "share": 1 - self.noise_rate}
        known |= {"image": self.image, "class_texts": self.class_texts}
        known |= {"ot_reg": self.options.ot_reg, "seed": None if self.seeds is None else int(self.seeds[epoch - 1])}
        if not FULL_PASS.isdisjoint(self.asked):
            logits = full_pass()
            known |= {"logits": logits, "pseudo": logits.argmax(1)}
            known["losses"] = losses.cross_entropy(logits, self.observed)
        return {name: known[name] for name in self.asked}

    def sample_loss(self, name: str, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the registered loss of each sample: logits [..., C], labels [...]; returns [...].

        Raises:
            BenchError: the registered function returns something else.
        """
        found = LOSSES.get(name)(logits, labels, **{option: getattr(self, option) for option in loss_asks(name)})
        if found.shape != labels.shape:
            raise BenchError(
                f'loss "{name}" returned {list(found.shape)} for labels {list(labels.shape)}; return one number per '
                "sample."
            )
        return found

    def objective(self, logits: Tensor, batch: method.Batch) -> dict[str, Tensor]:
        """Compute the terms, named after their losses, of the rest with `rest_` in front. Logits [B, C]."""
        options, observed = self.options, batch.observed
        name: str = options.loss
        chosen = self.sample_loss(name, logits, observed)
        if options.split == "none":
            return {name: losses.masked_mean(chosen, batch.valid, batch.weight)}
        terms = {name: losses.masked_mean(chosen, batch.valid & (batch.group == CLEAN), batch.weight)}
        if options.rest != "drop":
            rest = self.sample_loss(options.rest, logits, observed)
            terms[f"rest_{options.rest}"] = losses.masked_mean(rest, batch.valid & (batch.group == REST), batch.weight)
        return terms

    def batch_logits(self, batch: method.Batch) -> Tensor:
        """Compute training logits of a batch, [B, C]: by default those of `predict`."""
        return self.predict(batch.inputs, self.prepare())

    def forward(self, batch: method.Batch) -> method.Losses:
        """Compute the objective's terms. Learners with further terms call `objective` and add theirs."""
        return method.Losses(self.objective(self.batch_logits(batch), batch))

    def diagnostics(self) -> dict[str, float]:
        """Return the share of samples taken for clean, and the split's own numbers."""
        return dict(self.numbers)
