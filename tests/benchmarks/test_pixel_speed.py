"""Images to features against a plain DataLoader loop: open_clip's transform, forward pass in the main process.

Run with `pytest --benchmark-only -o addopts= tests/benchmarks/test_pixel_speed.py`, without OMP_NUM_THREADS. Random
weights of ViT-B/32; JPEGs made here and, where NOISY_PROMPT_BENCH_DATA names a folder that holds it, Caltech101. Rounds
of all sides interleaved; images a second of the best round stand below the table. Time never fails a test; wrong values
do. NOISY_PROMPT_BENCH_IMAGES is the number of images.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.clip.backbone import Backbone
from bench.clip.encode import _decode
from bench.clip.features import FeatureKey, FeatureStore
from bench.images.decode import FileImages
from bench.images.loader import CHUNK_SIZE, DEFAULT_LIMITS, in_order
from bench.images.pixels import Evaluation
from tests.clip import naive

ROUNDS = 3
COUNT = int(os.environ.get("NOISY_PROMPT_BENCH_IMAGES", "256"))
DATA = os.environ.get("NOISY_PROMPT_BENCH_DATA")
Side = Callable[[], Tensor]


def made(root: Path) -> list[str]:
    """JPEGs of the size of Caltech101's, smooth with a little noise, so that they cost about as much to decode."""
    generator = np.random.Generator(np.random.Philox(1))
    for number in range(COUNT):
        coarse = Image.fromarray(generator.integers(0, 256, (12, 15, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((300, 245), Image.Resampling.BICUBIC), dtype=np.int16)
        noisy = np.clip(smooth + generator.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(root / f"{number}.jpg", quality=90)
    return [f"{number}.jpg" for number in range(COUNT)]


@pytest.fixture(scope="module", params=["made", "caltech101"])
def images(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FileImages:
    if request.param == "made":
        root = tmp_path_factory.mktemp("images")
        return FileImages(root, made(root))
    found = sorted(Path(DATA or ".").glob("caltech-101/101_ObjectCategories/*/*.jpg"))
    if DATA is None or not found:
        pytest.skip("NOISY_PROMPT_BENCH_DATA names no folder with caltech-101/101_ObjectCategories")
    chosen = [str(file.relative_to(DATA)) for file in found[:: max(1, len(found) // COUNT)][:COUNT]]
    return FileImages(Path(DATA), chosen)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    config = open_clip.get_model_config("ViT-B-32") | {"quick_gelu": True}
    settings = {"size": 224, "mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD}
    return Backbone(naive.model(config), "ViT-B-32", settings)


class Plain(Dataset[Tensor]):
    """What a tutorial would write."""

    def __init__(self, images: FileImages, transform: Any) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        found: Tensor = self.transform(self.images[index])
        return found


def plain(images: FileImages, backbone: Backbone, workers: int, encode: bool) -> Side:
    @torch.inference_mode()
    def run() -> Tensor:
        loader = DataLoader(Plain(images, backbone.preprocess), batch_size=CHUNK_SIZE, num_workers=workers)
        model: Any = backbone._model
        return torch.cat([model.encode_image(pixels) if encode else pixels[:, :, 0, 0] for pixels in loader])

    return run


def measured(side: Side) -> tuple[float, float, Tensor]:
    """Seconds of the clock, and of processors in this process and its children; and the result."""
    before, start = os.times(), time.perf_counter()
    found = side()
    seconds, after = time.perf_counter() - start, os.times()
    return seconds, sum(after[:4]) - sum(before[:4]), found


def compare(benchmark: Any, record_property: Any, ours: Side, others: dict[str, Side], count: int) -> None:
    """Alternate the sides; the benchmark's own table shows ours."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ("ours", *others)}
    expected: list[Tensor] = []

    def setup() -> None:
        for name, side in others.items():
            *spent, found = measured(side)
            times[name].append((spent[0], spent[1]))
            expected[:] = [found]

    def target() -> Tensor:
        *spent, found = measured(ours)
        times["ours"].append((spent[0], spent[1]))
        return found

    found = benchmark.pedantic(target, setup=setup, rounds=ROUNDS, iterations=1)
    assert (found - expected[0]).abs().max() <= 1e-4 * expected[0].abs().max()
    best = {name: tuple(map(min, zip(*spent, strict=True))) for name, spent in times.items()}
    told = (
        f"{name} {count / wall:.1f} images a second (ratio {wall / best['ours'][0]:.2f}), "
        f"{1000 * processor / count:.1f} ms of processors an image (ratio {processor / best['ours'][1]:.2f})"
        for name, (wall, processor) in best.items()
    )
    record_property("comparison", "; ".join(told))


def sides(images: FileImages, backbone: Backbone, encode: bool) -> dict[str, Side]:
    return {f"plain loop, {n} workers": plain(images, backbone, n, encode) for n in (0, 2)}


@pytest.mark.timeout(3000)
def test_features(benchmark: Any, record_property: Any, images: FileImages, backbone: Backbone, tmp_path: Path) -> None:
    numbers = itertools.count()

    def ours() -> Tensor:
        key = FeatureKey.of(f"set {next(numbers)}", "train", backbone)
        return FeatureStore(tmp_path).parts(key, ("pooled",), images, backbone)["pooled"]

    backbone.digest  # noqa: B018 - hashed once per process, not per pass
    compare(benchmark, record_property, ours, sides(images, backbone, encode=True), len(images))


@pytest.mark.timeout(3000)
def test_decoding_alone(benchmark: Any, record_property: Any, images: FileImages, backbone: Backbone) -> None:
    evaluation = Evaluation(backbone.preprocess)

    def ours() -> Tensor:
        chunks = in_order(partial(_decode, images, evaluation), len(images), DEFAULT_LIMITS.processes(len(images), 224))
        return torch.cat([evaluation.scaled(chunk)[:, :, 0, 0] for chunk in chunks])

    compare(benchmark, record_property, ours, sides(images, backbone, encode=False), len(images))
