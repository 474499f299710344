"""The feature store: computed once, whole or not at all, checked when opened."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import os
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bench.clip import features, place
from bench.clip.backbone import Backbone
from bench.clip.features import CHUNK_SIZE, FeatureKey, FeatureStore
from bench.errors import BenchError
from bench.images.decode import FileImages
from bench.images.loader import LoaderLimits
from bench.images.pixels import Evaluation
from tests.clip import naive

COUNT = CHUNK_SIZE + 7


@lru_cache
def backbone() -> Backbone:
    return Backbone(naive.model(naive.SMALL), "small", {"size": 16})


class Pictures(Sequence[Image.Image]):
    """Fixed noise that counts how often it is looked at."""

    def __init__(self, count: int = COUNT) -> None:
        self.pixels = np.random.Generator(np.random.Philox(3)).integers(0, 256, (count, 20, 20), dtype=np.uint8)
        self.seen = 0

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override]
        self.seen += 1
        return Image.fromarray(self.pixels[index])


def key(**change: Any) -> FeatureKey:
    return FeatureKey.of(**({"dataset": "d", "split": "train", "backbone": backbone()} | change))


class Features(NamedTuple):
    pooled: Tensor
    tokens: Tensor | None


def features_of(
    store: FeatureStore, own: FeatureKey, images: Sequence[Image.Image], model: Backbone, tokens: bool = False,
    **more: Any,
) -> Features:  # fmt: skip
    found = store.parts(own, ("pooled", "tokens") if tokens else ("pooled",), images, model, **more)
    return Features(found["pooled"], found.get("tokens"))


def store_in(root: Path, processors: int) -> FeatureStore:
    """A store that starts processes for few images too."""
    return FeatureStore(root, LoaderLimits(processors, small=0, memory=1))


def straight(pictures: Pictures) -> Features:
    """The same features without a store."""
    pixels = torch.stack([backbone().preprocess(pictures[index]) for index in range(len(pictures))])
    return Features(*backbone().image(pixels))


def test_features_are_those_of_the_backbone(tmp_path: Path) -> None:
    pictures = Pictures()
    found, expected = features_of(FeatureStore(tmp_path), key(), pictures, backbone(), tokens=True), straight(pictures)
    assert found.tokens is not None
    assert expected.tokens is not None
    assert torch.allclose(found.pooled, expected.pooled, atol=1e-5)
    assert torch.allclose(found.tokens, expected.tokens, atol=1e-5)
    assert found.tokens.shape == (COUNT, backbone().num_tokens, backbone().embed_dim)


def test_images_are_looked_at_once_and_tokens_are_added_when_asked(tmp_path: Path) -> None:
    store, pictures = FeatureStore(tmp_path), Pictures()
    first = features_of(store, key(), pictures, backbone())
    assert (pictures.seen, first.tokens) == (COUNT, None)
    assert torch.equal(features_of(FeatureStore(tmp_path), key(), pictures, backbone()).pooled, first.pooled)
    assert pictures.seen == COUNT
    both = features_of(store, key(), pictures, backbone(), tokens=True)
    assert pictures.seen == 2 * COUNT
    assert both.tokens is not None
    assert torch.equal(both.pooled, first.pooled)
    features_of(store, key(), pictures, backbone(), tokens=True)
    assert pictures.seen == 2 * COUNT


def test_bits_do_not_depend_on_threads_or_on_what_is_asked(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        one = features_of(FeatureStore(tmp_path / "one"), key(), Pictures(), backbone(), tokens=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one.pooled, features_of(FeatureStore(tmp_path / "two"), key(), Pictures(), backbone()).pooled)


@pytest.mark.parametrize(
    "change", [{"dataset": "e"}, {"split": "test"}, {"view": "augmented 1"}], ids=["dataset", "split", "view"]
)
def test_another_key_is_another_entry(tmp_path: Path, change: dict[str, str]) -> None:
    store, pictures = FeatureStore(tmp_path), Pictures()
    features_of(store, key(), pictures, backbone())
    features_of(store, key(**change), pictures, backbone())
    assert pictures.seen == 2 * COUNT


def test_the_key_names_weights_and_transform_and_no_path() -> None:
    assert key().backbone == backbone().digest
    assert key().transform == backbone().preprocess_id
    assert key().digest == key().digest != key(view="other").digest


def entry(root: Path) -> Path:
    return root / f"{key().digest}-pooled"


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-8])


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("pooled.npy", flip),
        ("pooled.npy", truncate),
        ("pooled.npy", Path.unlink),
        ("meta.json", truncate),
        ("meta.json", Path.unlink),
        ("meta.json", lambda file: file.write_text("{}")),
    ],
)
def test_a_harmed_entry_is_found_and_computed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, harm: Any
) -> None:
    store, pictures = FeatureStore(tmp_path), Pictures()
    sound = features_of(store, key(), pictures, backbone()).pooled.clone()
    harm(entry(tmp_path) / name)
    with caplog.at_level(logging.WARNING):
        again = features_of(store, key(), pictures, backbone())
    assert "is not sound" in caplog.text
    assert torch.equal(again.pooled, sound)
    assert pictures.seen == 2 * COUNT


def test_an_entry_of_another_size_is_computed_again(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    features_of(store, key(), Pictures(5), backbone())
    assert features_of(store, key(), Pictures(6), backbone()).pooled.shape[0] == 6


def test_writing_to_features_reaches_no_file(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    features_of(store, key(), Pictures(), backbone()).pooled.zero_()
    assert features_of(store, key(), Pictures(), backbone()).pooled.abs().sum() > 0


def test_nothing_is_left_where_computing_fails_and_leftovers_go(tmp_path: Path) -> None:
    class Broken(Pictures):
        def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override]
            if index == CHUNK_SIZE:
                raise OSError("cannot read")
            return super().__getitem__(index)

    store = FeatureStore(tmp_path)
    with pytest.raises(BenchError, match=f"image {CHUNK_SIZE} of {COUNT} cannot be decoded: OSError: cannot read"):
        features_of(store, key(), Broken(), backbone())
    assert not entry(tmp_path).exists()
    features_of(store, key(), Pictures(), backbone())
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")) == []
    meta = json.loads((entry(tmp_path) / "meta.json").read_text())
    assert meta["key"]["dataset"] == "d"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot be written"):
        features_of(FeatureStore(tmp_path / "file" / "cache"), key(), Pictures(), backbone())


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(features, "write_array_header_1_0", full)
    with pytest.raises(BenchError, match=r"cannot be written to .*No space left on device\); name another folder"):
        features_of(FeatureStore(tmp_path), key(), Pictures(), backbone())


def test_where_features_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(place.ENVIRONMENT, str(tmp_path))
    assert FeatureStore().root == place.features_root() == tmp_path / "features"
    monkeypatch.delenv(place.ENVIRONMENT)
    assert place.features_root().parent.name == "noisy-prompt-bench"


@torch.inference_mode()
def obvious(pictures: Sequence[Image.Image], tokens: bool) -> Features:
    """Image after image through open_clip's transform, chunk after chunk through the tower, one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    pooled, grids = [], []
    for start in range(0, len(pictures), CHUNK_SIZE):
        numbers = range(start, min(start + CHUNK_SIZE, len(pictures)))
        features = backbone().image(torch.stack([backbone().preprocess(pictures[number]) for number in numbers]))
        pooled.append(features.pooled)
        grids.append(features.tokens)
    torch.set_num_threads(before)
    return Features(torch.cat(pooled), torch.cat(grids) if tokens else None)


