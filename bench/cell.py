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

    `rate` is the nominal noise rate in [0, 1); `subset` is "clean" for the oracle row that the engine trains on the
    truly clean samples alone; `options` holds every option of the method; `views` counts the recorded augmented views
    of each training image, 0 for the plain image alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    shots: int = Field(ge=1)
    noise: str
    rate: float = Field(ge=0, lt=1)
    method: str
    options: dict[str, Value] = Field(default_factory=dict)
    subset: Literal["all", "clean"] = "all"
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
    views: int = Field(ge=0)
    eval_every: int = Field(ge=1)

    def key(self, versions: Mapping[str, str | int]) -> str:
        """The record's name: 16 hexadecimal digits over this cell and what it was resolved against.

        Args:
            versions: versions of the method, noise and data set plugins, and under "backbone" the identity of the
                weights, which stands for the backbone's name: that may be a path.
        """
        text = json.dumps({"cell": self.model_dump(exclude={"backbone"}), "versions": dict(versions)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def label(self) -> str:
        """A short text for people: dataset, noise, method variant, seed."""
        noise = self.noise if self.noise == "none" else f"{self.noise} {self.rate:.4g}"
        subset = "@clean" if self.subset == "clean" else ""
        return f"{self.dataset} · {noise} · {self.method}{subset} · seed {self.seed}"


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
        provenance: versions, machine, code state and when; never part of the key.
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
