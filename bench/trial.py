"""One worker's run of one pack: data, noise, features, method, loop, audit, record.

The members of a pack share data set, shots, backbone and method; at present they are trained one after the other.
A failing cell is a record with its reason, never an exception.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from bench.audit import Audit
from bench.cell import Cell, Record, Status
from bench.clip.backbone import Backbone
from bench.data import named
from bench.data.base import SPLITS, Dataset, SplitName
from bench.errors import BenchError
from bench.labels import draw, left_out, scene_of
from bench.material import (
    Settings,
    encoder_features,
    encoder_texts,
    inputs_of,
    open_backbone,
    opened,
    split_features,
)
from bench.provenance import Clock, provenance
from bench.seeds import Stream
from bench.train import Diverged, Loop, Material, TimedOut, Work
from methods import METHODS
from methods.base import Context, Inputs, Method, Needs
from noise.base import NoisyLabels, Sampled

Sidecar: TypeAlias = dict[str, NDArray[Any]]
Publish: TypeAlias = Callable[[Record, Mapping[str, NDArray[Any]]], None]
FEW: tuple[SplitName, ...] = ("train", "validation")


class Skipped(Exception):
    """The cell has no meaning for its data; a grid may name it all the same."""


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
    except Skipped as reason_:
        status, reason = "skipped", str(reason_)
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
        self.train: Sampled | None = None
        self.validation: Sampled | None = None
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
        dataset = opened(cell.dataset, settings)
        train, validation = self._label(dataset)
        method_class = METHODS.get(cell.method)
        options = method_class.Options(**cell.options)
        needs = method_class.needs(options)
        self.oracle = [
            *needs.oracle,
            *(["clean_subset"] if cell.subset == "clean" else []),
            *(["clean_validation"] if cell.validation == "clean" and needs.validation else []),
        ]
        backbone = open_backbone(cell.backbone, settings.device)
        few = {"train": train, "validation": validation}
        inputs = {split: inputs_of(dataset, split, backbone, needs, settings, few.get(split)) for split in SPLITS}
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
            truth=train.noisy.truth,
        )
        self.method = method_class(options)
        pool = None
        if needs.pool:
            whole = split_features(dataset, "train", backbone, needs.tokens, settings)
            pool = self._pool(whole).to(settings.device)
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
            init=Stream(cell.seed, "init", named.stream_name(cell.dataset)),
            method=Stream(cell.seed, "method", cell.method, "setup"),
            batch_size=cell.batch_size,
            epochs=cell.epochs,
            oracle={"noise_rate": cell.rate} if "noise_rate" in needs.oracle else {},
            pool=pool,
        )

    def _pool(self, whole: Inputs) -> Inputs:
        """The whole training split in an order that says nothing of the labels."""
        order = Stream(self.cell.seed, "shots", named.stream_name(self.cell.dataset), "pool").permutation(len(whole))
        return whole.take(torch.from_numpy(order))

    def _shown(self, noisy: NoisyLabels) -> NDArray[np.bool_]:
        if self.cell.subset != "clean":
            return ~left_out(self.cell, noisy.observed)
        if not noisy.truth:
            raise Skipped("the truth is unknown, so no clean subset can be told apart")
        shown: NDArray[np.bool_] = ~noisy.mislabeled
        if not shown.any():
            raise BenchError(f"no clean sample is left at rate {self.cell.rate:g}, so there is no oracle row to train.")
        return shown

    def _label(self, dataset: Dataset) -> tuple[Sampled, Sampled]:
        cell, settings = self.cell, self.settings
        drawn = {
            split: draw(
                scene_of(
                    dataset, cell, split,
                    features=lambda encoder, part, positions: encoder_features(
                        dataset, encoder, part, positions, settings
                    ),
                    texts=lambda encoder: encoder_texts(dataset, encoder, settings),
                    opened=lambda name: opened(name, settings),
                ),
                cell,
            )
            for split in FEW
        }  # fmt: skip
        train, validation = self.train, self.validation = drawn["train"], drawn["validation"]
        self.data = {
            "classes": len(dataset.class_names),
            "class_names": list(dataset.class_names),
            "templates": list(dataset.templates),
            "train": len(train.positions),
            "validation": len(validation.positions),
            "test": len(dataset.splits["test"]),
            "classes_short_of_shots": train.short,
            "mode": dataset.mode,
            "skipped_images": list(dataset.skipped),
            "digest": dataset.digest,
        }
        return train, validation

    def entries(self, seconds: float) -> dict[str, Any]:
        """The record's entries that are known so far."""
        noise: dict[str, Any] = {}
        if self.train is not None and self.validation is not None:
            noise = {"kind": self.cell.noise, "rate": self.cell.rate, **self.train.noisy.summary(), **self.train.facts}
            noise["validation"] = {**self.validation.noisy.summary(), **self.validation.facts}
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
