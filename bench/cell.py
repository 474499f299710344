"""The identity of one experiment, and the record it leaves behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationInfo
from typing_extensions import TypedDict

SCHEMA = 1
Value: TypeAlias = bool | int | float | str
Status: TypeAlias = Literal["done", "diverged", "timeout", "out_of_memory", "failed", "skipped"]
OptimizerName: TypeAlias = Literal["sgd", "adam", "adamw"]
Schedule: TypeAlias = Literal["cosine", "cosine-step", "constant"]
UNFINISHED: tuple[Status, ...] = ("diverged", "timeout", "out_of_memory", "failed")
MOST_FOLDS = 1000
MOST_EPOCHS = 100_000
LARGEST = 1e30  # a float32 ends at 3.4e38, and torch refuses a larger step with a traceback


def _number(when: str = "", **limits: Any) -> Any:
    """Limits of a number that is no truth value, and the condition under which it counts (`bench.conditions`)."""
    return Field(strict=True, json_schema_extra={"when": when} if when else None, **limits)


# The numbers of a cell, with their limits: settings, `--set` and cells share them.
Shots: TypeAlias = Annotated[int, _number(ge=1, le=1_000_000)]
Rate: TypeAlias = Annotated[float, _number(ge=0, lt=1)]
Seed: TypeAlias = Annotated[int, _number(ge=0, le=2**63 - 1)]
Epochs: TypeAlias = Annotated[int, _number(ge=1, le=MOST_EPOCHS)]
BatchSize: TypeAlias = Annotated[int, _number(ge=1, le=100_000)]
LearningRate: TypeAlias = Annotated[
    float, _number("schedule!=cosine or epochs>warmup_epochs", gt=0, le=LARGEST, allow_inf_nan=False)
]
Epsilon: TypeAlias = Annotated[float, _number("optimizer!=sgd", gt=0, le=LARGEST, allow_inf_nan=False)]
Momentum: TypeAlias = Annotated[float, _number("optimizer=sgd", ge=0, lt=1)]
Decay: TypeAlias = Annotated[float, _number(ge=0, le=LARGEST, allow_inf_nan=False)]
WarmupEpochs: TypeAlias = Annotated[int, _number("schedule=cosine", ge=0, le=MOST_EPOCHS)]
WarmupRate: TypeAlias = Annotated[
    float, _number("schedule=cosine and warmup_epochs>0", gt=0, le=LARGEST, allow_inf_nan=False)
]
Views: TypeAlias = Annotated[int, _number(ge=0, le=10_000)]
EvalEvery: TypeAlias = Annotated[int, _number("epochs>1", ge=1, le=1_000_000)]


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
    shots: Shots
    noise: str
    rate: Rate
    method: str
    options: dict[str, Value] = Field(default_factory=dict)
    subset: str = Field(default="all", pattern=r"^(all|clean|fold[1-9]\d*of[1-9]\d*)$")
    backbone: str
    seed: Seed
    epochs: Epochs
    budget: Literal["equal", "paper"] = "equal"
    batch_size: BatchSize
    optimizer: OptimizerName = "sgd"
    learning_rate: LearningRate
    schedule: Schedule = "cosine"
    epsilon: Epsilon = 1e-8
    momentum: Momentum
    weight_decay: Decay
    warmup_epochs: WarmupEpochs
    warmup_learning_rate: WarmupRate
    precision: Literal["float32"] = "float32"
    validation: Literal["noisy", "clean"] = "noisy"
    views: Views
    eval_every: EvalEvery

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
    """A kind of noise with its rate to the last digit, which a kind without rates does not have.

    >>> noise_text("symmetric", 0.5), noise_text("symmetric", 1 / 3)
    ('symmetric 0.5', 'symmetric 0.3333333333333333')
    """
    return f"{kind} {rate}" if rate else kind


Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


_Rows: TypeAlias = dict[str, list[Annotated[float, Field(allow_inf_nan=False)] | None]]
_Shares: TypeAlias = list[Share | None]
T = TypeVar("T")


def _even(rows: _Rows) -> _Rows:
    if len({len(values) for values in rows.values()}) > 1:
        raise ValueError("its lists are not of one length")
    return rows


class _Open(TypedDict, total=False):
    """A part of a record: what is named here has these types where it is there, more may be there."""

    __pydantic_config__ = ConfigDict(extra="allow", allow_inf_nan=False)  # type: ignore[misc] # pydantic reads it


class _Curve(_Open, total=False):
    test_accuracy: _Shares
    validation_accuracy: _Shares
    train_clean_accuracy: _Shares
    train_given_accuracy: _Shares
    test_calibration_error: list[Annotated[float, Field(ge=0, le=1.001)] | None]  # confidences round
    memorized: _Shares
    recovered: _Shares
    neither: _Shares
    split_precision: _Shares
    split_recall: _Shares
    pseudo_label_accuracy: _Shares


class _Noise(_Open, total=False):
    digest: str
    truth: bool
    realised_rate: Share | None
    per_class_rate: list[Share] | None
    mislabeled: int | None
    confusion: list[tuple[int, int, int]] | None
    observed_per_class: list[int]
    images_digest: str
    foreign: str
    validation: dict[str, Any]


class _Data(_Open, total=False):
    classes: int
    class_names: list[str]
    templates: list[str]
    train: int
    validation: int
    test: int
    test_truth: bool
    classes_short_of_shots: dict[int, int]
    mode: str
    skipped_images: list[str]
    notes: list[str]
    left_out: list[str]
    class_labels: list[str]
    digest: str


class _Accuracy(_Open, total=False):
    last: Share | None
    best: Share | None
    selected: Share | None
    selected_epoch: int | None


class _Cost(_Open, total=False):
    seconds: float
    optimizer_steps: dict[str, float]
    forward_passes: float
    trained_parameters: int | None
    peak_memory_bytes: int | None
    prompts_not_kept: str


class _NoiseIdentity(_Open):
    options: dict[str, Any]


class _Resolved(_Open, total=False):
    method: int
    noise: _NoiseIdentity
    dataset: str
    backbone: str


class _Provenance(_Open, total=False):
    versions: dict[str, str]
    code: dict[str, Any]
    resolved: _Resolved
    sources: dict[str, str]
    weights: str
    device: str
    processor: str
    platform: str
    threads: int
    started: str
    finished: str


STORED: Final = "stored"  # context of validation: a file may hold anything, a run what its own types allow


def _of(part: Any) -> AfterValidator:
    """Hold a stored mapping against a type, without changing it."""
    adapter: TypeAdapter[Any] = TypeAdapter(part)

    def checked(values: T, info: ValidationInfo) -> T:
        if info.context == STORED:
            adapter.validate_python(values)
        return values

    return AfterValidator(checked)


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
        attempts: status and reason of earlier tries of the same cell; one that was done and was run anew, since code or
            data had changed, stands there whole under "record".
        provenance: versions, machine, code state and when; "resolved", what entered the key; "sources", digests of the
            code (`bench.sources`); "weights", the digest of those that were loaded; "changed_state", what the cell
            changed of its process, which was put back.
    """

    model_config = ConfigDict(extra="forbid")

    schema_: int = Field(default=SCHEMA, alias="schema")
    key: str
    status: Status
    reason: str | None = None
    cell: Cell
    noise: Annotated[dict[str, Any], _of(_Noise)] = Field(default_factory=dict)
    data: Annotated[dict[str, Any], _of(_Data)] = Field(default_factory=dict)
    curve: Annotated[dict[str, list[float | int | None]], _of(_Curve), _of(Annotated[_Rows, AfterValidator(_even)])] = (
        Field(default_factory=dict)
    )
    accuracy: Annotated[dict[str, float | int | None], _of(_Accuracy)] = Field(default_factory=dict)
    cost: Annotated[dict[str, Any], _of(_Cost)] = Field(default_factory=dict)
    diagnostics: Annotated[dict[str, list[float | None]], _of(_Rows)] = Field(default_factory=dict)
    oracle: list[str] = Field(default_factory=list)
    attempts: list[dict[str, Any]] = Field(default_factory=list)
    provenance: Annotated[dict[str, Any], _of(_Provenance)] = Field(default_factory=dict)

    def to_json(self) -> str:
        """The record as text: keys in a fixed order, non-finite numbers refused."""
        return json.dumps(_encodable(self.model_dump(by_alias=True)), indent=1, allow_nan=False) + "\n"


def _encodable(value: Any) -> Any:
    """A value of JSON in which halves of characters, which no reader takes, are written out."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    return [_encodable(inner) for inner in value] if isinstance(value, list) else value
