"""What holds for every registered kind, tried at its settings on `digits`; and the parts they share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.contracts.dataset import Split
from bench.contracts.noise import Foreign, NoisyLabels, Sampled, Scene
from bench.errors import BenchError
from bench.grid.options import noise_identity, noise_kind, noise_roles, noise_variant, takes_rate
from bench.noise.flip import floor_share, leading
from bench.plugins import NOISE
from bench.variants import variant_text
from tests.noise.kinds import SETTINGS, SPLITS, Setting, digest, sampled
from tests.noise.scenes import balanced, drawn, scene

RATES = [0.05, 0.125, 0.29, 0.375, 0.5, 0.58, 0.75, 0.99]
everything = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.noise)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


@pytest.mark.parametrize("kind", list(NOISE))
def test_every_kind_has_a_setting_and_a_name_in_reports(kind: str) -> None:
    assert kind in {noise_kind(setting.noise) for setting in SETTINGS}, "add a row to SETTINGS in tests/noise/kinds.py"
    assert NOISE.row(kind).title, "give its row in noise/__init__.py a title"
    assert NOISE.get(kind).kind == kind


@everything
@pytest.mark.parametrize("split", SPLITS)
def test_counts_ranges_and_facts(setting: Setting, split: str, tmp_path: Path, cache: Path) -> None:
    found = sampled(setting, tmp_path, cache, split)
    shots = {"train": 16, "validation": 4}[split]
    noisy = found.noisy
    assert len(found.positions) == len(noisy.true) == len(noisy.observed) == 10 * shots
    assert noisy.observed.min() >= 0
    assert noisy.observed.max() < 10
    assert noisy.num_classes == 10
    assert noisy.truth
    assert len(set(found.positions)) == len(found.positions)
    if setting.exact and takes_rate(setting.noise):
        assert noisy.mislabeled.sum() == floor_share(setting.rate, 10 * shots)
    assert noisy.mislabeled.any() == (setting.noise != "none")
    assert noisy.summary()["realised_rate"] == noisy.mislabeled.mean()


@everything
def test_digests_are_pinned(setting: Setting, tmp_path: Path, cache: Path) -> None:
    """Published masks must stay what they are; a kind that a change reaches gets a new version."""
    if setting.pinned is not None:
        assert digest(sampled(setting, tmp_path, cache)) == setting.pinned


@everything
def test_nested_over_rates(setting: Setting, tmp_path: Path, cache: Path) -> None:
    if not setting.nested:
        assert not takes_rate(setting.noise)
        return
    before = None
    for rate in [r for r in RATES if r <= 0.5 or "half" not in setting.noise]:
        now = sampled(setting, tmp_path, cache, rate=rate)
        if before is not None:
            wrong = before.noisy.mislabeled
            assert now.noisy.mislabeled.sum() >= wrong.sum()
            for name in ("true", "observed"):
                assert (getattr(now.noisy, name)[wrong] == getattr(before.noisy, name)[wrong]).all()
            assert (now.positions[wrong] == before.positions[wrong]).all()
            if now.foreign is not None and before.foreign is not None:
                assert (now.foreign.positions[wrong] == before.foreign.positions[wrong]).all()
        before = now


@everything
def test_rate_zero_is_no_noise(setting: Setting, tmp_path: Path, cache: Path) -> None:
    if takes_rate(setting.noise):
        assert not sampled(setting, tmp_path, cache, rate=0.0).noisy.mislabeled.any()


@everything
def test_nothing_but_seed_data_shots_and_kind_matters(setting: Setting, tmp_path: Path, cache: Path) -> None:
    """Not the method or its options, not global generators, not what was drawn before, not several workers at once."""
    np.random.seed(0)
    torch.manual_seed(0)
    states = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = digest(sampled(setting, tmp_path, cache))
    assert (np.random.get_state()[1] == states[0]).all(), "the global generators are left alone"
    assert (torch.get_rng_state() == states[1]).all()
    np.random.seed(99)
    torch.manual_seed(99)
    sampled(setting, tmp_path, cache, "validation", rate=0.0 if setting.rate == 0 else 0.3)
    other = sampled(setting, tmp_path, cache, method="other", options={"q": 0.5}, epochs=7, batch_size=9, backbone="x")
    assert digest(other) == first
    with ThreadPoolExecutor(4) as workers:
        assert set(workers.map(lambda _: digest(sampled(setting, tmp_path, cache)), range(4))) == {first}
    assert (digest(sampled(setting, tmp_path, cache, seed=2)) != first) == setting.seeded


OTHER = {
    "per_class": True, "by": "zero-shot", "top_share": 0.6, "pattern": "pair", "shape": "half", "temperature": 0.01,
    "sd": 0.5, "labels": "given", "balance": "true",
}  # fmt: skip


def _two_annotations(place: Scene) -> Scene:
    """Two sets of annotations that differ."""
    labels = place.split.labels
    sets = {
        name: np.where(labels % each == 0, (labels + 1) % 10, labels) for name, each in (("worst", 2), ("given", 3))
    }
    return replace(place, split=Split(place.split.images, labels, annotations=sets))


@pytest.mark.parametrize("kind", list(NOISE))
def test_every_option_of_every_kind_changes_what_is_drawn(kind: str, tmp_path: Path, cache: Path) -> None:
    """But for names, which a key holds by what they stand for, and `on_top`, which allows a draw or refuses it."""
    plain = next(setting for setting in SETTINGS if setting.noise == kind)
    if kind == "human":
        plain = replace(plain, change=_two_annotations)
    first = digest(sampled(plain, tmp_path, cache, rate=0.4 * takes_rate(kind)))
    for option in NOISE.get(kind).Options.model_fields.keys() - noise_roles(kind).keys() - {"on_top"}:
        other = replace(plain, noise=variant_text(kind, {option: OTHER[option]}))
        assert digest(sampled(other, tmp_path, cache, rate=0.4 * takes_rate(kind))) != first, option


@everything
def test_a_clean_twin_is_clean(setting: Setting, tmp_path: Path, cache: Path) -> None:
    clean = sampled(setting, tmp_path, cache, "validation", validation="clean")
    assert not clean.noisy.mislabeled.any()
    assert digest(clean) == digest(sampled(Setting("none", 0.0), tmp_path, cache, "validation"))


@everything
def test_a_variant_is_written_and_read_alike_and_its_key_holds_no_path(setting: Setting, tmp_path: Path) -> None:
    path = tmp_path / "a, b.csv"
    path.write_text("x")
    text = f'{setting.noise}[file="{path}"]' if setting.file else setting.noise
    assert noise_variant(noise_variant(text)) == noise_variant(text)
    assert str(tmp_path) not in str(noise_identity(text))


def test_what_stands_for_a_foreign_data_set_and_an_encoder_in_the_key() -> None:
    assert noise_identity("open-set[source=digits]")["options"]["source"] == "digits 1"
    assert noise_identity("instance")["options"]["encoder"] == "thumbnail"
    assert noise_identity("confusion")["options"]["encoder"] != "tiny", "but what stands for its weights"
    with pytest.raises(BenchError, match='unknown dataset "leters"; did you mean "letters"'):
        noise_identity("open-set[source=leters]")


def test_the_mask_of_a_seed_never_changes() -> None:
    """The first digest that was ever pinned."""
    place = scene(np.tile(np.arange(10), 16), 10, shots=16)
    noise = NOISE.get("symmetric")()
    observed = noise.corrupt(place.split.labels, np.arange(160), place, 0.5)
    assert NoisyLabels(place.split.labels, observed, 10).digest.startswith("f788014c8c73cfda")


def test_binary_floating_point_does_not_lose_a_sample() -> None:
    assert int(0.29 * 100) == 28, "the trap"
    assert floor_share(0.29, np.int64(100)) == 29  # type: ignore[arg-type]
    assert drawn("symmetric", scene(balanced(10, 10), 10), 0.29).noisy.mislabeled.sum() == 29


def test_leading_takes_the_front_of_a_permutation_or_of_every_group() -> None:
    order = np.array([4, 2, 0, 1, 3, 5])
    groups = np.array([0, 0, 1, 1, 1, 1])
    assert leading(order, 0.5).tolist() == [4, 2, 0]
    assert sorted(leading(order, 0.5, groups).tolist()) == [0, 2, 4]
    assert leading(order, 0.49, groups).tolist() == [4]


@pytest.mark.parametrize("kind", [kind for kind in NOISE if NOISE.get(kind).takes_rate and kind != "open-set"])
def test_one_class_cannot_be_wrong(kind: str) -> None:
    with pytest.raises(BenchError, match="at least 2 classes, found 1"):
        drawn(kind, scene(np.zeros(4, dtype=np.int64), 1), 0.5)


def test_summary_reports_what_happened() -> None:
    noisy = NoisyLabels(np.array([0, 0, 0, 0, 1, 1, -1]), np.array([1, 0, 0, 0, 1, 2, 2]), 3)
    assert noisy.summary() == {
        "digest": noisy.digest,
        "truth": True,
        "realised_rate": 3 / 7,
        "per_class_rate": [0.25, 0.5, 0.0],
        "mislabeled": 3,
        "confusion": [[-1, 2, 1], [0, 1, 1], [1, 2, 1]],
        "observed_per_class": [3, 2, 2],
    }


def test_the_digest_of_images_reads_no_position_where_a_foreign_image_stands() -> None:
    labels = NoisyLabels(np.array([0, -1]), np.array([0, 1]), 2)
    one, two = (Sampled(np.array([3, n]), labels, foreign=Foreign("letters", np.array([-1, 5]))) for n in (7, 0))
    assert one.images_digest == two.images_digest
    assert one.images_digest != Sampled(np.array([3, 7]), labels).images_digest
    other = Sampled(np.array([3, 7]), labels, foreign=Foreign("letters", np.array([-1, 6])))
    assert one.images_digest != other.images_digest
    assert one.summary()["foreign"] == "letters"


def test_nothing_is_measured_where_the_truth_is_unknown() -> None:
    summary = NoisyLabels(np.array([0, 1]), np.array([0, 1]), 2, truth=False).summary()
    assert summary["observed_per_class"] == [1, 1]
    assert [summary[name] for name in ("realised_rate", "per_class_rate", "mislabeled", "confusion")] == [None] * 4
