"""Seconds and megabytes of a whole report, from the files of a store to the last figure, at 5,000 and 10,000 records.

Run with `make perf`. The records have the shape of the grid `full`: data sets x noise columns x methods x seeds, curves
of 50 epochs. Time never fails a test; a page beyond 10 MB for 5,000 records does.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from bench.records.record import Record
from bench.records.store import Store
from bench.reports.build import build_from_store
from tests.reports.factory import cell, record

DATASETS = ("caltech101", "dtd", "eurosat", "flowers102", "food101", "oxfordpets", "stanfordcars", "ucf101")
COLUMNS = [
    ("none", 0.0),
    *((kind, rate) for kind in ("symmetric", "asymmetric") for rate in (0.125, 0.25, 0.375, 0.5, 0.625, 0.75)),
]
METHODS = (
    "zero-shot",
    "coop",
    "gce-coop",
    "promptmae",
    "nlprompt",
    "joapr",
    "visprompt",
    "coop-split",
    "kgcoop",
    "sce",
)
SHOTS = (16, 8)
LARGEST = 5000, 10e6  # records, and bytes of their page


def made(count: int) -> list[Record]:
    """The first of the whole product, the second number of shots last."""
    axes = itertools.product(SHOTS, DATASETS, COLUMNS, METHODS, range(1, 6))
    return [
        record(cell(method, noise, rate, seed, dataset=dataset, shots=shots))
        for shots, dataset, (noise, rate), method, seed in itertools.islice(axes, count)
    ]


@pytest.fixture(scope="module", params=[5000, 10000])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, int]:
    store, records = Store(tmp_path_factory.mktemp("store")), made(request.param)
    store.prepare()
    for one in records:
        store.files.write(f"{one.key}.json", one.to_json().encode(), replace=False)
    assert len(store.keys()) == request.param
    return store, request.param


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("figures", [0, 100])
def test_report(benchmark: Any, record_property: Any, store: tuple[Store, int], figures: int, tmp_path: Path) -> None:
    (folder, count), out = store, tmp_path / "report"
    start = time.perf_counter()
    read = len(list(folder.records()))
    reading = time.perf_counter() - start
    benchmark.pedantic(lambda: build_from_store(Store(folder.root), out, figures=figures), rounds=1, iterations=1)
    page = (out / "report.html").stat().st_size
    files = [path for path in out.rglob("*") if path.is_file()]
    assert read == count
    assert page < LARGEST[1] or count > LARGEST[0]
    record_property(
        "comparison",
        f"{count} records, {sum(path.suffix == '.png' for path in files)} figures: "
        f"{benchmark.stats.stats.mean:.1f} s, of which {reading:.1f} s read the store; {len(files)} files of "
        f"{sum(path.stat().st_size for path in files) / 1e6:.1f} MB, report.html {page / 1e6:.1f} MB",
    )
