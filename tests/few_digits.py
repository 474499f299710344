"""Digits with small validation and test splits, for tests that run many methods."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import replace
from functools import lru_cache
from typing import Any

from bench.contracts.dataset import Dataset, Split, SplitName
from bench.data.library import Library
from bench.data.sets.digits import Digits
from bench.data.splits import ArrayImages
from bench.engine.resources import TrialSettings
from bench.engine.trial import Run, _finished, one_thread
from bench.plugins import METHODS
from bench.records.cell import Cell
from tests.cells import make_cell

HELD_OUT = 10


class FewDigits(Digits):
    def load(self, split: SplitName) -> Split:
        whole = super().load(split)
        if split == "train":
            return whole
        assert isinstance(whole.images, ArrayImages)
        return Split(ArrayImages(whole.images.pixels[:HELD_OUT]), whole.labels[:HELD_OUT])


FEW = FewDigits()


class FewLibrary(Library):
    """Knows no other data set."""

    def open(self, name: str) -> Dataset:
        return FEW


def few(method: str, **changes: Any) -> Cell:
    """30 samples of 10 classes, half of them mislabeled, two epochs."""
    values: dict[str, Any] = {
        "dataset": "digits", "backbone": "tiny", "method": method, "shots": 3, "noise": "symmetric", "rate": 0.5,
        "epochs": 2, "batch_size": 16, "learning_rate": 0.05, "eval_every": 9,
    }  # fmt: skip
    options = METHODS.get(method).Options(**changes.pop("options", {})).model_dump()
    return make_cell(**{**values, "options": options, **changes})


@lru_cache(maxsize=1)
def cache() -> str:
    """A folder of features for all tests of a session."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


SETTINGS = TrialSettings(library=FewLibrary(), cache=cache())


def execute(run: Run) -> None:
    """Run a cell alone, and save prompts where requested. Raises what ends it."""
    with one_thread():
        run.prepare()
        list(_finished([run]))
    if run.error is not None:
        raise run.error


@lru_cache(maxsize=64)
def finished(method: str) -> Run:
    """A run of the second of three folds that has kept its prompts, once for all tests of a session."""
    run = Run(few(method, subset="fold2of3"), replace(SETTINGS, keep_prompts=True))
    execute(run)
    return run
