"""One worker's run of one pack: data, noise, features, method, loop, audit, record.

The members of a pack share data set, shots, backbone and method; at present they are trained one after the other.
A failing cell is a record with its reason, never an exception.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from bench.audit import Audit
from bench.cell import Cell, Record, Status
from bench.clip.backbone import Backbone
from bench.clip.features import FeatureKey, FeatureStore
from bench.clip.load import load_backbone
from bench.data import DATASETS
from bench.data.base import SPLITS, Dataset, SplitName
from bench.data.fewshot import sample
from bench.data.pixels import preprocessed
from bench.errors import BenchError
from bench.provenance import Clock, provenance
from bench.seeds import Stream
from bench.train import Diverged, Loop, Material, TimedOut, Work
from methods import METHODS
from methods.base import Context, Inputs, Method, Needs
from noise import NOISE
from noise.base import NoisyLabels

Sidecar: TypeAlias = dict[str, NDArray[Any]]
Publish: TypeAlias = Callable[[Record, Mapping[str, NDArray[Any]]], None]
VALIDATION_SHOTS = 4


@dataclass(frozen=True)
class Settings:
    """What a trial needs beside its cells, and what may not change a number.

    Attributes:
        timeout: seconds a cell may take, or None.
        roots: folders of data sets, by name.
        cache: folder of the feature store, or None for the user's cache.
        device: "cpu" or "cuda".
    """

    timeout: float | None = None
    roots: Mapping[str, str] = field(default_factory=dict)
    cache: str | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Labels:
    """Few-shot positions in a split with their noisy labels."""

    positions: NDArray[np.int64]
    noisy: NoisyLabels
    short: dict[int, int]


def run_pack(pack: Sequence[tuple[str, Cell]], publish: Publish, settings: Settings) -> None:
    """Run the cells of a pack and publish each record with its per-sample outcomes.

    Args:
        pack: keys and cells.
        publish: called once per cell.
        settings: time limit, folders and device.
    """
    for key, cell in pack:
        record, sidecar = run_cell(key, cell, settings)
        publish(record, sidecar)
        gc.collect()
        if settings.device == "cuda":
            torch.cuda.empty_cache()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread in torch, BLAS and OpenMP, so that the machine's size cannot change a bit."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def run_cell(key: str, cell: Cell, settings: Settings) -> tuple[Record, Sidecar]:
    """Run one cell to a record, whatever happens in it, and its per-sample outcomes (empty unless it is done)."""
    clock = Clock()
    run = Run(cell, settings)
    status: Status = "done"
    reason: str | None = None
    try:
        with one_thread():
            run.execute()
    except (Diverged, FloatingPointError) as error:
        status, reason = "diverged", str(error)
    except TimedOut as error:
        status, reason = "timeout", f"{error} ({settings.timeout:g} s allowed)"
    except (torch.OutOfMemoryError, MemoryError) as error:
        status, reason = "out_of_memory", _one_line(error)
    except Exception as error:  # noqa: BLE001 - a failing cell must never stop the grid; its reason is recorded
        status, reason = "failed", _one_line(error)
    record = Record(
        schema=1, key=key, status=status, reason=reason, cell=cell, provenance=provenance(clock, settings.device),
        **run.entries(clock.seconds()),
    )  # fmt: skip
    return record, run.sidecar() if status == "done" else {}


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, BenchError) else f"{type(error).__name__}: {text}"


class Run:
    """The state of one cell while it runs; what is known when it fails goes into the record."""

    def __init__(self, cell: Cell, settings: Settings) -> None:
        self.cell, self.settings = cell, settings
        self.train: Labels | None = None
        self.validation: Labels | None = None
        self.audit: Audit | None = None
        self.work = Work()
        self.method: Method | None = None
        self.data: dict[str, Any] = {}
        self.visible = np.empty(0, dtype=np.int64)
        self.oracle: list[str] = []

    def execute(self) -> None:
        """Everything from the data set to the last row of the curve."""
        self.prepare().run()

    def prepare(self) -> Loop:
        """Everything up to the first evaluation: data, noise, features, and the method after its set-up."""
        cell, settings = self.cell, self.settings
        deadline = None if settings.timeout is None else time.monotonic() + settings.timeout
        dataset = open_dataset(cell.dataset, settings.roots.get(cell.dataset))
        train, validation = self._label(dataset)
        method_class = METHODS.get(cell.method)
        options = method_class.Options(**cell.options)
        needs = method_class.needs(options)
        self.oracle = [*needs.oracle, *(["clean_subset"] if cell.subset == "clean" else [])]
        backbone = open_backbone(cell.backbone, settings.device)
        whole = {split: split_features(dataset, split, backbone, needs.tokens, settings) for split in SPLITS}
        chosen = {"train": train.positions, "validation": validation.positions}
        inputs = {split: _chosen(dataset, split, whole[split], backbone, needs, chosen.get(split)) for split in SPLITS}
        self.visible = np.flatnonzero(self._shown(train.noisy))
        material = Material(
            train=inputs["train"].to(settings.device),
            observed=torch.from_numpy(train.noisy.observed).to(settings.device),
            visible=torch.from_numpy(self.visible).to(settings.device),
            validation=(
                inputs["validation"].to(settings.device),
                torch.from_numpy(validation.noisy.observed).to(settings.device),
            ),
            test=inputs["test"].to(settings.device),
        )
        self.audit = Audit(
            true=torch.from_numpy(train.noisy.true).to(settings.device),
            observed=material.observed,
            test=torch.from_numpy(dataset.splits["test"].labels).to(settings.device),
            validation=material.validation[1],
            visible=material.visible,
        )
        self.method = method_class(options)
        pool = self._pool(whole["train"]).to(settings.device) if needs.pool else None
        self.method.setup(self._context(dataset, backbone, material, needs, pool))
        self.method.to(settings.device)
        loop = Loop(self.method, cell, material, self.audit, deadline)
        self.work = loop.work
        return loop

    def _context(
        self, dataset: Dataset, backbone: Backbone, material: Material, needs: Needs, pool: Inputs | None
    ) -> Context:
        cell = self.cell
        return Context(
            class_names=dataset.class_names,
            templates=dataset.templates,
            observed=material.observed[material.visible],
            backbone=backbone,
            train=material.train.take(material.visible),
            init=Stream(cell.seed, "init", cell.dataset),
            method=Stream(cell.seed, "method", cell.method, "setup"),
            batch_size=cell.batch_size,
            epochs=cell.epochs,
            oracle={"noise_rate": cell.rate} if "noise_rate" in needs.oracle else {},
            pool=pool,
        )

    def _pool(self, whole: Inputs) -> Inputs:
        """The whole training split in an order that says nothing of the labels."""
        order = Stream(self.cell.seed, "shots", self.cell.dataset, "pool").permutation(len(whole))
        return whole.take(torch.from_numpy(order))

    def _shown(self, noisy: NoisyLabels) -> NDArray[np.bool_]:
        shown = ~noisy.mislabeled if self.cell.subset == "clean" else np.ones_like(noisy.mislabeled)
        if not shown.any():
            raise BenchError(f"no clean sample is left at rate {self.cell.rate:g}, so there is no oracle row to train.")
        return shown

    def _label(self, dataset: Dataset) -> tuple[Labels, Labels]:
        cell = self.cell
        train = self.train = _labels(dataset, cell, "train", cell.shots)
        validation = self.validation = _labels(dataset, cell, "validation", min(cell.shots, VALIDATION_SHOTS))
        self.data = {
            "classes": len(dataset.class_names),
            "class_names": list(dataset.class_names),
            "train": len(train.positions),
            "validation": len(validation.positions),
            "test": len(dataset.splits["test"]),
            "classes_short_of_shots": train.short,
            "digest": dataset.digest,
        }
        return train, validation

    def entries(self, seconds: float) -> dict[str, Any]:
        """The record's entries that are known so far."""
        noise: dict[str, Any] = {}
        if self.train is not None and self.validation is not None:
            noise = {"kind": self.cell.noise, "rate": self.cell.rate, **self.train.noisy.summary()}
            noise["validation"] = self.validation.noisy.summary()
        audit = self.audit
        names = sorted({name for row in self.work.diagnostics for name in row})
        peak = torch.cuda.max_memory_allocated() if self.settings.device == "cuda" else None
        return {
            "noise": noise,
            "data": self.data,
            "curve": audit.curve() if audit else {},
            "accuracy": audit.accuracy() if audit else {},
            "cost": {
                "seconds": round(seconds, 3),
                "optimizer_steps": dict(sorted(self.work.steps.items())),
                "forward_passes": self.work.forward_passes,
                "trained_parameters": sum(p.numel() for p in self.method.parameters()) if self.method else None,
                "peak_memory_bytes": peak,
            },
            "diagnostics": {name: [row.get(name) for row in self.work.diagnostics] for name in names},
            "oracle": self.oracle,
        }

    def sidecar(self) -> Sidecar:
        """Per-sample outcomes: positions, true and observed labels [N]; losses and predictions [rows, N]."""
        assert self.audit is not None  # noqa: S101 - only asked of a finished run
        assert self.train is not None  # noqa: S101
        return {
            "positions": self.train.positions,
            "true": self.train.noisy.true,
            "observed": self.train.noisy.observed,
            "visible": self.visible,
            "losses": np.stack(self.audit.losses),
            "predictions": np.stack(self.audit.predictions),
        }


