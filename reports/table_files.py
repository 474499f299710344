"""Write the tidy tables of records, cells and epochs, as CSV or Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.files import write_whole
from bench.records.record import Record
from bench.reports.build import option_defaults
from bench.reports.frame import curves, tidy, wide_curves
from bench.spreadsheet import inert_frame

if TYPE_CHECKING:
    import pandas as pd

NESTED = ("steps", "made")  # mappings; Parquet has none without an entry, so empty ones are null


def write_frames(records: Sequence[Record], out: Path, form: str) -> Iterator[tuple[Path, int]]:
    """Write `cells` and `epochs` in a folder; yields each file with its number of rows.

    Args:
        records: of a store.
        out: the folder.
        form: "csv" or "parquet".

    Raises:
        BenchError: Parquet is asked for and pyarrow is not installed.
        OSError: the folder cannot be written.
    """
    frame = tidy(records, option_defaults({record.cell.method for record in records}))
    tables = {"cells": frame, "epochs": frame if frame.empty else wide_curves(curves(records, frame), frame)}
    for name, table in tables.items():
        file = out / f"{name}.{form}"
        write_whole(file, inert_frame(table).to_csv(index=False) if form == "csv" else _parquet(table))
        yield file, len(table)


def _parquet(table: pd.DataFrame) -> bytes:
    written = io.BytesIO()
    nested = {name: table[name].where(table[name].map(bool), None) for name in NESTED if name in table}
    try:
        table.assign(**nested).to_parquet(written, engine="pyarrow", index=False)
    except ImportError as error:
        raise BenchError("--format parquet needs the package pyarrow; uv pip install pyarrow.") from error
    return written.getvalue()
