"""Compare a method's predictions with the true labels. No other module does.

Every number is for one evaluated epoch. Shares are fractions; a number that is not defined (the loss of mislabeled
samples where none is mislabeled) is None. N training samples, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    """Predictions for the n test samples at one epoch.

    Attributes:
        confidence: the largest probability, [n] float32.
        predicted: its class, [n] int16.
        correct: whether that is the test label, [n] bool.
    """

    confidence: Tensor
    predicted: Tensor
    correct: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> Predictions:
        """Build predictions from logits [n, C] and labels [n]."""
        confidence, predicted = logits.float().softmax(1).max(1)
        return cls(confidence, predicted.to(torch.int16), predicted == labels)

    def calibration_error(self) -> float:
        """Compute the expected calibration error with 15 equal bins (Guo et al., ICML 2017)."""
        gap = self.correct.double() - self.confidence.double()
        bins = (self.confidence * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)
        total = torch.zeros(CALIBRATION_BINS, dtype=torch.double, device=gap.device).index_add(0, bins, gap)
        return float(total.abs().sum() / len(gap))


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

    def measure(
        self, epoch: int, train: Tensor, test: Tensor | None, validation: Tensor | None, phases: Sequence[Phase]
    ) -> None:
        """Append the row of an epoch from logits: train [N, C], test [n, C], validation [v, C].

        `phases` are those that trained this epoch, none before training; `test` and `validation` are None where
        the protocol's `eval_every` leaves them out.
        """
        losses = F.cross_entropy(train.float(), self.observed, reduction="none")
        predicted = train.argmax(1)
        self.logits = train
        tested = None if test is None else Predictions.of(test, self.test)
        self.tested = tested or self.tested
        self.losses.append(losses.cpu().numpy().astype(np.float32))
        self.predictions.append(predicted.cpu().numpy().astype(np.int16))
        row: dict[str, Number] = {"epoch": epoch}
        row["test_accuracy"] = None if test is None else _share(test.argmax(1) == self.test)
        row["test_calibration_error"] = None if tested is None else tested.calibration_error()
        row["validation_accuracy"] = None if validation is None else _share(validation.argmax(1) == self.validation)
        row |= self._memorization(predicted, losses) | self._split(phases)
        self.rows.append(row)

    def _memorization(self, predicted: Tensor, losses: Tensor) -> dict[str, Number]:
        given = predicted == self.observed
        row: dict[str, Number] = {"train_given_accuracy": _share(given)}
        if not self.truth:
            return row | dict.fromkeys(MEMORIZATION)
        wrong, recovered = self.true != self.observed, predicted == self.true
        return row | {
            "train_clean_accuracy": _share(recovered[~wrong]),
            "memorized": _share(given[wrong]),
            "recovered": _share(recovered[wrong]),
            "neither": _share(~(given | recovered)[wrong]),
            "loss_clean": _mean(losses[~wrong]),
            "loss_mislabeled": _mean(losses[wrong]),
            "loss_auroc": _auroc(losses, wrong),
        }

    def _split(self, phases: Sequence[Phase]) -> dict[str, Number]:
        clean = next((phase.clean for phase in phases if phase.clean is not None), None)
        pseudo = next((phase.pseudo for phase in phases if phase.pseudo is not None), None)
        truly_clean = (self.true == self.observed)[self.visible]
        row: dict[str, Number] = dict.fromkeys(SPLIT_COLUMNS)
        if clean is not None:
            self.clean = clean.clone()
            row["split_size"] = int(clean.sum())
        if clean is not None and self.truth:
            row["split_precision"] = _share(truly_clean[clean])
            row["split_recall"] = _share(clean[truly_clean])
        if pseudo is not None and self.truth:
            row["pseudo_label_accuracy"] = _share(pseudo == self.true[self.visible])
        return row

    def by_truth(self, samples: Mapping[str, Tensor]) -> dict[str, Number]:
        """Compare per-sample numbers, [N] by name, between correct and wrong labels.

        Returns:
            For each name the means `NAME_clean` and `NAME_mislabeled`, and `NAME_auroc`, the area under the ROC curve
            of the number for telling mislabeled samples: above one half where theirs is larger. None where a number is
            not finite.
        """
        row: dict[str, Number] = {}
        wrong = self.true != self.observed
        for name, values in samples.items():
            known = self.truth and bool(values.isfinite().all())
            row[f"{name}_clean"] = _mean(values[~wrong]) if known else None
            row[f"{name}_mislabeled"] = _mean(values[wrong]) if known else None
            row[f"{name}_auroc"] = _auroc(values, wrong) if known else None
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


def _share(hits: Tensor) -> float | None:
    return float(hits.double().mean()) if len(hits) else None


def _mean(values: Tensor) -> float | None:
    return float(values.double().mean()) if len(values) else None


def _auroc(scores: Tensor, positive: Tensor) -> float | None:
    from sklearn.metrics import roc_auc_score

    if not positive.any() or positive.all():
        return None
    return float(roc_auc_score(positive.cpu().numpy(), scores.cpu().numpy()))
