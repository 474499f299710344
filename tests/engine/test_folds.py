"""Folds: nothing of a sample that is left out reaches the method, and what it says of it afterwards is kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts.dataset import Dataset, SplitName
from bench.contracts.method import Inputs
from bench.contracts.noise import NoisyLabels, Sampled
from bench.engine.labelling import left_out
from bench.engine.outcomes import sample_outcomes
from bench.engine.trial import Run, run_cell
from bench.errors import BenchError
from bench.execution.summary import summary_rows
from bench.plugins import METHODS
from bench.reports.frame import tidy
from tests.cells import make_cell
from tests.few_digits import SETTINGS, execute, few, finished

ALL = sorted(METHODS)


@given(labels=st.lists(st.integers(0, 4), min_size=4, max_size=80), count=st.integers(2, 4), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_folds_leave_each_sample_out_once_and_are_balanced_by_label(labels: list[int], count: int, seed: int) -> None:
    observed = np.array(labels)
    masks = [left_out(make_cell(subset=f"fold{n}of{count}", seed=seed), observed) for n in range(1, count + 1)]
    assert (np.sum(masks, axis=0) == 1).all()
    for label, size in Counter(labels).items():
        sizes = [int((observed[mask] == label).sum()) for mask in masks]
        assert size // count <= min(sizes)
        assert max(sizes) <= -(-size // count)


def test_a_fold_is_the_same_for_every_method_and_another_for_another_seed() -> None:
    observed = np.repeat(np.arange(5), 8)
    first = left_out(make_cell(subset="fold1of4"), observed)
    assert (first == left_out(make_cell(subset="fold1of4", method="other", epochs=9), observed)).all()
    assert (first != left_out(make_cell(subset="fold1of4", seed=2), observed)).any()
    assert not left_out(make_cell(), observed).any()


class Spoiled(Run):
    """A run in which the samples that the fold leaves out have other labels and other features."""

    def _label(self, dataset: Dataset) -> tuple[Sampled, Sampled]:
        train, validation = super()._label(dataset)
        self.hidden = left_out(self.cell, train.noisy.observed)
        observed = np.where(self.hidden, (train.noisy.observed + 1) % 10, train.noisy.observed)
        self.train = replace(train, noisy=NoisyLabels(train.noisy.true, observed, 10))
        return self.train, validation

    def _shown(self, noisy: NoisyLabels) -> Any:
        return ~self.hidden

    def _inputs(self, dataset: Dataset, split: SplitName, *rest: Any) -> Inputs:
        inputs = super()._inputs(dataset, split, *rest)
        return spoil(inputs, torch.from_numpy(np.flatnonzero(self.hidden))) if split == "train" else inputs

    def _pool(self, whole: Inputs, train: Sampled) -> Inputs:
        return super()._pool(spoil(whole, torch.from_numpy(train.positions[self.hidden])), train)


def logits_of(run: Run) -> torch.Tensor:
    assert run.audit is not None
    assert run.audit.logits is not None
    return run.audit.logits


def spoil(inputs: Inputs, rows: torch.Tensor) -> Inputs:
    """Inputs with nonsense in some rows."""
    parts = [None if part is None else part[:].clone() for part in (inputs.pooled, inputs.tokens, inputs.pixels)]
    for part in parts:
        if part is not None:
            part[rows] = 7 - part[rows].flip(0)
    return Inputs(*parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ALL)
def test_nothing_of_a_left_out_sample_reaches_a_method(method: str) -> None:
    """Other labels and other features of the left-out samples: the same bits in all that the method is and predicts."""
    plain, spoiled = finished(method), Spoiled(few(method, subset="fold2of3"), SETTINGS)
    hidden = np.setdiff1d(np.arange(30), plain.visible)
    assert len(hidden) == 10
    execute(spoiled)
    assert plain.method is not None
    assert spoiled.method is not None
    first, second = plain.method.state_dict(), spoiled.method.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(logits_of(plain)[plain.visible], logits_of(spoiled)[plain.visible])
    assert not torch.equal(logits_of(plain)[hidden], logits_of(spoiled)[hidden])  # they were spoiled indeed


@pytest.mark.parametrize("method", ALL)
def test_outcomes_hold_what_is_out_of_sample_and_the_last_split(method: str) -> None:
    run = finished(method)
    told, hidden = run.outcomes(), np.setdiff1d(np.arange(30), run.visible)
    unseen = hidden if METHODS.get(method).reads_labels else np.arange(30)
    assert (told["unseen"] == unseen).all()
    assert told["probabilities"] == pytest.approx(logits_of(run)[unseen].softmax(1).numpy(), abs=1e-6)
    assert told["probabilities"].dtype == np.float32
    assert run.audit is not None
    size = run.audit.rows[-1]["split_size"]
    assert ("selected" in told) == (size is not None)
    if size is not None:
        assert (told["selected"] == 1).sum() == size
        assert (told["selected"][hidden] == -1).all()
        assert (told["selected"][run.visible] >= 0).all()


@pytest.mark.parametrize("method", [*(name for name in ALL if not METHODS.get(name).reads_labels), "coop"])
def test_a_method_that_says_so_reads_no_label(method: str) -> None:
    class Other(Run):
        def _label(self, dataset: Dataset) -> tuple[Sampled, Sampled]:
            train, validation = super()._label(dataset)
            self.train = replace(train, noisy=NoisyLabels(train.noisy.true, (train.noisy.observed + 4) % 10, 10))
            return self.train, validation

    runs = [kind(few(method), SETTINGS) for kind in (Run, Other)]
    for run in runs:
        execute(run)
    assert torch.equal(*map(logits_of, runs)) != METHODS.get(method).reads_labels


def test_more_folds_than_samples_are_refused_in_one_line() -> None:
    record, _ = run_cell("key", few("coop", subset="fold40of40"), SETTINGS)
    assert record.status == "failed"
    assert record.reason == "fold 40 of 40 has none, or all, of 30 samples; use fewer folds."


def test_many_probabilities_are_kept_in_half_precision() -> None:
    run = finished("zero-shot")
    assert run.audit is not None
    assert run.train is not None
    kept = [sample_outcomes(run.audit, run.train, run.visible, np.ones(30, bool), many) for many in (299, 300)]
    assert [one["probabilities"].dtype for one in kept] == [np.float16, np.float32]


def test_folds_are_one_row_of_the_summary_and_no_row_of_a_report() -> None:
    cells = [few("coop", seed=seed, subset=f"fold{n}of3") for seed in (1, 2) for n in (1, 2, 3)]
    records = [run_cell(f"key{i}", cell, SETTINGS)[0] for i, cell in enumerate([*cells, few("coop")])]
    columns, rows = summary_rows(records)
    assert [row[columns.index("method")] for row in rows] == ["coop@folds3", "coop"]
    assert [row[columns.index("seeds")] for row in rows] == ["2", "1"]
    accuracy = 100 * np.mean([record.accuracy.last or 0 for record in records[:6]])
    assert float(rows[0][columns.index("accuracy %")]) == pytest.approx(accuracy, abs=0.06)
    assert tidy(records)["key"].tolist() == ["key6"]
    assert tidy(records[:6]).empty


def test_a_report_of_folds_alone_says_where_they_belong(tmp_path: Any) -> None:
    from bench.reports.build import build_report

    record, _ = run_cell("key", few("coop", subset="fold1of3"), SETTINGS)
    with pytest.raises(BenchError, match="nothing but folds"):
        build_report([record], tmp_path / "report")
