"""A miniature of Caltech101 with its archive and split file, served over the loopback address."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.data import catalogue, library
from bench.data.catalogue import CatalogueEntry, Download, Sizes, SplitFile, split_digest
from tests.data.archives import tar_of, zip_of
from tests.data.loopback import Loopback

CLASSES = ("one", "two", "three")  # words that the embedded backbone knows
BACKGROUND = "101_ObjectCategories/BACKGROUND_Google/image_0001.jpg"  # which torchvision asks for
SPLIT = "split_zhou_Caltech101.json"
ARCHIVE = "caltech-101.zip"
COUNTS = {"train": 4, "val": 2, "test": 3}


def _jpeg(label: int, number: int) -> bytes:
    pixels = np.random.default_rng([label, number]).integers(0, 120, (40, 50, 3))
    pixels[..., label] += 120
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, "jpeg")
    return out.getvalue()


def images() -> dict[str, bytes]:
    """Nine images a class by path in the archive."""
    return {f"101_ObjectCategories/{name}/image_{number + 1:04d}.jpg": _jpeg(label, number)
            for label, name in enumerate(CLASSES) for number in range(sum(COUNTS.values()))}  # fmt: skip


def split_file() -> dict[str, list[list[Any]]]:
    """As CoOp writes it."""
    first, content = 0, {}
    for part, count in COUNTS.items():
        content[part] = [[f"{name}/image_{number + 1:04d}.jpg", label, name]
                         for label, name in enumerate(CLASSES) for number in range(first, first + count)]  # fmt: skip
        first += count
    return content


def plant(server: Loopback, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> CatalogueEntry:
    """Serve the miniature in place of the real files and make the catalogue say so; returns its entry."""
    archive = zip_of(
        {
            "caltech-101/101_ObjectCategories.tar.gz": tar_of({**images(), BACKGROUND: _jpeg(0, 99)}),
            "caltech-101/show.m": b"code",
        }
    )
    split = json.dumps(split_file(), indent=1).encode()
    downloads = (
        Download(name=ARCHIVE, urls=(f"{server.root}/gone", server.plant(f"/{ARCHIVE}", archive)), unpack=".",
                 md5=hashlib.md5(archive).hexdigest(), bytes=len(archive), gives=("101_ObjectCategories",)),
        Download(name=SPLIT, urls=(server.plant(f"/{SPLIT}", split),), sha256=hashlib.sha256(split).hexdigest(),
                 bytes=len(split), gives=(SPLIT,), modes=("coop",)),
    )  # fmt: skip
    real = catalogue.entry("caltech101")
    mini = real.model_copy(update={
        "sizes": {"coop": Sizes(classes=3, train=12, validation=6, test=9)}, "downloads": downloads,
        "split": SplitFile(name=SPLIT, sha256=split_digest(split_file()), images="101_ObjectCategories"), **changes,
    })  # fmt: skip
    serve(monkeypatch, mini)
    return mini


def serve(monkeypatch: pytest.MonkeyPatch, entry: CatalogueEntry) -> None:
    """Make the catalogue say this of Caltech101."""
    real = catalogue.entry
    monkeypatch.setattr(catalogue, "entry", lambda name: entry if name == "caltech101" else real(name))
    library.open_dataset.cache_clear()
