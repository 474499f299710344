"""Typed records: what is read is written again, and the published schema is that of the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bench.records.json_schema import schema_text
from bench.records.record import Record
from tests import ROOT
from tests.reports.factory import cell, changed, record
from tests.schedulers.fakes import cell as plain_cell

SCHEMA = ROOT / "docs" / "record.schema.json"
FACTS: dict[str, Any] = {
    "noise": {"kind": "mine", "rate": 0.5, "confusion": [[0, 1, 2]], "flips": {"a": 1}, "validation": {"flips": 0}},
    "data": {"classes": 2, "classes_short_of_shots": {"1": 3}, "notes": []},
    "cost": {"seconds": 13, "optimizer_steps": {"all": 5}, "peak_memory_bytes": None},
    "provenance": {"code": {}, "resolved": {"noise": {"options": {"q": True}}}, "threads": 1},
}


def test_the_published_schema_is_that_of_the_model() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), (
        "python -m bench.records.json_schema > docs/record.schema.json"
    )


def test_what_is_read_is_written_again_and_nothing_else() -> None:
    values = {**json.loads(record(cell()).to_json()), **FACTS}
    again = Record.model_validate_json(json.dumps(values)).to_json()
    assert json.loads(again) == values
    assert json.dumps(json.loads(again)["cost"]) == json.dumps(values["cost"]), "whole numbers stay whole"


def test_a_record_of_older_code_reads_without_the_newer_parts() -> None:
    bare = {"schema": 1, "key": "0" * 16, "status": "done", "cell": plain_cell().model_dump()}
    one = Record.model_validate_json(json.dumps(bare))
    assert (one.noise.truth, one.accuracy.last, one.data.notes, one.provenance.resolved) == (None, None, [], None)
    assert json.loads(one.to_json())["provenance"] == {}


@pytest.mark.parametrize("part", ["data", "curve", "accuracy", "cost", "provenance"])
def test_only_noise_takes_facts_of_other_names(part: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        changed(record(cell()), **{part: {"flips": []}})


def test_a_tiny_run_fits_the_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="a validator of JSON schemas is not installed")
    from bench.cli.main import invoke

    monkeypatch.chdir(tmp_path)
    sets = ("method=zero-shot,coop", "noise=none", "seed=1", "shots=1", "epochs=1")
    assert invoke(["run", *(word for text in sets for word in ("--set", text)), "--scheduler", "local"]) == 0
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    files = sorted(Path("results").glob("*.json"))
    assert len(files) == 2
    assert [error.message for file in files for error in validator.iter_errors(json.loads(file.read_text()))] == []
