"""Features computed in the driver: all that a trial reads, once, and mistakes before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.cli.main import invoke
from bench.clip.features import FeatureStore
from bench.contracts.dataset import SPLITS
from bench.data import library
from bench.engine import resources
from bench.engine.resources import TrialSettings
from bench.engine.trial import run_cell
from bench.execution.execute import Request, Setup, make_ready
from bench.execution.plan import make_plan
from bench.execution.precompute import compute_missing, release
from bench.grid.expansion import expand
from bench.grid.overrides import override
from bench.plugins import METHODS
from bench.records.cell import Cell
from bench.records.store import Store
from bench.schedulers.local import Local
from bench.settings.schema import load_config
from tests.cells import make_cell

PER_CLASS = {"train": 17, "validation": 2, "test": 3}
IMAGES = 2 * sum(PER_CLASS.values())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of noise of two colours."""
    generator, root = np.random.Generator(np.random.Philox(5)), tmp_path / "images"
    for split in SPLITS:
        for label, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for number in range(PER_CLASS[split]):
                pixels = generator.integers(0, 128, (20 + number, 30, 3), dtype=np.uint8)
                pixels[..., label] += 100
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def cells(folder: Path, *methods: str, **changes: Any) -> list[Cell]:
    values: dict[str, Any] = {
        "dataset": f"folder:{folder}", "backbone": "tiny", "shots": 2, "noise": "given", "epochs": 2, "batch_size": 4,
        "learning_rate": 0.01,
    }  # fmt: skip
    return [
        make_cell(**{**values, "method": method, "options": METHODS.get(method).Options().model_dump(), **changes})
        for method in methods
    ]


METHODS_OF_ALL_NEEDS = ("coop", "visprompt", "maple", "upl", "tip-adapter")


@pytest.mark.parametrize("alone", [False, True])
def test_trials_find_everything_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    settings = TrialSettings(cache=str(tmp_path / "cache"), encode_whole=0 if alone else 4096)
    plan = cells(folder, *METHODS_OF_ALL_NEEDS, views=2)
    reports: list[tuple[int, int | None]] = []
    count = compute_missing(plan, settings, lambda done, total: reports.append((done, total)))
    assert reports[-1] == (count, count)
    assert count >= (IMAGES if alone else 2 * IMAGES), "features and pixels"
    computed: list[Any] = []
    compute = FeatureStore._compute

    def watched(store: FeatureStore, key: Any, *arguments: Any) -> None:
        computed.append(key)
        compute(store, key, *arguments)

    monkeypatch.setattr(FeatureStore, "_compute", watched)
    for cell in plan:
        record, _ = run_cell("key", cell, settings)
        assert record.status == "done", record.reason
    assert computed == []
    assert compute_missing(plan, settings, lambda done, total: None) == 0, "a second run has nothing to do"


def test_tokens_and_pooled_features_are_one_pass(folder: Path, tmp_path: Path) -> None:
    settings = TrialSettings(cache=str(tmp_path / "cache"))
    assert (
        compute_missing(cells(folder, "coop", "visprompt", "zero-shot"), settings, lambda done, total: None) == IMAGES
    )


def test_embedded_data_and_what_no_label_can_be_drawn_for_are_left_to_trials(folder: Path, tmp_path: Path) -> None:
    settings = TrialSettings(cache=str(tmp_path / "cache"))
    impossible = cells(folder, "coop", noise="symmetric", rate=0.5) + cells(
        folder, "coop", dataset="digits", noise="none"
    )
    assert compute_missing(impossible, settings, lambda done, total: None) == 0
    record, _ = run_cell("key", impossible[0], settings)
    assert record.status == "failed"


@pytest.mark.parametrize(("address", "expected"), [(None, IMAGES), ("cluster:6379", 0)])
def test_a_cluster_computes_for_itself(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str | None, expected: int
) -> None:
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path / "cache"))
    config = override(load_config(), "quick", [f"dataset=folder:{folder}", "method=coop", "noise=given", "shots=2"])
    plan = make_plan(expand(config, "quick"), Store(str(tmp_path / "store")))
    setup = Setup(Local(), "local", 1, "cpu")
    assert make_ready(plan, config, setup, Request(address=address), lambda done, total: None) == expected


def test_release_forgets_backbones() -> None:
    resources.open_backbone("tiny", "cpu")
    release()
    assert resources.open_backbone.cache_info().currsize == 0


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of a small run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path / "cache"))
    return ["--set", "method=coop", "--set", "noise=given", "--set", "seed=1", "--set", "epochs=1", "--set", "shots=2"]


def test_a_run_says_how_many_images_it_encoded(
    folder: Path, settled: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    library.open_dataset.cache_clear()
    assert invoke(["run", "--scheduler", "local", "--workers", "1", "--set", f"dataset=folder:{folder}", *settled]) == 0
    out = capsys.readouterr().out
    assert f"encoded {IMAGES} images" in out
    assert "ran 1 cell" in out
    again = ["--set", "learning_rate=0.02"]
    assert invoke(["run", "--scheduler", "local", "--set", f"dataset=folder:{folder}", *settled, *again]) == 0
    assert "encoded" not in capsys.readouterr().out


def test_a_broken_image_is_one_line_before_anything_is_trained(
    folder: Path, settled: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken = folder / "test" / "dog" / "1.png"
    broken.write_bytes(broken.read_bytes()[:60])
    library.open_dataset.cache_clear()
    assert invoke(["run", "--scheduler", "local", "--set", f"dataset=folder:{folder}", *settled]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f'error: image "{broken}" cannot be decoded')
    assert captured.err.count("\n") == 1
    assert not list((tmp_path / "results").glob("*.json"))
