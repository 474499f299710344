"""Typed parts of a record: labels, data, curve, accuracy, cost and provenance of one run."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Finite: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
Number: TypeAlias = int | Finite
Column: TypeAlias = list[Number | None]
Shares: TypeAlias = list[Share | None]


class RecordModel(BaseModel):
    """Part of a record. A field that was not set reads as None or empty, and is not written."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _noted(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        absent = type(self).model_fields.keys() - self.model_fields_set
        return {name: value for name, value in write(self).items() if name not in absent}


def noted(part: BaseModel) -> dict[str, Any]:
    """Return the fields of a cell, or those of another part of a record that were set, as they are."""
    fields, extra = vars(part), part.model_extra or {}
    known = part.model_fields_set if isinstance(part, RecordModel) else fields.keys()
    return {name: value for name, value in fields.items() if name in known} | extra


class Labels(RecordModel):
    """Labels that were drawn for one split; further fields are facts that the kind of noise adds."""

    model_config = ConfigDict(extra="allow")

    kind: str | None = None
    rate: float | None = None
    digest: str | None = None
    truth: bool | None = None
    realised_rate: Share | None = None
    per_class_rate: list[Share] | None = None
    mislabeled: int | None = None
    confusion: list[tuple[int, int, int]] | None = None
    observed_per_class: list[int] = Field(default_factory=list)
    images_digest: str | None = None
    foreign: str | None = None


class TrainingLabels(Labels):
    """Training labels of a run with their kind of noise and nominal rate, and the labels of the validation twin."""

    validation: Labels | None = None
    foreign_digest: str | None = None


class Data(RecordModel):
    """Data set of a run: sizes, class names, what was left out, and the digest of images and labels."""

    classes: int | None = None
    class_names: list[str] = Field(default_factory=list)
    class_labels: list[str] = Field(default_factory=list)
    templates: list[str] = Field(default_factory=list)
    train: int | None = None
    validation: int | None = None
    test: int | None = None
    test_truth: bool | None = None
    classes_short_of_shots: dict[int, int] = Field(default_factory=dict)
    mode: str = ""
    skipped_images: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    left_out: list[str] = Field(default_factory=list)
    digest: str = ""

    @property
    def class_count(self) -> int:
        """Number of classes; 0 where the record does not say it."""
        return self.classes or len(self.class_names)


class Curve(RecordModel):
    """One list per quantity, one entry per evaluated epoch."""

    epoch: Column = Field(default_factory=list)
    test_accuracy: Shares = Field(default_factory=list)
    test_calibration_error: list[Annotated[float, Field(ge=0, le=1.001)] | None] = Field(default_factory=list)
    validation_accuracy: Shares = Field(default_factory=list)
    train_given_accuracy: Shares = Field(default_factory=list)
    train_clean_accuracy: Shares = Field(default_factory=list)
    memorized: Shares = Field(default_factory=list)
    recovered: Shares = Field(default_factory=list)
    neither: Shares = Field(default_factory=list)
    loss_clean: Column = Field(default_factory=list)
    loss_mislabeled: Column = Field(default_factory=list)
    loss_auroc: Column = Field(default_factory=list)
    split_size: Column = Field(default_factory=list)
    split_precision: Shares = Field(default_factory=list)
    split_recall: Shares = Field(default_factory=list)
    pseudo_label_accuracy: Shares = Field(default_factory=list)

    @model_validator(mode="after")
    def _even(self) -> Curve:
        fields = vars(self)
        if len({len(fields[name]) for name in self.model_fields_set}) > 1:
            raise ValueError("its lists are not of one length")
        return self

    @property
    def columns(self) -> dict[str, Column]:
        """Quantities that were recorded, by name."""
        return noted(self)


class Accuracy(RecordModel):
    """Test accuracy after the last epoch, at best (an oracle), and at the best noisy-validation accuracy."""

    last: Share | None = None
    best: Share | None = None
    selected: Share | None = None
    selected_epoch: int | None = None


class Cost(RecordModel):
    """Cost of a run, and of saved prompts: their bytes, or why there are none.

    `seconds` is the cell's share where it was trained beside others; `lockstep` says how many at a time, and
    `not_in_lockstep` why they were trained one by one after all.
    """

    seconds: Number | None = None
    optimizer_steps: dict[str, Number] = Field(default_factory=dict)
    forward_passes: Number | None = None
    trained_parameters: int | None = None
    peak_memory_bytes: int | None = None
    prompts_not_kept: str | None = None
    prompts_bytes: int | None = None
    lockstep: int | None = None
    not_in_lockstep: str | None = None


class NoiseIdentity(RecordModel):
    """Identity of a kind of noise in a key: options, with digests in place of files."""

    kind: str | None = None
    version: int | None = None
    options: dict[str, Any]


class Resolved(RecordModel):
    """Versions and digests that entered the key; further fields are losses, splits and a version under a condition."""

    model_config = ConfigDict(extra="allow")

    method: int | None = None
    noise: NoiseIdentity | None = None
    dataset: str = ""
    backbone: str = ""


class CodeState(RecordModel):
    """State of the checkout that a run was made from."""

    commit: str | None = None
    dirty: bool | None = None


class Provenance(RecordModel):
    """Versions, machine, code state and when; see `Record`."""

    versions: dict[str, str] = Field(default_factory=dict)
    code: CodeState | None = None
    device: str = ""
    processor: str = ""
    platform: str = ""
    threads: int | None = None
    started: str = ""
    finished: str = ""
    resolved: Resolved | None = None
    sources: dict[str, str] = Field(default_factory=dict)
    plugins: dict[str, str] = Field(default_factory=dict)
    weights: str = ""
    changed_state: list[str] = Field(default_factory=list)