def _labels(dataset: Dataset, cell: Cell, split: SplitName, shots: int) -> Labels:
    stored = dataset.splits[split].labels
    positions, short = sample(stored, shots, cell.seed, cell.dataset, split)
    true = stored[positions]
    classes = len(dataset.class_names)
    stream = Stream(cell.seed, "noise", cell.dataset, split, shots, cell.noise)
    observed = NOISE.get(cell.noise)().corrupt(true, classes, cell.rate, stream)
    return Labels(positions, NoisyLabels(true, observed, classes), short)


def _chosen(
    dataset: Dataset,
    split: SplitName,
    whole: Inputs,
    backbone: Backbone,
    needs: Needs,
    positions: NDArray[np.int64] | None,
) -> Inputs:
    """The inputs at these positions of a split, all of it where None, with the images where they are declared."""
    inputs = whole if positions is None else whole.take(torch.from_numpy(positions))
    if not needs.pixels:
        return inputs
    index = torch.arange(len(whole)) if positions is None else torch.from_numpy(positions)
    pixels = preprocessed(dataset.splits[split].images, backbone.preprocess, index, backbone.image_size)
    return replace(inputs, pixels=pixels)


@lru_cache(maxsize=2)
def open_dataset(name: str, root: str | None) -> Dataset:
    """The data set of a name; the last two are kept, for the cells that follow."""
    return DATASETS.get(name)(Path(root) if root else None)


@lru_cache(maxsize=2)
def open_backbone(name: str, device: str) -> Backbone:
    """The backbone of a name on a device; the last two are kept."""
    return load_backbone(name).to(device)


def split_features(dataset: Dataset, split: SplitName, backbone: Backbone, tokens: bool, settings: Settings) -> Inputs:
    """Features of a whole split from the feature store, in the order of the split."""
    key = FeatureKey.of(dataset.digest, split, backbone)
    store = FeatureStore(Path(settings.cache) / "features" if settings.cache else None)
    return Inputs(*store.get(key, dataset.splits[split].images, backbone, tokens))
