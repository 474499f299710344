"""The embedded data sets and few-shot sampling."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts.dataset import SPLITS
from bench.data.splits import stratified
from bench.fewshot import sample
from bench.plugins import DATASETS

EMBEDDED = ["digits", "letters", "cued-letters"]
SIZES = {"digits": (10, 900, 358, 539), "letters": (26, 832, 208, 520), "cued-letters": (10, 320, 80, 400)}


@pytest.mark.parametrize("name", EMBEDDED)
def test_sizes_classes_and_disjoint_images(name: str) -> None:
    dataset = DATASETS.get(name)()
    classes, *sizes = SIZES[name]
    assert len(dataset.class_names) == DATASETS.row(name).classes == classes
    assert len(dataset.splits["train"]) == DATASETS.row(name).images
    assert [len(dataset.splits[split]) for split in SPLITS] == pytest.approx(sizes, abs=4)
    for split in SPLITS:
        labels = dataset.splits[split].labels
        assert set(labels) == set(range(classes))
        assert len(dataset.splits[split].images) == len(labels)
    assert all("{}" in template for template in dataset.templates)
    assert dataset.digest == DATASETS.get(name)().digest


def test_digits_are_all_of_scikit_learns_each_once() -> None:
    from sklearn.datasets import load_digits

    target = load_digits().target
    parts = stratified(target.astype(np.int64), "digits", (0.5, 0.2))
    together = np.concatenate(list(parts.values()))
    assert sorted(together) == list(range(1797))
    dataset = DATASETS.get("digits")()
    assert (dataset.splits["test"].labels == target[parts["test"]]).all()
    image = np.asarray(dataset.splits["test"].images[3])
    assert image.shape == (8, 8)
    assert (np.round(image / (255 / 16)) == load_digits().images[parts["test"][3]]).all()


def test_digits_need_no_import_of_scikit_learn() -> None:
    """It takes a worker longer than many a cell."""
    read = "from bench.data.sets.digits import Digits; Digits().splits"
    program = f"import sys; {read}; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@given(shots=st.integers(1, 40), seed=st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_few_shots_are_balanced_nested_and_disjoint_from_nothing_they_saw(shots: int, seed: int) -> None:
    labels = np.repeat(np.arange(6), [5, 10, 20, 40, 40, 40])
    positions, short = sample(labels, shots, seed, "toy", "train")
    assert len(set(positions)) == len(positions)
    counts = np.bincount(labels[positions], minlength=6)
    assert (counts == np.minimum(shots, [5, 10, 20, 40, 40, 40])).all()
    assert short == {c: n for c, n in enumerate([5, 10, 20, 40, 40, 40]) if n < shots}
    more, _ = sample(labels, shots + 3, seed, "toy", "train")
    assert set(positions) <= set(more)


def test_the_order_of_few_shots_does_not_give_the_label_away() -> None:
    """Sampling runs class by class; unpermuted, position // shots would be the label."""
    labels = np.repeat(np.arange(10), 50)
    agreements = []
    for seed in range(30):
        positions, _ = sample(labels, 16, seed, "toy", "train")
        agreements.append((labels[positions] == np.arange(160) // 16).mean())
    assert np.mean(agreements) == pytest.approx(0.1, abs=0.02)
