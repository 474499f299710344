"""Writes the JSON schema of records: `python -m bench.records.json_schema > docs/record.schema.json`."""

from __future__ import annotations

import json
import sys

from bench.records.record import Record


def schema_text() -> str:
    """Format the JSON schema of a record's file."""
    return json.dumps(Record.model_json_schema(by_alias=True), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
