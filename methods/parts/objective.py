"""Loss and partition as options of a learner, so that any of them combines with any model.

`maple[split=ot]` is NLPrompt's split on MaPLe, `promptsrc[loss=gce]` generalised cross-entropy on PromptSRC: no code of
their own. A learner brings logits (and perhaps further terms), the objective brings the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from bench.contracts import method
from bench.methods.parts import losses, splits
from bench.methods.parts.templates import zero_shot_logits, zero_shot_texts

Loss: TypeAlias = Literal["ce", "gce", "mae", "sce", "double-softmax"]
SplitBy: TypeAlias = Literal["none", "ot", "argmax", "mixture", "small-loss", "zero-shot"]
CLEAN, REST = 0, 1
FULL_PASS = ("ot", "argmax", "mixture", "small-loss")


def _uses(loss: str) -> str:
    """The condition under which some sample gets a loss."""
    return f"loss={loss} or rest={loss} and split!=none"


class Objective(method.Method):
    """A loss per sample, and who gets it: a base for learners, beside the class that makes their logits.

    Losses: ce; gce, (1 - p_y^q) / q; mae, 1 - p_y; sce, a CE + b RCE; double-softmax, CE of softmax(logits) taken
    as logits. Splits, made anew at the start of every epoch: ot, the transport of NLPrompt; argmax, where the
    prediction is the label; mixture, two Gaussians on the losses as DivideMix; small-loss, the known share of
    clean samples (an oracle); zero-shot, where zero-shot CLIP agrees with the label, once. What a split takes for
    clean is trained with `loss`, in batches of its own, and then the rest with `rest`.
    """

    class Options(method.Options):
        """The loss, and the split."""

        loss: Loss = method.structural("ce", "loss of every sample, or of those that the split takes for clean")
        split: SplitBy = method.structural("none", "who is clean; none: everyone")
        rest: Loss | Literal["drop"] = method.structural(
            "mae", "loss of what the split rejects; drop: left out", "split!=none"
        )
        q: float = method.scalar(
            0.7, "exponent of gce; 0.7 in the loss's paper, 0.5 in PTNL's trainer", _uses("gce"), **method.Q
        )
        a: float = method.scalar(1.0, "weight of CE in sce; DeFT's 1", _uses("sce"), **method.WEIGHT)
        b: float = method.scalar(1.0, "weight of reverse CE in sce; DeFT's 1", _uses("sce"), **method.WEIGHT)
        ot_reg: float = method.structural(
            0.01, "entropy weight of the transport; NLPrompt's 0.01", "split=ot", **method.ENTROPY
        )

    options: Objective.Options
    observed: Tensor
    q: Tensor
    a: Tensor
    b: Tensor
    off_class = losses.OFF_CLASS

    @classmethod
    def needs(cls, options: method.Options) -> method.Needs:
        """A plain pass for splits by the model's own scores; the noise rate for small-loss."""
        assert isinstance(options, Objective.Options)  # noqa: S101 - narrows the type
        oracle = ("noise_rate",) if options.split == "small-loss" else ()
        return method.Needs(full_pass=options.split in FULL_PASS, oracle=oracle)

    @classmethod
    def texts(cls, options: method.Options, names: Sequence[str], templates: Sequence[str]) -> tuple[method.Text, ...]:
        """The data set's templates, where zero-shot CLIP splits."""
        assert isinstance(options, Objective.Options)  # noqa: S101 - narrows the type
        splits = options.split == "zero-shot"
        return (*super().texts(options, names, templates), *(zero_shot_texts(names, templates) if splits else ()))

    def prepare_split(self, context: method.Context) -> None:
        """What the split needs from the set-up; learners call it at the end of theirs."""
        self.numbers: dict[str, float] = {}
        split = self.options.split
        self.noise_rate = context.oracle["noise_rate"] if split == "small-loss" else 0.0
        self.seeds = context.method.integers(2**31, context.epochs) if split == "mixture" else None
        self.zero_shot = zero_shot_logits(context) if split == "zero-shot" else None

    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        """One phase of all samples; with a split, the clean and then the rest."""
        if self.options.split == "none":
            return super().begin_epoch(epoch, full_pass)
        split = self.partition(epoch, full_pass)
        self.numbers = {"clean_share": float(split.clean.double().mean()), **split.numbers}
        return self.split_phases(split)

    def split_phases(self, split: splits.Split) -> tuple[method.Phase, ...]:
        """The phases of a split: all batches of its clean part, then all of the rest unless that is dropped."""
        weight = torch.ones(len(split.clean), device=split.clean.device)
        groups = [torch.where(split.clean, CLEAN, -1)]
        if self.options.rest != "drop":
            groups.append(torch.where(split.clean, -1, REST))
        return tuple(method.Phase(group, weight, clean=split.clean, pseudo=split.pseudo) for group in groups)

    def partition(self, epoch: int, full_pass: method.FullPass) -> splits.Split:
        """The split of an epoch."""
        observed = self.observed
        if self.zero_shot is not None:
            return splits.zero_shot_split(self.zero_shot, observed)
        logits = full_pass()
        if self.options.split == "ot":
            return splits.nlprompt_split(logits, observed, self.options.ot_reg)
        if self.options.split == "argmax":
            return splits.argmax_split(logits, observed)
        sample_losses = losses.cross_entropy(logits, observed)
        pseudo = logits.argmax(1)
        if self.options.split == "small-loss":
            return splits.small_loss_split(sample_losses, 1 - self.noise_rate, pseudo)
        assert self.seeds is not None  # noqa: S101 - drawn in the set-up of this split
        return splits.mixture_split(sample_losses, int(self.seeds[epoch - 1]), pseudo)

    def sample_loss(self, name: str, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of that name of each sample: logits [B, C], labels [B]; returns [B]."""
        match name:
            case "gce":
                return losses.generalised_cross_entropy(logits, labels, self.q)
            case "mae":
                return losses.mean_absolute_error(logits, labels)
            case "sce":
                return losses.symmetric_cross_entropy(logits, labels, self.a, self.b, self.off_class)
            case "double-softmax":
                return losses.double_softmax_cross_entropy(logits, labels)
            case _:
                return losses.cross_entropy(logits, labels)

    def objective(self, logits: Tensor, batch: method.Batch) -> dict[str, Tensor]:
        """The terms, named after their losses; one of the rest is called rest_… . Logits [B, C]."""
        options, observed = self.options, batch.observed
        name: str = options.loss
        chosen = self.sample_loss(name, logits, observed)
        if options.split == "none":
            return {name: losses.masked_mean(chosen, batch.valid, batch.weight)}
        terms = {name: losses.masked_mean(chosen, batch.valid & (batch.group == CLEAN), batch.weight)}
        if options.rest != "drop":
            rest = self.sample_loss(options.rest, logits, observed)
            rest_mask = batch.valid & (batch.group == REST)
            terms[f"rest_{options.rest}"] = losses.masked_mean(rest, rest_mask, batch.weight)
        return terms

    def batch_logits(self, batch: method.Batch) -> Tensor:
        """Training logits of a batch, [B, C]; a learner's to write."""
        raise NotImplementedError

    def forward(self, batch: method.Batch) -> method.Losses:
        """The objective's terms. Learners with further terms call `objective` and add theirs."""
        return method.Losses(self.objective(self.batch_logits(batch), batch))

    def diagnostics(self) -> dict[str, float]:
        """Share of samples taken for clean, and the split's own numbers."""
        return dict(self.numbers)
