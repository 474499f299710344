"""The audit against hand-counted cases and slow versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench.contracts.method import Phase
from bench.engine.audit import Audit, Predictions

TRUE = torch.tensor([0, 0, 1, 1, 2, 2])
OBSERVED = torch.tensor([0, 1, 1, 2, 2, 0])
PREDICTED = torch.tensor([0, 1, 1, 1, 0, 1])  # clean: right, right, wrong; mislabeled: memorized, recovered, neither


def audit(observed: torch.Tensor = OBSERVED, visible: torch.Tensor | None = None) -> Audit:
    visible = torch.arange(6) if visible is None else visible
    return Audit(TRUE, observed, torch.tensor([0, 1]), torch.tensor([2, 0]), visible)


def sharp(labels: torch.Tensor, height: float = 9.0) -> torch.Tensor:
    return F.one_hot(labels, 3).float() * height


def test_shares_of_mislabeled_and_clean_samples() -> None:
    measured = audit()
    measured.measure(0, sharp(PREDICTED), sharp(torch.tensor([0, 0])), sharp(torch.tensor([2, 1])), ())
    row = measured.rows[0]
    assert row["memorized"] == row["recovered"] == row["neither"] == pytest.approx(1 / 3)
    assert row["train_clean_accuracy"] == pytest.approx(2 / 3)
    assert row["test_accuracy"] == row["validation_accuracy"] == 0.5
    losses = F.cross_entropy(sharp(PREDICTED), OBSERVED, reduction="none").double().numpy()
    wrong = (TRUE != OBSERVED).numpy()
    assert row["loss_mislabeled"] == pytest.approx(losses[wrong].mean())
    pairs = [(w > c) + 0.5 * (w == c) for w in losses[wrong] for c in losses[~wrong]]
    assert row["loss_auroc"] == pytest.approx(np.mean(pairs))


def test_clean_split_and_pseudo_labels_over_visible_samples_alone() -> None:
    visible = torch.tensor([0, 1, 2, 4])
    phase = Phase(
        torch.zeros(4, dtype=torch.long),
        torch.ones(4),
        clean=torch.tensor([True, True, False, False]),
        pseudo=torch.tensor([0, 0, 1, 1]),
    )
    measured = audit(visible=visible)
    measured.measure(1, sharp(PREDICTED), sharp(torch.tensor([0, 1])), sharp(torch.tensor([2, 0])), (phase,))
    row = measured.rows[0]
    assert (row["split_size"], row["split_precision"]) == (2, 0.5)
    assert row["split_recall"] == pytest.approx(1 / 3)
    assert row["pseudo_label_accuracy"] == 0.75


def test_without_noise_nothing_is_memorized_and_without_split_nothing_is_claimed() -> None:
    measured = audit(observed=TRUE)
    measured.measure(0, sharp(PREDICTED), sharp(torch.tensor([0, 1])), sharp(torch.tensor([2, 0])), ())
    row = measured.rows[0]
    for name in ("memorized", "recovered", "neither", "loss_mislabeled", "loss_auroc", "split_size", "split_precision"):
        assert row[name] is None, name


def test_selection_reads_the_noisy_validation_and_takes_the_first_of_equals() -> None:
    measured = audit()
    tests = [[0, 0], [0, 1], [1, 0]]
    validations = [[1, 1], [2, 1], [0, 0]]
    for epoch, (test, validation) in enumerate(zip(tests, validations, strict=True)):
        measured.measure(epoch, sharp(PREDICTED), sharp(torch.tensor(test)), sharp(torch.tensor(validation)), ())
    assert measured.accuracy() == {"last": 0.0, "best": 1.0, "selected": 1.0, "selected_epoch": 1}
    assert measured.curve()["epoch"] == [0, 1, 2]


def test_calibration_error_against_a_loop() -> None:
    logits = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)) * 2
    labels = torch.randint(4, (500,), generator=torch.Generator().manual_seed(1))
    confidence, predicted = logits.softmax(1).max(1)
    expected = 0.0
    for low in range(15):
        inside = (confidence >= low / 15) & (confidence < (low + 1) / 15)
        if inside.any():
            gap = (predicted == labels)[inside].double().mean() - confidence[inside].double().mean()
            expected += float(inside.double().mean() * gap.abs())
    assert Predictions.of(logits, labels).calibration_error() == pytest.approx(expected, abs=1e-9)


def test_the_last_row_with_a_test_set_is_kept_sample_by_sample() -> None:
    measured = audit()
    train, validation = sharp(PREDICTED), sharp(torch.tensor([2, 1]))
    assert measured.tested is None
    measured.measure(0, train, sharp(torch.tensor([1, 1])), validation, ())
    last = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.5, 3.0]])
    measured.measure(1, train, last, validation, ())
    measured.measure(2, train, None, None, ())
    told = measured.tested
    assert told is not None
    powers = np.exp(last.double().numpy())
    assert told.confidence.numpy() == pytest.approx((powers / powers.sum(1, keepdims=True)).max(1), rel=1e-6)
    assert (told.confidence.dtype, told.predicted.dtype, told.correct.dtype) == (torch.float32, torch.int16, torch.bool)
    assert told.predicted.tolist() == [0, 2]
    assert told.correct.tolist() == [True, False]


def test_numbers_of_single_samples_by_truth() -> None:
    gate = torch.tensor([0.1, 0.9, 0.3, 0.5, 0.5, 0.2])  # mislabeled are the second, fourth and sixth
    row = audit().by_truth({"gate": gate, "even": torch.full((6,), 0.25)})
    assert row["gate_clean"] == pytest.approx((0.1 + 0.3 + 0.5) / 3)
    assert row["gate_mislabeled"] == pytest.approx((0.9 + 0.5 + 0.2) / 3)
    assert row["gate_auroc"] == pytest.approx((3 + 2.5 + 1) / 9)  # of nine pairs, one is equal
    assert row["even_auroc"] == 0.5
    assert row["even_clean"] == row["even_mislabeled"] == 0.25
    assert audit().by_truth({}) == {}


def test_numbers_of_single_samples_where_nothing_can_be_told() -> None:
    gate = torch.tensor([0.1, 0.9, 0.3, 0.5, 0.5, 0.2])
    clean = audit(observed=TRUE).by_truth({"gate": gate})
    assert clean == {"gate_clean": pytest.approx(2.5 / 6), "gate_mislabeled": None, "gate_auroc": None}
    nothing = {"gate_clean": None, "gate_mislabeled": None, "gate_auroc": None}
    unknown = Audit(OBSERVED, OBSERVED, torch.tensor([0]), torch.tensor([0]), torch.arange(6), truth=False)
    assert unknown.by_truth({"gate": gate}) == nothing
    assert audit().by_truth({"gate": gate.where(gate != 0.3, torch.nan)}) == nothing


def test_where_the_truth_is_unknown_agreement_and_the_size_of_a_split_are_all_that_is_claimed() -> None:
    phase = Phase(
        torch.zeros(6, dtype=torch.long),
        torch.ones(6),
        clean=torch.tensor([True, True, False, False, False, False]),
        pseudo=torch.tensor([0, 0, 1, 1, 2, 2]),
    )
    measured = Audit(OBSERVED, OBSERVED, torch.tensor([0, 1]), torch.tensor([2, 0]), torch.arange(6), truth=False)
    measured.measure(1, sharp(PREDICTED), sharp(torch.tensor([0, 0])), sharp(torch.tensor([2, 1])), (phase,))
    row = measured.rows[0]
    told = {name for name, value in row.items() if value is not None}
    assert told == {
        "epoch", "test_accuracy", "test_calibration_error", "validation_accuracy", "train_given_accuracy", "split_size",
    }  # fmt: skip
    assert row["train_given_accuracy"] == 0.5
    assert row["split_size"] == 2
