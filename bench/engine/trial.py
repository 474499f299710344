"""Run one pack in a worker: data, noise, features, method, loop, audit, record.

Members of a pack that share data set, shots, backbone, method and structural options are trained in lockstep. A failing
cell is a record with its reason, never an exception.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import open_clip  # noqa: F401 - its import changes the environment, which would be laid to the first cell
import rich.style  # noqa: F401 - its import, by scikit-learn, draws from Python's random generator
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import dataset_name
from bench.clip.backbone import Backbone
from bench.clip.precision import precision_of
from bench.contracts.dataset import SPLITS, Dataset, SplitName
from bench.contracts.method import Inputs, Method, Needs
from bench.contracts.noise import NoisyLabels, Sampled
from bench.engine.audit import Audit
from bench.engine.checkpoint import NotKept, SetupInputs, context_of, keep
from bench.engine.labelling import left_out
from bench.engine.loop import Loop
from bench.engine.member import Diverged, Member, TrainingData, TrainingLog
from bench.engine.memory import let_go, memory_of
from bench.engine.outcomes import SampleOutcomes, sample_outcomes
from bench.engine.resources import TrialSettings, inputs_of, labelled, open_backbone, split_features, views_of
from bench.engine.stopwatch import Stopwatch, TimedOut
from bench.errors import BenchError, described, short_of_memory, text_of
from bench.global_state import note, put_back
from bench.grid.keys import origin_of
from bench.grid.options import parts, structure, takes_rate
from bench.images.loader import one_intra_op_thread
from bench.plugins import METHODS
from bench.records.cell import Cell
from bench.records.provenance import Clock, provenance_of
from bench.records.record import Record, Status
from bench.records.store import PROMPTS
from bench.registry import BUILT_IN
from bench.seeds import Stream

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Publish: TypeAlias = Callable[[Record, Mapping[str, NDArray[Any]]], None]


class Skipped(Exception):
    """Error of a cell that has no meaning for its data, though a grid may name it."""


def run_pack(pack: Sequence[tuple[str, Cell]], publish: Publish, settings: TrialSettings) -> None:
    """Run the cells of a pack, by key, and publish each record with its per-sample outcomes."""
    if settings.device == "cuda":
        torch.cuda.reset_peak_memory_stats()  # peaks are the pack's, not those of one before it in this worker
    for run in _runs(pack, settings):
        publish(*run.result())
        memory_of(settings.device).tidy()


def run_cell(key: str, cell: Cell, settings: TrialSettings) -> tuple[Record, SampleOutcomes]:
    """Run one cell to a record, whatever happens in it, and its per-sample outcomes, empty unless it is done."""
    return next(_runs([(key, cell)], settings)).result()


def _runs(pack: Sequence[tuple[str, Cell]], settings: TrialSettings) -> Iterator[Run]:
    """Run cells, those of one structure in lockstep; each is yielded when it has ended."""
    groups: dict[str, list[Run]] = {}
    for key, cell in pack:
        run = Run(cell, settings, key)
        with run.own(), computing(cell, settings):
            run.prepare()
        if run.member is None:
            yield run.ended()
        elif not run.member.parameters:
            yield from _finished([run])
        else:
            shapes = [list(parameter.shape) for parameter in run.member.parameters]
            groups.setdefault(f"{structure(cell)} {shapes}", []).append(run)
    for runs in groups.values():
        yield from _finished(runs)


def _finished(runs: Sequence[Run]) -> Iterator[Run]:
    """Run the loop of prepared runs, in lockstep where there are several."""
    loop = Loop([run.member for run in runs if run.member is not None], guarded=any(run.weights for run in runs))
    with computing(runs[0].cell, runs[0].settings):
        loop.run()
    for run in runs:
        yield run.ended(loop)


@contextmanager
def computing(cell: Cell, settings: TrialSettings) -> Iterator[None]:
    """Compute with one thread and in the precision of a cell."""
    with one_thread(), precision_of(cell.precision, settings.device):
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch, BLAS and OpenMP to one thread, so that the machine's size cannot change a bit."""
    with one_intra_op_thread(), _thread_pools(len(sys.modules)).limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _thread_pools(_modules: int) -> ThreadpoolController:
    """Find the libraries that have threads, anew where more modules were imported, which may have loaded one."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _sums(backbone: Backbone) -> list[int]:
    """Return the sum over the bits of each weight, which reveals a weight that was written to."""
    whole = {2: torch.int16, 4: torch.int32}
    flat = [weights.detach().reshape(-1) for weights in backbone.parameters()]
    bits = [values.view(whole.get(values.element_size(), torch.uint8)) for values in flat]
    return [int(total) for total in torch.stack([values.sum(dtype=torch.int64) for values in bits])]


def _ending(error: Exception | None, limit: float | None) -> tuple[Status, str | None]:
    """Return the status and the reason of a cell that has ended with an error, or with none."""
    if error is None:
        return "done", None
    if isinstance(error, Skipped):
        return "skipped", str(error)
    if isinstance(error, (Diverged, FloatingPointError)):
        return "diverged", text_of(error)
    if isinstance(error, TimedOut):
        return "timeout", f"{error} ({limit:g} s allowed)"
    reason = text_of(error) if isinstance(error, BenchError) else described(error)
    return ("out_of_memory" if short_of_memory(error) else "failed"), reason


def _oracle(cell: Cell, needs: Needs) -> list[str]:
    """List the facts that a run is given and a user would not have."""
    return [
        *needs.oracle,
        *(["clean_subset"] if cell.subset == "clean" else []),
        *(["clean_validation"] if cell.validation == "clean" and needs.validation else []),
    ]


class Run:
    """State of one cell while it runs. What is known when it fails goes into the record."""

    def __init__(self, cell: Cell, settings: TrialSettings, key: str = "") -> None:
        self.key, self.cell, self.settings = key, cell, settings
        self.clock, self.watch = Clock(), Stopwatch(settings.timeout)
        self.train: Sampled | None = None
        self.validation: Sampled | None = None
        self.audit: Audit | None = None
        self.log = TrainingLog()
        self.method: Method | None = None
        self.member: Member | None = None
        self.error: Exception | None = None
        self.data: dict[str, Any] = {}
        self.visible = np.empty(0, dtype=np.int64)
        self.oracle: list[str] = []
        self.loaded: dict[str, Any] = {}
        self.weights: list[int] = []
        self.kept = b""
        self.not_kept = ""
        self.lockstep: dict[str, Any] = {}

    @contextmanager
    def own(self) -> Iterator[None]:
        """Count the time of what is done for this cell alone; a failure is kept as its error."""
        try:
            with self.watch.running():
                yield
        except Exception as error:  # noqa: BLE001 - a failing cell must never stop the grid; its reason is recorded
            self.error = let_go(error)

    def ended(self, loop: Loop | None = None) -> Run:
        """End the run after its loop, if it came to one: save prompts where requested."""
        member = self.member
        if member is not None and loop is not None:
            if len(loop.members) > 1:
                self.lockstep = {"lockstep": loop.width} | ({"not_in_lockstep": loop.alone} if loop.alone else {})
            self.error = member.error
            if self.settings.keep_prompts and self.error is None:
                with self.own(), computing(self.cell, self.settings):
                    self._keep(member)
        self.check_weights()
        return self

    def result(self) -> tuple[Record, SampleOutcomes]:
        """Return the record of an ended run, and its per-sample outcomes, empty unless it is done."""
        status, reason = _ending(self.error, self.settings.timeout)
        origin = origin_of(self.cell, self.settings.library)
        record = Record(
            schema=1, key=self.key, status=status, reason=reason, cell=self.cell,
            provenance=provenance_of(self.clock, self.settings.device, **origin, **self.loaded), **self.entries(),
        )  # fmt: skip
        return record, self.outcomes() if status == "done" else {}

    def _keep(self, member: Member) -> None:
        assert self.audit is not None  # noqa: S101 - it is trained
        assert self.audit.logits is not None  # noqa: S101
        backbone = open_backbone(self.cell.backbone, self.settings.device)
        given = self._given(member.data)
        try:
            self.kept = keep(member.method, self.cell, given, backbone, member.data.train, self.audit.logits)
        except NotKept as reason:
            self.not_kept = str(reason)

    def _given(self, data: TrainingData) -> SetupInputs:
        assert self.train is not None  # noqa: S101 - labels are drawn before features
        names, templates = self.data["class_names"], self.data["templates"]
        rate = self.cell.rate if takes_rate(self.cell.noise) else self.train.noisy.realised_rate or 0.0
        return SetupInputs(tuple(names), tuple(templates), data.observed[data.visible], rate)

    def prepare(self) -> Member:
        """Prepare data, noise and features, and set up the method: everything before the first evaluation."""
        cell, settings = self.cell, self.settings
        in_time = partial(self.watch.check, "before the training")
        dataset = settings.library.open(cell.dataset)
        train, validation = self._label(dataset)
        method_class = METHODS.get(cell.method)
        options = method_class.Options(**cell.options)
        needs = method_class.needs(options)
        self.oracle = _oracle(cell, needs)
        if "noise_rate" in needs.oracle and not train.noisy.truth:
            raise Skipped("the method is told the noise rate, which is unknown here")
        put_back()  # what a plugin has changed so far, for features are shared by all cells
        backbone = open_backbone(cell.backbone, settings.device)
        self.loaded = {"weights": backbone.digest}
        if METHODS.row(cell.method).origin != BUILT_IN or parts(cell.method, cell.options):
            self.weights = _sums(backbone)
        few = {"train": train, "validation": validation}
        inputs: dict[SplitName, Inputs] = {}
        for split in SPLITS:
            in_time()
            inputs[split] = self._inputs(dataset, split, backbone, needs, few.get(split))
        self.visible = np.flatnonzero(self._shown(train.noisy))
        given, numbers = len(self.visible), self._numbers(len(train.positions))
        data = TrainingData(
            train=replace(inputs["train"], index=numbers).to(settings.device),
            observed=torch.from_numpy(train.noisy.observed).to(settings.device),
            visible=torch.from_numpy(self.visible).to(settings.device),
            validation=(
                inputs["validation"].to(settings.device).numbered(given),
                torch.from_numpy(validation.noisy.observed).to(settings.device),
            ),
            test=inputs["test"].to(settings.device).numbered(given),
            classes=len(dataset.class_names),
            views=views_of(dataset, cell, backbone, needs, settings, train, numbers),
        )
        self.audit = Audit(
            true=torch.from_numpy(train.noisy.true).to(settings.device),
            observed=data.observed,
            test=torch.from_numpy(dataset.splits["test"].labels).to(settings.device),
            validation=data.validation[1],
            visible=data.visible,
            truth=train.noisy.truth,
        )
        self.method = method_class(options)
        self.method.check_time = in_time
        pool = None
        if needs.pool:
            whole = split_features(dataset, "train", backbone, needs.tokens, settings)
            pool = self._pool(whole, train).to(settings.device).numbered(given)
        shown = data.train.only(data.visible)
        views = tuple(view.only(data.visible) for view in data.views) if needs.views else ()
        in_time()
        self.method.setup(context_of(cell, self._given(data), backbone, shown, pool, views))
        in_time()
        self.method.to(settings.device)
        self.member = Member(self.method, cell, data, self.audit, self.watch)
        self.log = self.member.log
        return self.member

    def check_weights(self) -> None:
        """Drop the shared backbone where a third party's method has written to its weights."""
        if self.weights and _sums(open_backbone(self.cell.backbone, self.settings.device)) != self.weights:
            open_backbone.cache_clear()
            note("weights of the backbone")

    def _inputs(
        self, dataset: Dataset, split: SplitName, backbone: Backbone, needs: Needs, sampled: Sampled | None
    ) -> Inputs:
        return inputs_of(dataset, split, backbone, needs, self.settings, sampled)

    def _numbers(self, count: int) -> Tensor:
        """Return the numbers of the training samples, as in `Inputs.index`: first those that the method is given."""
        return torch.from_numpy(np.argsort(np.r_[self.visible, np.setdiff1d(np.arange(count), self.visible)]))

    def _pool(self, whole: Inputs, train: Sampled) -> Inputs:
        """Return the training split, less a fold's held-out samples, in an order independent of labels."""
        order = Stream(self.cell.seed, "shots", dataset_name.stream_name(self.cell.dataset), "pool").permutation(
            len(whole)
        )
        if self.cell.fold is not None:
            own = np.full(len(train.positions), -1) if train.foreign is None else train.foreign.positions
            hidden = np.setdiff1d(np.flatnonzero(own < 0), self.visible)
            order = order[~np.isin(order, train.positions[hidden])]
        return whole.take(torch.from_numpy(order))

    def _shown(self, noisy: NoisyLabels) -> NDArray[np.bool_]:
        if self.cell.subset != "clean":
            shown = ~left_out(self.cell, noisy.observed)
            if self.cell.fold is not None and (shown.all() or not shown.any()):
                number, count = self.cell.fold
                raise BenchError(
                    f"fold {number} of {count} has none, or all, of {len(shown)} samples; use fewer folds."
                )
            return shown
        if not noisy.truth:
            raise Skipped("the truth is unknown, so no clean subset can be told apart")
        shown = ~noisy.mislabeled
        if not shown.any():
            raise BenchError(f"no clean sample is left at rate {self.cell.rate:g}, so there is no oracle row to train.")
        return shown

    def _label(self, dataset: Dataset) -> tuple[Sampled, Sampled]:
        drawn = labelled(dataset, self.cell, self.settings)
        train, validation = self.train, self.validation = drawn["train"], drawn["validation"]
        self.data = {
            "classes": len(dataset.class_names),
            "class_names": list(dataset.class_names),
            "class_labels": list(dataset.class_labels),
            "templates": list(dataset.templates),
            "train": len(train.positions),
            "validation": len(validation.positions),
            "test": len(dataset.splits["test"]),
            "test_truth": dataset.splits["test"].truth,
            "classes_short_of_shots": train.short,
            "mode": dataset.mode,
            "skipped_images": list(dataset.skipped),
            "notes": list(dataset.notes),
            "left_out": list(dataset.left_out),
            "digest": dataset.digest,
        }
        return train, validation

    def entries(self) -> dict[str, Any]:
        """Return the record's entries that are known so far."""
        noise: dict[str, Any] = {}
        if self.train is not None and self.validation is not None:
            noise = {"kind": self.cell.noise, "rate": self.cell.rate, **self.train.summary()}
            noise["validation"] = self.validation.summary()
            if self.train.foreign is not None:
                noise["foreign_digest"] = self.settings.library.open(self.train.foreign.dataset).digest
        audit = self.audit
        names = sorted({name for row in self.log.diagnostics for name in row})
        peak = torch.cuda.max_memory_allocated() if self.settings.device == "cuda" else None
        return {
            "noise": noise,
            "data": self.data,
            "curve": audit.curve() if audit else {},
            "accuracy": audit.accuracy() if audit else {},
            "cost": {
                "seconds": round(self.watch.seconds(), 3),
                "optimizer_steps": dict(sorted(self.log.steps.items())),
                "forward_passes": self.log.forward_passes,
                "trained_parameters": sum(p.numel() for p in self.method.parameters()) if self.method else None,
                "peak_memory_bytes": peak,
                **({"prompts_not_kept": self.not_kept} if self.not_kept else {}),
                **({"prompts_bytes": len(self.kept)} if self.kept else {}),
                **self.lockstep,
            },
            "diagnostics": {name: [row.get(name) for row in self.log.diagnostics] for name in names},
            "oracle": self.oracle,
        }

    def outcomes(self) -> SampleOutcomes:
        """Return per-sample outcomes, see `bench.engine.outcomes`, and the bytes of the saved prompts."""
        assert self.audit is not None  # noqa: S101 - only asked of a finished run
        assert self.train is not None  # noqa: S101
        unseen = np.full(len(self.train.positions), not METHODS.get(self.cell.method).reads_labels)
        if self.cell.fold is not None:
            unseen[np.setdiff1d(np.arange(len(unseen)), self.visible)] = True
        found = sample_outcomes(self.audit, self.train, self.visible, unseen)
        return found | ({PROMPTS: np.frombuffer(self.kept, dtype=np.uint8)} if self.kept else {})
