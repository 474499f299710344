"""The audit against hand-counted cases and slow versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.method import Phase
from bench.engine.audit import Audit, Predictions, auroc, measure

TRUE = torch.tensor([0, 0, 1, 1, 2, 2])
OBSERVED = torch.tensor([0, 1, 1, 2, 2, 0])
PREDICTED = torch.tensor([0, 1, 1, 1, 0, 1])  # clean: right, right, wrong; mislabeled: memorized, recovered, neither


def audit(observed: torch.Tensor = OBSERVED, visible: torch.Tensor | None = None) -> Audit:
    visible = torch.arange(6) if visible is None else visible
    return Audit(TRUE, observed, torch.tensor([0, 1]), torch.tensor([2, 0]), visible)


def measure_alone(
    measured: Audit,
    epoch: int,
    train: Tensor,
    test: Tensor | None,
    validation: Tensor | None,
    phases: tuple[Phase, ...],
) -> None:
    tests, validations = (None if logits is None else logits[None] for logits in (test, validation))
    measure([measured], epoch, train[None], tests, validations, [phases])


def calibration_error(told: Predictions) -> float:
    return float(told.calibration_gaps().abs().sum() / len(told.correct))


def sharp(labels: torch.Tensor, height: float = 9.0) -> torch.Tensor:
    return F.one_hot(labels, 3).float() * height


def test_shares_of_mislabeled_and_clean_samples() -> None:
    measured = audit()
    measure_alone(measured, 0, sharp(PREDICTED), sharp(torch.tensor([0, 0])), sharp(torch.tensor([2, 1])), ())
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
    measure_alone(measured, 1, sharp(PREDICTED), sharp(torch.tensor([0, 1])), sharp(torch.tensor([2, 0])), (phase,))
    row = measured.rows[0]
    assert (row["split_size"], row["split_precision"]) == (2, 0.5)
    assert row["split_recall"] == pytest.approx(1 / 3)
    assert row["pseudo_label_accuracy"] == 0.75


def test_without_noise_nothing_is_memorized_and_without_split_nothing_is_claimed() -> None:
    measured = audit(observed=TRUE)
    measure_alone(measured, 0, sharp(PREDICTED), sharp(torch.tensor([0, 1])), sharp(torch.tensor([2, 0])), ())
    row = measured.rows[0]
    for name in ("memorized", "recovered", "neither", "loss_mislabeled", "loss_auroc", "split_size", "split_precision"):
        assert row[name] is None, name


def test_selection_reads_the_noisy_validation_and_takes_the_first_of_equals() -> None:
    measured = audit()
    tests = [[0, 0], [0, 1], [1, 0]]
    validations = [[1, 1], [2, 1], [0, 0]]
    for epoch, (test, validation) in enumerate(zip(tests, validations, strict=True)):
        measure_alone(measured, epoch, sharp(PREDICTED), sharp(torch.tensor(test)), sharp(torch.tensor(validation)), ())
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
    assert calibration_error(Predictions.of(logits, labels)) == pytest.approx(expected, abs=1e-9)


def test_the_last_row_with_a_test_set_is_kept_sample_by_sample() -> None:
    measured = audit()
    train, validation = sharp(PREDICTED), sharp(torch.tensor([2, 1]))
    assert measured.tested is None
    measure_alone(measured, 0, train, sharp(torch.tensor([1, 1])), validation, ())
    last = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.5, 3.0]])
    measure_alone(measured, 1, train, last, validation, ())
    measure_alone(measured, 2, train, None, None, ())
    told = measured.tested
    assert told is not None
    powers = np.exp(last.double().numpy())
    assert told.confidence.numpy() == pytest.approx((powers / powers.sum(1, keepdims=True)).max(1), rel=1e-6)
    assert (told.confidence.dtype, told.predicted.dtype, told.correct.dtype) == (torch.float32, torch.int16, torch.bool)
    assert told.predicted.tolist() == [0, 2]
    assert told.correct.tolist() == [True, False]


def test_samples_agree_with_the_accuracy_where_probabilities_are_equal() -> None:
    """A strongly regularized linear probe has logits that differ by less than single precision can show of a share."""
    measured = audit()
    logits = torch.tensor([[0.0, 1e-9, 0.0], [0.0, 0.0, 1e-9]])
    assert logits.softmax(1).unique().numel() == 1
    measure_alone(measured, 0, sharp(PREDICTED), logits, sharp(torch.tensor([2, 1])), ())
    told = measured.tested
    assert told is not None
    assert told.predicted.tolist() == [1, 2]
    assert told.correct.double().mean() == measured.rows[0]["test_accuracy"]
    assert measured.rows[0]["test_calibration_error"] == pytest.approx(calibration_error(told))


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
    measure_alone(measured, 1, sharp(PREDICTED), sharp(torch.tensor([0, 0])), sharp(torch.tensor([2, 1])), (phase,))
    row = measured.rows[0]
    told = {name for name, value in row.items() if value is not None}
    assert told == {
        "epoch", "test_accuracy", "test_calibration_error", "validation_accuracy", "train_given_accuracy", "split_size",
    }  # fmt: skip
    assert row["train_given_accuracy"] == 0.5
    assert row["split_size"] == 2


@pytest.mark.parametrize("decimals", [0, 1, 7], ids=["mostly ties", "some ties", "no ties"])
def test_the_area_under_the_curve_has_the_bits_of_scikit_learn(decimals: int) -> None:
    stream = np.random.default_rng(decimals)
    for size in [2, 3, 7, 8, 9, *stream.integers(10, 300, 150)]:
        scores = stream.standard_normal(size).astype(np.float32).round(decimals)
        for positives in {1, size // 2, size - 1}:
            positive = stream.permutation(size) < positives
            assert auroc(scores.astype(np.float64), positive) == roc_auc_score(positive, scores)


def test_the_area_under_the_curve_at_its_edges() -> None:
    wrong = np.array([False, True, True, False])
    assert auroc(np.array([1.0, 2.0, 3.0, 0.0]), wrong) == 1.0
    assert auroc(np.array([1.0, 0.0, 0.5, 2.0]), wrong) == 0.0
    assert auroc(np.full(4, 0.25), wrong) == 0.5
    assert auroc(np.arange(4.0), ~wrong | wrong) is None
    assert auroc(np.arange(4.0), wrong & ~wrong) is None
    for value in (np.inf, -np.inf, np.nan):
        with pytest.raises(ValueError, match="infinity or no number"):
            auroc(np.array([1.0, value, 0.5, 2.0]), wrong)


CLASSES, TRAIN, TEST, VALIDATION = 7, 53, 91, 13


def member(seed: int) -> Audit:
    """A run whose labels differ by seed, with the test set that all share."""
    stream = torch.Generator().manual_seed(seed)
    true, other, validation = (torch.randint(CLASSES, (n,), generator=stream) for n in (TRAIN, TRAIN, VALIDATION))
    observed = torch.where(torch.rand(TRAIN, generator=stream) < 0.4, other, true)
    test = torch.arange(TEST) % CLASSES
    return Audit(true, true if seed == 2 else observed, test, validation, torch.arange(seed, TRAIN), truth=seed != 3)


def split(seed: int) -> tuple[Phase, ...]:
    """The phases of a run of that seed: none, a clean split, or one with pseudo-labels."""
    stream = torch.Generator().manual_seed(100 + seed)
    size = TRAIN - seed
    clean = torch.rand(size, generator=stream) < 0.5
    pseudo = torch.randint(CLASSES, (size,), generator=stream)
    phase = Phase(
        torch.zeros(size, dtype=torch.long), torch.ones(size), clean=clean, pseudo=pseudo if seed % 2 else None
    )
    return (phase,) if seed else ()


@pytest.mark.parametrize("members", [1, 3, 8, 16])
def test_a_pack_is_measured_to_the_bits_of_each_run_alone(members: int) -> None:
    stream = torch.Generator().manual_seed(9)
    alone, together = [[member(seed) for seed in range(members)] for _ in range(2)]
    for epoch, tested in enumerate((True, False)):
        sizes = (TRAIN, TEST, VALIDATION)
        train, test, validation = (3 * torch.randn(members, n, CLASSES, generator=stream) for n in sizes)
        held_out = (test, validation) if tested else (None, None)
        measure(together, epoch, train, *held_out, [split(seed) for seed in range(members)])
        for seed, one in enumerate(alone):
            own = (test[seed], validation[seed]) if tested else (None, None)
            measure_alone(one, epoch, train[seed], *own, split(seed))
    for one, other in zip(alone, together, strict=True):
        assert one.rows == other.rows
        for name in ("losses", "predictions"):
            pairs = zip(getattr(one, name), getattr(other, name), strict=True)
            assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs), name
        assert one.tested is not None
        assert other.tested is not None
        assert calibration_error(one.tested) == calibration_error(other.tested) == one.rows[0]["test_calibration_error"]
        assert all(torch.equal(getattr(one.tested, n), getattr(other.tested, n)) for n in vars(one.tested))
        assert (one.clean is None and other.clean is None) or torch.equal(one.clean, other.clean)  # type: ignore[arg-type]
        assert torch.equal(one.logits, other.logits)  # type: ignore[arg-type]


def test_an_epoch_of_a_pack_is_read_from_its_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    members = [member(seed) for seed in range(4)]
    logits = [torch.randn(4, n, CLASSES) for n in (TRAIN, TEST, VALIDATION)]
    phases = [split(seed) for seed in range(4)]
    measure(members, 0, *logits, phases)  # the labels are read now
    real, copies = Tensor.cpu, list[Tensor]()
    monkeypatch.setattr(Tensor, "cpu", lambda self: copies.append(self) or real(self))  # type: ignore[func-returns-value]
    for name in ("item", "tolist", "__float__", "__int__", "__bool__"):  # what is left of these is on the host
        monkeypatch.setattr(Tensor, name, read_on_host(getattr(Tensor, name)), raising=False)
    measure(members, 1, *logits, phases)
    assert len(copies) == 1


def read_on_host(real: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """Allow a number to be read only of sums in double precision, which are made on the host."""

    def read(values: Tensor) -> Any:
        assert values.dtype == torch.double
        return real(values)

    return read
