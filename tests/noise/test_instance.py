"""Instance-dependent noise against the generator written out slowly, and what its scale rule says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.contracts.noise import Sampled, Scene
from bench.errors import BenchError
from bench.noise.helpers import normal
from bench.noise.instance import flip_rates
from bench.plugins import NOISE
from bench.seeds import Stream
from tests.noise.scenes import balanced, drawn, scene, toy_features


def slow(place: Scene, rate: float, temperature: float, sd: float) -> np.ndarray:
    """The definition, sample by sample, over the same uniform numbers."""
    positions, _ = place.sample()
    true, classes = place.split.labels[positions], place.num_classes
    stream = place.stream("instance")
    first, second, third = (stream.uniform(len(true)) for _ in range(3))
    features = toy_features("", positions).astype(np.float64)
    features = features - features.mean(0)
    features = features / np.sqrt(np.mean([row @ row for row in features]))
    observed = []
    for i, label in enumerate(true):
        q = stats.truncnorm.ppf(first[i], -rate / sd, (1 - rate) / sd, loc=rate, scale=sd)
        words = place.stream("instance", "projection", int(label)).uniform(12 * classes)
        projection = stats.norm.ppf(words).reshape(12, classes)
        weights = np.exp(features[i] @ projection / temperature)
        weights[label] = 0
        bounds = np.cumsum(weights / weights.sum())
        observed.append(int(np.argmax(third[i] < bounds)) if second[i] < q else label)
    return np.array(observed)


@pytest.mark.parametrize(("rate", "temperature", "sd"), [(0.5, 1.0, 0.1), (0.2, 0.3, 0.1), (0.9, 2.0, 0.3)])
def test_labels_are_those_of_the_definition(rate: float, temperature: float, sd: float) -> None:
    place = scene(balanced(6, 40), 6)
    found = drawn("instance", place, rate, temperature=temperature, sd=sd)
    assert (found.noisy.observed == slow(place, rate, temperature, sd)).all()


@pytest.mark.parametrize(("rate", "mean"), [(0.1, 0.129), (0.2, 0.2055), (0.3, 0.3004), (0.4, 0.400), (0.5, 0.500)])
def test_flip_rates_have_the_means_of_the_truncated_normal(rate: float, mean: float) -> None:
    """The figures of the specification: below a rate of .2 the realised rate exceeds the nominal one."""
    uniform = (np.arange(100_000) + 0.5) / 100_000
    assert flip_rates(rate, 0.1, uniform).mean() == pytest.approx(mean, abs=5e-4)


@given(
    rates=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)),
    number=st.floats(0, 1, exclude_max=True), sd=st.sampled_from([0.01, 0.1, 0.5]),
)  # fmt: skip
def test_flip_rates_grow_with_the_rate_and_stay_shares(rates: tuple[float, float], number: float, sd: float) -> None:
    low, high = (flip_rates(rate, sd, np.array([number]))[0] for rate in sorted(rates))
    assert 0 <= low <= high + 1e-12
    assert high <= 1


def test_normals_are_normal_and_finite_at_the_ends() -> None:
    values = normal(Stream(1, "noise", "a"), 200_000)
    assert stats.kstest(values, "norm").pvalue > 0.01

    class Ends:
        def uniform(self, size: int) -> np.ndarray:
            return np.array([0.0, 1 - 2.0**-53])

    assert np.isfinite(normal(Ends(), 2)).all()  # type: ignore[arg-type]


def logits(place: Scene) -> tuple[np.ndarray, np.ndarray]:
    noise = NOISE.get("instance")()
    positions, _ = place.sample()
    features = noise._features(place, positions)
    shares = noise.targets(place.split.labels[positions], features, place)
    return features, shares


def test_logits_have_unit_deviation_over_the_shots_whatever_the_encoder() -> None:
    for scale, shift in ((1, 0), (30, 0), (1, 50)):
        place = scene(balanced(5, 60), 5, features=lambda e, p, a=scale, b=shift: toy_features(e, p) * a + b)
        features, _ = logits(place)
        assert np.abs(features.mean(0)).max() < 1e-6
        drawn_logits = [
            (features @ normal(Stream(seed, "noise", "w"), 12 * 5).reshape(12, 5)).std(axis=0) for seed in range(200)
        ]
        assert np.sqrt(np.mean(np.square(drawn_logits))) == pytest.approx(1, abs=0.03)


def test_the_target_depends_on_the_image_and_follows_its_distribution() -> None:
    """Two images of one class have different shares; observed targets agree with the shares in sum."""
    place = scene(balanced(5, 700), 5)
    found = drawn("instance", place, 0.6)
    _, shares = logits(place)
    true, wrong = found.noisy.true, found.noisy.mislabeled
    assert (shares[np.arange(len(true)), true] == 0).all()
    of_one = shares[true == 0]
    assert of_one[:, 1:].std(axis=0).min() > 0.05
    expected = shares[wrong].sum(0)
    spread = np.sqrt((shares[wrong] * (1 - shares[wrong])).sum(0))
    counts = np.bincount(found.noisy.observed[wrong], minlength=5)
    assert (np.abs(counts - expected) < 4 * spread).all()
    likelihood = shares[wrong, found.noisy.observed[wrong]].mean()
    assert likelihood == pytest.approx((shares[wrong] ** 2).sum(1).mean(), abs=0.02)
    assert likelihood > 0.3, "a class-wide target would be met with a share of one quarter"


def test_facts_say_what_was_expected() -> None:
    found = drawn("instance", scene(balanced(5, 700), 5), 0.1)
    rate = found.facts["mean_flip_rate"]
    assert rate == pytest.approx(0.129, abs=0.005)
    assert found.noisy.realised_rate == pytest.approx(rate, abs=4 * np.sqrt(0.13 * 0.87 / 3500))


def test_a_low_temperature_makes_the_target_a_function_of_the_image() -> None:
    """What raw pixels do in the original."""
    shares = [
        drawn("instance", scene(balanced(10, 60), 10), 0.5, temperature=t).facts["mean_top_share"] for t in (1, 0.01)
    ]
    assert shares[0] < 0.5
    assert shares[1] > 0.95


def test_both_splits_have_the_same_confusions() -> None:
    """The same image in both splits has the same shares: W, centre and scale are the training scene's."""
    train = scene(balanced(4, 30), 4)
    twin = replace(train, split_name="validation", training=train)
    positions, _ = twin.sample()
    noise = NOISE.get("instance")()
    assert (noise._features(twin, positions) == noise._features(train, positions)).all()
    labels, features = twin.split.labels[positions], noise._features(twin, positions)
    assert (noise.targets(labels, features, twin) == noise.targets(labels, features, train)).all()
    observed = [noise.draw(place, 0.5).noisy.mislabeled for place in (train, twin)]
    assert (observed[0] != observed[1]).any(), "but which samples flip is drawn anew"


def test_images_that_are_all_alike_get_equal_shares() -> None:
    place = scene(balanced(3, 5), 3, features=lambda encoder, positions: np.ones((len(positions), 4), np.float32))
    assert np.allclose(logits(place)[1].max(1), 0.5)


def test_without_an_encoder_one_line() -> None:
    with pytest.raises(BenchError, match="noise instance needs the encoder thumbnail, which cannot be run here"):
        drawn("instance", scene(balanced(3, 5), 3, features=None), 0.5)


def test_the_encoder_asked_for_is_the_one_used() -> None:
    asked: list[str] = []

    def features(encoder: str, positions: np.ndarray) -> np.ndarray:
        asked.append(encoder)
        return toy_features(encoder, positions)

    found: Sampled = drawn("instance", scene(balanced(3, 5), 3, features=features), 0.5, encoder="tiny")
    assert asked == ["tiny"]
    assert len(found.positions) == 15
