"""The identity of one experiment, and the record it leaves behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1
Value: TypeAlias = bool | int | float | str
Status: TypeAlias = Literal["done", "diverged", "timeout", "out_of_memory", "failed", "skipped"]
OptimizerName: TypeAlias = Literal["sgd", "adam", "adamw"]
Schedule: TypeAlias = Literal["cosine", "cosine-step", "constant"]
UNFINISHED: tuple[Status, ...] = ("diverged", "timeout", "out_of_memory", "failed")


class Cell(BaseModel):
    """One experiment, fully resolved: nothing that can change a number is left to a default.

    `dataset` and `noise` are names, with the options that are not their defaults in brackets; `dataset` may also be
    "folder:PATH". `rate` is the nominal noise rate in [0, 1). `subset` says which samples the engine trains on: "all",
    "clean" for the oracle row of the truly clean ones, "fold2of4" for all but the second of four folds. `options` holds
    every option of the method. `validation` is which twin of the validation set is used: "noisy" as a user's would be,
    or "clean", an oracle. `views` counts the recorded augmented views of each training image, 0 for the plain image
    alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    shots: int = Field(ge=1)
    noise: str
    rate: float = Field(ge=0, lt=1)
    method: str
    options: dict[str, Value] = Field(default_factory=dict)
    subset: str = Field(default="all", pattern=r"^(all|clean|fold[1-9]\d*of[1-9]\d*)$")
    backbone: str
    seed: int = Field(ge=0)
    epochs: int = Field(ge=1)
    budget: Literal["equal", "paper"] = "equal"
    batch_size: int = Field(ge=1)
    optimizer: OptimizerName = "sgd"
    learning_rate: float = Field(gt=0)
    schedule: Schedule = "cosine"
    epsilon: float = Field(default=1e-8, gt=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    warmup_epochs: int = Field(ge=0)
    warmup_learning_rate: float = Field(gt=0)
    precision: Literal["float32"] = "float32"
    validation: Literal["noisy", "clean"] = "noisy"
    views: int = Field(ge=0)
    eval_every: int = Field(ge=1)

    @property
    def fold(self) -> tuple[int, int] | None:
        """Number of the fold that is left out, from 1, and how many there are; None where nothing is."""
        number, _, count = self.subset.removeprefix("fold").partition("of")
        return (int(number), int(count)) if self.subset.startswith("fold") else None

    @property
    def suffix(self) -> str:
        """What stands behind the method's name: "", "@clean" or "@fold2of4"."""
        return "" if self.subset == "all" else f"@{self.subset}"

    def key(self, versions: Mapping[str, Any]) -> str:
        """The record's name: 16 hexadecimal digits over this cell and what it was resolved against.

        Args:
            versions: version of the method; under "noise", "dataset" and "backbone" what stands for their names, which
                may hold a path: kind, version, every option and digests of files and weights.
        """
        named = self.model_dump(exclude={"backbone", "noise", "dataset"})
        text = json.dumps({"cell": named, "versions": dict(versions)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def label(self) -> str:
        """A short text for people: dataset, noise, method variant, seed."""
        return f"{self.dataset} · {noise_text(self.noise, self.rate)} · {self.method}{self.suffix} · seed {self.seed}"


def noise_text(kind: str, rate: float) -> str:
    """A kind of noise with its rate, which a kind without rates does not have.

    >>> noise_text("symmetric", 0.5)
    'symmetric 0.5'
    """
    return f"{kind} {rate:.4g}" if rate else kind


class Record(BaseModel):
    """What one cell left behind. Shares are fractions in [0, 1], times are seconds; absent numbers are null.

    Attributes:
        reason: one line, for every status but "done".
        noise: kind, rate, realised_rate, per_class_rate [C], digest of the observed labels, and the same of the
            validation twin under "validation".
        data: sizes, class names and the digest of the few-shot selection.
        curve: one list per name, one entry per evaluated epoch; "epoch" counts from 0 (before training), and the last
            row stands after `finalize`.
        accuracy: last, best (an oracle), selected (at the best noisy-validation accuracy), selected_epoch.
        cost: seconds, optimizer_steps by loss term, forward_passes, trained_parameters, peak_memory_bytes.
        diagnostics: what the method reports, one list per name, one entry per row of the curve.
        oracle: facts the run was given that a user would not have.
        attempts: status and reason of earlier tries of the same cell.
        provenance: versions, machine, code state and when; never part of the key. "changed_state" names what the cell
            changed of its process, which was put back.
    """

    model_config = ConfigDict(extra="forbid")

    schema_: int = Field(default=SCHEMA, alias="schema")
    key: str
    status: Status
    reason: str | None = None
    cell: Cell
    noise: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    curve: dict[str, list[float | int | None]] = Field(default_factory=dict)
    accuracy: dict[str, float | int | None] = Field(default_factory=dict)
    cost: dict[str, Any] = Field(default_factory=dict)
    diagnostics: dict[str, list[float | None]] = Field(default_factory=dict)
    oracle: list[str] = Field(default_factory=list)
    attempts: list[dict[str, str]] = Field(default_factory=list)
    provenance: dict[str, Any] = Field(default_factory=dict)

    def to_json(self) -> str:
        """The record as text: keys in a fixed order, non-finite numbers refused."""
        return json.dumps(self.model_dump(by_alias=True), indent=1, allow_nan=False) + "\n"
