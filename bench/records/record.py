"""The record that a cell leaves behind."""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from bench.records.cell import Cell
from bench.records.parts import Accuracy, Column, Cost, Curve, Data, Provenance, TrainingLabels

SCHEMA = 1
Status: TypeAlias = Literal["done", "diverged", "timeout", "out_of_memory", "failed", "skipped"]
UNFINISHED: tuple[Status, ...] = ("diverged", "timeout", "out_of_memory", "failed")


class Record(BaseModel):
    """Record of one cell, in typed parts (`bench.records.parts`).

    Shares are fractions in [0, 1], times are seconds; absent numbers are null.

    Attributes:
        reason: one line, for every status but "done".
        curve: "epoch" counts from 0 (before training), and the last row stands after `finalize`.
        diagnostics: what the method reports, one list per name, one entry per row of the curve.
        oracle: facts the run was given that a user would not have.
        attempts: status and reason of earlier tries of the same cell; one that was done and was run anew, since code or
            data had changed, stands there whole under "record".
        provenance: versions, machine, code state and when; "resolved", what entered the key; "sources", digests of the
            code (`bench.grid.code`); "plugins", where those of third parties are from; "weights", the digest of those
            that were loaded; "changed_state", what the cell changed of its process, which was put back.
    """

    model_config = ConfigDict(extra="forbid")

    schema_: int = Field(default=SCHEMA, alias="schema", ge=SCHEMA, le=SCHEMA)
    key: str
    status: Status
    reason: str | None = None
    cell: Cell
    noise: TrainingLabels = Field(default_factory=TrainingLabels)
    data: Data = Field(default_factory=Data)
    curve: Curve = Field(default_factory=Curve)
    accuracy: Accuracy = Field(default_factory=Accuracy)
    cost: Cost = Field(default_factory=Cost)
    diagnostics: dict[str, Column] = Field(default_factory=dict)
    oracle: list[str] = Field(default_factory=list)
    attempts: list[dict[str, Any]] = Field(default_factory=list)
    provenance: Provenance = Field(default_factory=Provenance)

    def to_json(self) -> str:
        """Format the record, with keys in a fixed order; non-finite numbers are refused."""
        return json.dumps(_encodable(self.model_dump(by_alias=True)), indent=1, allow_nan=False) + "\n"


def _encodable(value: Any) -> Any:
    """Escape lone surrogates, which no JSON reader takes, in a JSON value."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    return [_encodable(inner) for inner in value] if isinstance(value, list) else value
