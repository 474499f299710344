"""The cell: the identity of one experiment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import Flag, auto
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench import limits


class Role(Flag):
    """Role of a field of a cell, declared with the field."""

    AXIS = auto()  # a grid may name several values
    TRAINING = auto()  # how it is trained; a paper's own under `budget = "paper"`
    PROTOCOL = auto()  # one value for all cells of a grid
    LABELS = auto()  # decides which labels are drawn
    TABLE = auto()  # varies within one table: its rows, columns and repetitions
    REPEAT = auto()  # may differ between runs of one and the same method
    MEMBER = auto()  # may differ between the cells of a pack, beside folds and scalar options


class Cell(BaseModel):
    """One experiment, fully resolved: nothing that can change a number is left to a default.

    `dataset` and `noise` are names, with the options that are not their defaults in brackets; `dataset` may also be
    "folder:PATH". `rate` is the nominal noise rate in [0, 1). `subset` says which samples the engine trains on: "all",
    "clean" for the oracle row of the truly clean ones, "fold2of4" for all but the second of four folds. `options` holds
    every option of the method. `validation` is which twin of the validation set is used: "noisy" as a user's would be,
    or "clean", an oracle. `views` counts the recorded augmented views of each training image, 0 for the plain image
    alone. `drop_last` leaves out the last batch of an epoch where it is not full, as most reference code does.
    `precision` is that of the text tower, and of the image tower under prompts (`bench.clip.precision`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: Annotated[str, Role.AXIS | Role.LABELS]
    shots: Annotated[limits.Shots, Role.AXIS | Role.LABELS]
    noise: Annotated[str, Role.AXIS | Role.LABELS | Role.TABLE | Role.MEMBER]
    rate: Annotated[limits.Rate, Role.AXIS | Role.LABELS | Role.TABLE | Role.MEMBER]
    method: Annotated[str, Role.AXIS | Role.TABLE]
    options: Annotated[dict[str, limits.Value], Role.TABLE] = Field(default_factory=dict)
    subset: Annotated[str, Role.TABLE | Role.REPEAT] = Field(
        default="all", pattern=r"^(all|clean|fold[1-9]\d*of[1-9]\d*)$"
    )
    backbone: Annotated[str, Role.AXIS]
    seed: Annotated[limits.Seed, Role.AXIS | Role.LABELS | Role.TABLE | Role.REPEAT | Role.MEMBER]
    epochs: Annotated[limits.Epochs, Role.AXIS | Role.TRAINING]
    budget: Annotated[limits.BudgetName, Role.PROTOCOL] = "equal"
    batch_size: Annotated[limits.BatchSize, Role.TRAINING]
    optimizer: Annotated[limits.OptimizerName, Role.TRAINING] = "sgd"
    learning_rate: Annotated[limits.LearningRate, Role.TRAINING]
    schedule: Annotated[limits.Schedule, Role.TRAINING] = "cosine"
    epsilon: Annotated[limits.Epsilon, Role.TRAINING] = 1e-8
    momentum: Annotated[limits.Momentum, Role.TRAINING]
    weight_decay: Annotated[limits.Decay, Role.TRAINING]
    warmup_epochs: Annotated[limits.WarmupEpochs, Role.TRAINING]
    warmup_learning_rate: Annotated[limits.WarmupRate, Role.TRAINING]
    precision: Annotated[limits.Precision, Role.PROTOCOL] = "float32"
    drop_last: Annotated[bool, Role.TRAINING] = False
    validation: Annotated[Literal["noisy", "clean"], Role.TRAINING | Role.LABELS] = "noisy"
    views: Annotated[limits.Views, Role.TRAINING]
    eval_every: Annotated[limits.EvalEvery, Role.PROTOCOL | Role.REPEAT]

    @classmethod
    @cache
    def fields_of(cls, role: Role) -> tuple[str, ...]:
        """Return the names of the fields that have a role (or one of several), in the order of their declaration."""
        roles = {
            name: next((one for one in field.metadata if isinstance(one, Role)), Role(0))
            for name, field in cls.model_fields.items()
        }
        return tuple(name for name, own in roles.items() if own & role)

    @classmethod
    @cache
    def own_fields(cls, budget: str) -> tuple[str, ...]:
        """Return the names of the fields that a budget leaves to each method."""
        return {"paper": cls.fields_of(Role.TRAINING), "tuned": ("learning_rate",)}.get(budget, ())

    @property
    def fold(self) -> tuple[int, int] | None:
        """Number of the fold that is left out, from 1, and how many there are; None where nothing is."""
        number, _, count = self.subset.removeprefix("fold").partition("of")
        return (int(number), int(count)) if self.subset.startswith("fold") else None

    @property
    def suffix(self) -> str:
        """Suffix of the method's name: "", "@clean" or "@fold2of4"."""
        return "" if self.subset == "all" else f"@{self.subset}"

    def key(self, versions: Mapping[str, Any]) -> str:
        """Compute the name of the cell's record: 16 hexadecimal digits over its fields and `versions`.

        Args:
            versions: version of the method; under "noise", "dataset" and "backbone" versions, options and digests of
                files and weights, in place of names that may hold a path.
        """
        later = {"drop_last"} if not self.drop_last else set()  # a field that records of before do not have
        named = self.model_dump(exclude={"backbone", "noise", "dataset", *later})
        text = json.dumps({"cell": named, "versions": dict(versions)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def label(self) -> str:
        """Describe the cell in one line: dataset, noise, method variant, seed."""
        return f"{self.dataset} · {noise_text(self.noise, self.rate)} · {self.method}{self.suffix} · seed {self.seed}"


def noise_text(kind: str, rate: float) -> str:
    """Format a kind of noise with its rate, to the last digit.

    >>> noise_text("symmetric", 0.5), noise_text("symmetric", 1 / 3)
    ('symmetric 0.5', 'symmetric 0.3333333333333333')
    """
    return f"{kind} {rate}" if rate else kind
