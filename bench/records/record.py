"""The record that a cell leaves behind."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationInfo
from typing_extensions import TypedDict

from bench.records.cell import Cell

SCHEMA = 1
Status: TypeAlias = Literal["done", "diverged", "timeout", "out_of_memory", "failed", "skipped"]
UNFINISHED: tuple[Status, ...] = ("diverged", "timeout", "out_of_memory", "failed")
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
            code (`bench.grid.code`); "weights", the digest of those that were loaded; "changed_state", what the cell
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