@pytest.mark.parametrize("processors", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [1, CHUNK_SIZE, COUNT, 2 * CHUNK_SIZE + 1])
def test_the_bits_are_those_of_an_obvious_loop_with_any_number_of_processes(
    tmp_path: Path, processors: int, count: int
) -> None:
    pictures, done = Pictures(count), list[int]()
    found = features_of(store_in(tmp_path, processors), key(), pictures, backbone(), tokens=True, listen=done.append)
    expected = obvious(Pictures(count), tokens=True)
    assert found.tokens is not None
    assert expected.tokens is not None
    assert torch.equal(found.pooled, expected.pooled)
    assert torch.equal(found.tokens, expected.tokens)
    assert sum(done) == count
    assert (pictures.seen == 0) == (processors > 1), "whether other processes have looked at the images"


@pytest.mark.parametrize("processors", [0, 2])
def test_decoded_images_are_kept_as_bytes(tmp_path: Path, processors: int) -> None:
    store, own, evaluation = (
        store_in(tmp_path, processors),
        key(pixels=True),
        Evaluation(backbone().preprocess),
    )
    assert (own.backbone, own.device) == ("", "")
    assert store.lacks(own, "pixels", COUNT)
    found = store.parts(own, ("pixels",), Pictures(), backbone())["pixels"]
    assert (found.dtype, found.shape) == (torch.uint8, (COUNT, 3, 16, 16))
    expected = torch.stack([backbone().preprocess(image) for image in Pictures()])
    assert torch.equal(evaluation.scaled(found), expected)
    assert not store.lacks(own, "pixels", COUNT)


@pytest.mark.parametrize("processors", [0, 2])
def test_a_broken_file_names_itself_in_one_line(tmp_path: Path, processors: int) -> None:
    names = [f"{number}.jpg" for number in range(3 * CHUNK_SIZE)]
    for name, image in zip(names, Pictures(len(names)), strict=True):
        image.convert("RGB").save(tmp_path / name)
    broken = tmp_path / names[CHUNK_SIZE + 3]
    broken.write_bytes(broken.read_bytes()[:400])
    with pytest.raises(BenchError, match="cannot be decoded") as caught:
        features_of(store_in(tmp_path / "features", processors), key(), FileImages(tmp_path, names), backbone())
    assert f'"{broken}"' in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert FeatureStore(tmp_path / "features").lacks(key(), "pooled", len(names))


def test_a_key_of_positions_is_another_one_and_of_none_the_one_it_always_was() -> None:
    assert "positions" not in key().entries
    assert key(positions="x").digest != key().digest
    assert key(pixels=True).digest != key().digest


class Slow(Pictures):
    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override]
        if self.seen == 0:
            time.sleep(0.5)
        return super().__getitem__(index)


def work(root: Path, number: int, start: Any, results: Any) -> None:
    pictures = Slow()
    model = backbone()
    start.wait(timeout=60)
    found = features_of(FeatureStore(root), key(), pictures, model, tokens=True)
    assert found.tokens is not None
    results.put((number, os.getpid(), pictures.seen, found.pooled.numpy().tobytes(), found.tokens.numpy().tobytes()))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_processes_at_once_compute_once(tmp_path: Path) -> None:
    backbone()
    context = multiprocessing.get_context("fork")  # the model is built once; the store computes with one thread
    start, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=work, args=(tmp_path, number, start, results)) for number in range(2)]
    for process in processes:
        process.start()
    first, second = (results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert first[1] != second[1]
    assert sorted((first[2], second[2])) == [0, COUNT]
    assert first[3:] == second[3:]
