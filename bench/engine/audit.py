"""Compare a method's predictions with the true labels. No other module does.

Every number is for one evaluated epoch. Shares are fractions; a number that is not defined (the loss of mislabeled
samples where none is mislabeled) is None. N training samples, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.method import Phase

Number = float | int | None
CALIBRATION_BINS = 15
MEMORIZATION = (
    "train_clean_accuracy", "memorized", "recovered", "neither", "loss_clean", "loss_mislabeled", "loss_auroc",
)  # fmt: skip
SPLIT_COLUMNS = ("split_size", "split_precision", "split_recall", "pseudo_label_accuracy")


@dataclass(frozen=True)
class Predictions:
    """Predictions for the n test samples at one epoch; of a pack with a leading dimension.

    Attributes:
        confidence: the largest probability, [n] float32.
        predicted: class of the largest logit, [n] int16; probabilities are equal where logits hardly differ.
        correct: whether that is the test label, [n] bool.
    """

    confidence: Tensor
    predicted: Tensor
    correct: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> Predictions:
        """Build predictions from logits [..., n, C] and labels [n]."""
        predicted = logits.argmax(-1)
        return cls(logits.float().softmax(-1).amax(-1), predicted.to(torch.int16), predicted == labels)

    def member(self, number: int) -> Predictions:
        """Return the predictions of one member of a pack."""
        return Predictions(self.confidence[number], self.predicted[number], self.correct[number])

    def calibration_gaps(self) -> Tensor:
        """Compute the sums of correct less confidence in each of 15 equal bins, [..., 15]."""
        gaps = self.correct.double() - self.confidence.double()
        bins = (self.confidence * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)
        members = gaps.shape[:-1].numel()
        bins = bins.view(members, -1) + CALIBRATION_BINS * torch.arange(members, device=bins.device)[:, None]
        total = torch.zeros(members * CALIBRATION_BINS, dtype=torch.double, device=gaps.device)
        return total.index_add(0, bins.flatten(), gaps.flatten()).view(*gaps.shape[:-1], CALIBRATION_BINS)


@dataclass
class Audit:
    """Measurements of one run.

    Attributes:
        true: true labels of the training set, [N].
        observed: observed labels of the training set, [N].
        test: true labels of the test set, [n].
        validation: observed labels of the validation twin, [v].
        visible: positions that the method is trained on, [M].
        truth: whether `true` is known; where not, nothing is said of clean and mislabeled samples.
        rows: one dictionary per evaluated epoch, in order.
        losses: cross-entropy with the observed label, per row [N].
        predictions: predicted classes of the training set, per row [N].
        logits: of the training set at the last row, [N, C].
        clean: the last clean split that a method made, [M] bool; None where it made none.
        tested: the test set at the last row that has one.
    """

    true: Tensor
    observed: Tensor
    test: Tensor
    validation: Tensor
    visible: Tensor
    truth: bool = True
    rows: list[dict[str, Number]] = field(default_factory=list)
    losses: list[NDArray[np.float32]] = field(default_factory=list)
    predictions: list[NDArray[np.int16]] = field(default_factory=list)
    logits: Tensor | None = None
    clean: Tensor | None = None
    tested: Predictions | None = None

    def append(self, epoch: int, host: Mapping[str, NDArray[np.float64]]) -> None:
        """Append the row of an epoch from what `measure` has found, on the host."""
        losses, predicted = host["losses"], host["predicted"]
        self.losses.append(losses.astype(np.float32))
        self.predictions.append(predicted.astype(np.int16))
        row: dict[str, Number] = {"epoch": epoch}
        row["test_accuracy"] = _ratio(host.get("test"), len(self.test))
        row["test_calibration_error"] = _calibration_error(host.get("gaps"), len(self.test))
        row["validation_accuracy"] = _ratio(host.get("validation"), len(self.validation))
        self.rows.append(
            row | self._memorization(predicted, losses) | self._split(host.get("clean"), host.get("pseudo"))
        )

    @cached_property
    def _labels(self) -> dict[str, NDArray[Any]]:
        """Labels and positions on the host: true, observed, visible, and which samples are mislabeled."""
        found = {name: getattr(self, name).cpu().numpy() for name in ("true", "observed", "visible")}
        return {**found, "wrong": found["true"] != found["observed"]}

    def _memorization(self, predicted: NDArray[Any], losses: NDArray[np.float64]) -> dict[str, Number]:
        labels = self._labels
        given, wrong = predicted == labels["observed"], labels["wrong"]
        row: dict[str, Number] = {"train_given_accuracy": _share(given)}
        if not self.truth:
            return row | dict.fromkeys(MEMORIZATION)
        recovered = predicted == labels["true"]
        return row | {
            "train_clean_accuracy": _share(recovered[~wrong]),
            "memorized": _share(given[wrong]),
            "recovered": _share(recovered[wrong]),
            "neither": _share(~(given | recovered)[wrong]),
            "loss_clean": _mean(losses[~wrong]),
            "loss_mislabeled": _mean(losses[wrong]),
            "loss_auroc": auroc(losses, wrong),
        }

    def _split(self, clean: NDArray[Any] | None, pseudo: NDArray[Any] | None) -> dict[str, Number]:
        """Judge a clean split [M] and pseudo-labels [M] of the visible samples; None where the method made none."""
        row: dict[str, Number] = dict.fromkeys(SPLIT_COLUMNS)
        if clean is not None:
            clean = clean.astype(bool)
            row["split_size"] = int(clean.sum())
        if clean is not None and self.truth:
            truly_clean = ~self._labels["wrong"][self._labels["visible"]]
            row["split_precision"] = _share(truly_clean[clean])
            row["split_recall"] = _share(clean[truly_clean])
        if pseudo is not None and self.truth:
            row["pseudo_label_accuracy"] = _share(pseudo == self._labels["true"][self._labels["visible"]])
        return row

    def by_truth(self, samples: Mapping[str, Tensor]) -> dict[str, Number]:
        """Compare per-sample numbers, [N] by name, between correct and wrong labels.

        Returns:
            For each name the means `NAME_clean` and `NAME_mislabeled`, and `NAME_auroc`, the area under the ROC curve
            of the number for telling mislabeled samples: above one half where theirs is larger. None where a number is
            not finite.
        """
        row: dict[str, Number] = {}
        for name, values in (_on_host(samples) if samples else {}).items():
            wrong, known = self._labels["wrong"], self.truth and bool(np.isfinite(values).all())
            row[f"{name}_clean"] = _mean(values[~wrong]) if known else None
            row[f"{name}_mislabeled"] = _mean(values[wrong]) if known else None
            row[f"{name}_auroc"] = auroc(values, wrong) if known else None
        return row

    def curve(self) -> dict[str, list[Number]]:
        """Return the rows as one list per name."""
        return {name: [row[name] for row in self.rows] for name in self.rows[0]} if self.rows else {}

    def accuracy(self) -> dict[str, Number]:
        """Return the accuracies: last, best, and selected on the noisy validation twin.

        Best is an oracle, chosen on the test set; ties go to the first.
        """
        rows = [row for row in self.rows if row["test_accuracy"] is not None]
        if not rows:
            return {}
        tests = [row["test_accuracy"] or 0.0 for row in rows]
        chosen = int(np.argmax([row["validation_accuracy"] or 0.0 for row in rows]))
        return {
            "last": tests[-1],
            "best": max(tests),
            "selected": tests[chosen],
            "selected_epoch": rows[chosen]["epoch"],
        }


def measure(
    audits: Sequence[Audit],
    epoch: int,
    train: Tensor,
    test: Tensor | None,
    validation: Tensor | None,
    phases: Sequence[Sequence[Phase]],
) -> None:
    """Append the row of an epoch to the audit of each of K runs, with one copy from their device.

    Each row has the bits that it has alone.

    Args:
        audits: of the runs, which share their test set.
        train: logits of the training sets, [K, N, C].
        test: of the test set, [K, n, C]; None, as `validation`, where the protocol's `eval_every` leaves it out.
        validation: of the validation twins, [K, v, C].
        phases: those that trained each run this epoch, none before training.

    Raises:
        ValueError: a loss is not finite.
    """
    found = _of_training([audit.observed for audit in audits], train)
    tested = None if test is None else Predictions.of(test, audits[0].test)
    if tested is not None:
        found |= {"test": tested.correct.sum(-1), "gaps": tested.calibration_gaps()}
    if validation is not None:
        given = torch.stack([audit.validation for audit in audits])
        found["validation"] = (validation.argmax(-1) == given).sum(-1)
    splits = [_split_of(made) for made in phases]
    own = {f"{name} {number}": part for number, split in enumerate(splits) for name, part in split.items()}
    host = _on_host(found | own)
    for number, audit in enumerate(audits):
        audit.logits = train[number]
        audit.tested = audit.tested if tested is None else tested.member(number)
        audit.clean = splits[number]["clean"].clone() if "clean" in splits[number] else audit.clean
        split = {name: host[f"{name} {number}"] for name in splits[number]}
        audit.append(epoch, {name: host[name][number] for name in found} | split)


def _of_training(observed: Sequence[Tensor], logits: Tensor) -> dict[str, Tensor]:
    """Compute losses and predictions, [K, N], of K training sets from their observed labels and logits [K, N, C]."""
    given = torch.stack(list(observed))
    losses = F.cross_entropy(logits.float().flatten(0, 1), given.flatten(), reduction="none")
    return {"losses": losses.view_as(given), "predicted": logits.argmax(-1)}


def auroc(scores: NDArray[np.floating[Any]], positive: NDArray[np.bool_]) -> float | None:
    """Compute the area under the ROC curve of scores [N] for telling the positive samples [N] from the others.

    The same operations in the same order as `sklearn.metrics.roc_auc_score` 1.9, so the same bits, less its checks.

    Returns:
        None where all samples are positive, or none is.

    Raises:
        ValueError: a score is not finite.
    """
    count = np.count_nonzero(positive)
    if count in (0, len(positive)):
        return None
    order = np.argsort(-scores)
    ordered = scores[order]
    if not np.isfinite(ordered[[0, -1]]).all():  # no number comes last
        raise ValueError("Scores hold infinity or no number, so they have no AUROC")
    last = np.concatenate([np.flatnonzero(ordered[1:] != ordered[:-1]), [len(ordered) - 1]])  # of equal scores
    true_positives = positive[order].cumsum()[last]
    found = np.zeros((2, len(last) + 1))  # samples of either kind from each threshold upwards, beginning with none
    found[0, 1:], found[1, 1:] = last + 1 - true_positives, true_positives
    if len(last) > 2:  # points on a straight line between two others are left out, as there
        steps = found[:, 2:] - found[:, 1:-1]
        corner = (steps[:, 1:] != steps[:, :-1]).any(0)
        found = found[:, np.concatenate([[True, True], corner, [True]])]
    false_rate, true_rate = found[0] / (len(ordered) - count), found[1] / count
    return float(((false_rate[1:] - false_rate[:-1]) * (true_rate[1:] + true_rate[:-1]) / 2.0).sum())


def _split_of(phases: Sequence[Phase]) -> dict[str, Tensor]:
    """Return the first clean split and the first pseudo-labels of the phases, [M] by "clean" and "pseudo"."""
    made = [("clean", phase.clean) for phase in phases] + [("pseudo", phase.pseudo) for phase in phases]
    return {name: part for name, part in reversed(made) if part is not None}


def _on_host(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[np.float64]]:
    """Read tensors of numbers that double precision holds from their device at once."""
    flat = torch.cat([values.detach().double().flatten() for values in tensors.values()]).cpu().numpy()
    ends = np.cumsum([values.numel() for values in tensors.values()])[:-1]
    parts = zip(tensors.items(), np.split(flat, ends), strict=True)
    return {name: part.reshape(values.shape) for (name, values), part in parts}


def _calibration_error(gaps: NDArray[np.float64] | None, count: int) -> float | None:
    """Compute the expected calibration error with 15 equal bins (Guo et al., ICML 2017)."""
    return None if gaps is None else float(torch.from_numpy(gaps).abs().sum() / count)


def _ratio(hits: NDArray[np.float64] | None, count: int) -> float | None:
    return float(hits) / count if hits is not None and count else None


def _share(hits: NDArray[np.bool_]) -> float | None:
    return np.count_nonzero(hits) / len(hits) if len(hits) else None


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(torch.from_numpy(values).mean()) if len(values) else None
