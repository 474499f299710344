"""Semantic confusion: the matrix, its top share, and the labels drawn from it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts.noise import Scene
from bench.errors import BenchError
from bench.noise.confusion import confusions, top_share
from bench.noise.flip import floor_share
from bench.plugins import NOISE
from tests.noise.scenes import balanced, drawn, scene, toy_features, toy_texts


def matrix(place: Scene, **options: object) -> tuple[np.ndarray, float]:
    kind = NOISE.get("confusion")
    found: tuple[np.ndarray, float] = kind(kind.Options(**options)).matrix(place)  # type: ignore[attr-defined]
    return found


def slow(scores: np.ndarray, tau: float) -> np.ndarray:
    rows = []
    for y, row in enumerate(scores):
        weights = [0.0 if j == y else math.exp(score / tau) for j, score in enumerate(row)]
        rows.append([weight / sum(weights) for weight in weights])
    return np.array(rows)


@given(classes=st.integers(4, 9), wanted=st.integers(36, 95).map(lambda n: n / 100))
@settings(max_examples=30, deadline=None)
def test_the_text_matrix_has_its_top_share(classes: int, wanted: float) -> None:
    shares, tau = matrix(scene(balanced(classes, 2), classes), top_share=wanted)
    assert np.allclose(shares.sum(1), 1)
    assert (np.diag(shares) == 0).all()
    assert shares.max(1).mean() == pytest.approx(wanted, abs=1e-6)
    texts = toy_texts(classes)("").astype(np.float64)
    assert np.allclose(shares, slow(texts @ texts.T, tau), atol=1e-12)


def test_the_order_of_similarity_is_the_order_of_shares() -> None:
    texts = toy_texts(8)("").astype(np.float64)
    similarity = texts @ texts.T
    np.fill_diagonal(similarity, -np.inf)
    shares, _ = matrix(scene(balanced(8, 2), 8))
    assert (np.argsort(similarity, axis=1) == np.argsort(np.where(np.eye(8), -1, shares), axis=1)).all()


def test_top_share_falls_with_tau() -> None:
    texts = toy_texts(8)("").astype(np.float64)
    values = [top_share(texts @ texts.T, tau) for tau in np.geomspace(1e-3, 1e3, 40)]
    assert (np.diff(values) <= 1e-12).all()
    assert confusions(np.eye(3), 1e9).max() == pytest.approx(0.5)


def leaky(place: Scene, labels: np.ndarray) -> Scene:
    """Images that a zero-shot model takes for the next class one time in three, told apart by position."""
    texts = np.eye(place.num_classes, dtype=np.float32)
    taken = np.where(np.arange(len(labels)) % 3 == 0, (labels + 1) % place.num_classes, labels)
    return replace(place, features=lambda e, positions: texts[taken[positions]], texts=lambda e: texts)


def test_the_zero_shot_matrix_is_counted_on_images_that_are_no_shots() -> None:
    labels = balanced(5, 60)
    place = leaky(scene(labels, 5, shots=10), labels)
    shares, tau = matrix(place, by="zero-shot", top_share=0.6)
    shots = set(place.sample()[0].tolist())
    counts = np.ones((5, 5))
    for position, label in enumerate(labels):
        if position not in shots and position % 3 == 0:
            counts[label, (label + 1) % 5] += 1
    assert np.allclose(shares, slow(np.log(counts), tau))
    assert shares.max(1).mean() == pytest.approx(0.6, abs=1e-6)
    assert (shares.argmax(1) == (np.arange(5) + 1) % 5).all()
    plain = confusions(np.log(counts), 1.0)
    assert np.allclose(plain[0, 1:], counts[0, 1:] / counts[0, 1:].sum()), "tau = 1 is the counted matrix"


def test_the_zero_shot_matrix_of_the_validation_twin_is_the_training_ones() -> None:
    labels = balanced(5, 60)
    train = leaky(scene(labels, 5, shots=10), labels)
    twin = scene(balanced(5, 4), 5, shots=4, split_name="validation", training=train, texts=train.texts)
    assert (matrix(twin, by="zero-shot")[0] == matrix(train, by="zero-shot")[0]).all()
    assert drawn("confusion", twin, 0.5, by="zero-shot").facts == drawn("confusion", train, 0.5, by="zero-shot").facts


def test_where_all_images_are_shots_none_is_left_to_count() -> None:
    with pytest.raises(BenchError) as caught:
        drawn("confusion", scene(balanced(5, 4), 5), 0.5, by="zero-shot")
    assert str(caught.value) == (
        "noise confusion[by=zero-shot] counts mistakes on training images that are no shots, and all 20 are; "
        "use by=text, or fewer shots."
    )


def test_labels_follow_the_matrix_and_facts_say_which() -> None:
    place = scene(np.repeat(np.arange(5), 2000), 5, features=lambda e, p: toy_features(e, p % 4096))
    found = drawn("confusion", place, 0.5)
    shares, tau = matrix(place)
    counts = np.zeros((5, 5))
    noisy = found.noisy
    np.add.at(counts, (noisy.true[noisy.mislabeled], noisy.observed[noisy.mislabeled]), 1)
    expected = counts.sum(1, keepdims=True) * shares
    assert (np.abs(counts - expected) <= 4 * np.sqrt(expected * (1 - shares)) + 1e-9).all()
    assert noisy.mislabeled.sum() == floor_share(0.5, 10_000)
    assert found.facts == {"encoder": "tiny", "tau": tau, "top_share": pytest.approx(0.4)}


@pytest.mark.parametrize(("classes", "wanted", "low"), [(3, 0.4, "0.5"), (2, 0.4, "1"), (10, 0.1, "0.1111")])
def test_a_share_that_cannot_be_reached_is_one_line(classes: int, wanted: float, low: str) -> None:
    with pytest.raises(BenchError) as caught:
        drawn("confusion", scene(balanced(classes, 4), classes), 0.5, top_share=wanted)
    assert str(caught.value).startswith(
        f"noise confusion: top_share {wanted:g} cannot be reached, with these {classes} classes it lies between {low} a"
    )


def test_classes_with_the_same_text_cannot_be_told_apart() -> None:
    alike = np.ones((6, 4), dtype=np.float32) / 2
    with pytest.raises(BenchError, match=r"it lies between 0\.2 and 0\.2; choose one between, or another kind"):
        drawn("confusion", scene(balanced(6, 4), 6, texts=lambda encoder: alike), 0.5)


@pytest.mark.parametrize("missing", ["features", "texts"])
def test_without_an_encoder_one_line(missing: str) -> None:
    place = scene(balanced(6, 4), 6)
    with pytest.raises(BenchError, match="noise confusion needs the encoder tiny, which cannot be run here"):
        drawn("confusion", replace(place, **{missing: None}), 0.5, by="zero-shot")
