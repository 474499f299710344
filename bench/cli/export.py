"""`bench export`: the records of a store as tables, or for a tracker of experiments."""

from __future__ import annotations

import shlex
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench import console
from bench.cli.app import ConfigFile, Plugins, StoreRoot, examples, verbs
from bench.cli.selection import Selection, writing
from bench.errors import BenchError
from bench.execution.summary import in_order
from bench.files import local_path
from bench.records.record import Record
from bench.records.store import Store
from bench.tracking.contract import PROJECT, Tracker, hand_over

app = verbs()


class ExportFormat(StrEnum):
    """Formats: an archive, tables, an MLflow database, offline runs of Weights & Biases, TensorBoard event files."""

    ARCHIVE = "archive"
    CSV = "csv"
    PARQUET = "parquet"
    MLFLOW = "mlflow"
    WANDB = "wandb"
    TENSORBOARD = "tensorboard"


@app.command(
    "export",
    epilog=examples(
        "bench export --format csv --out tables",
        "bench export --format archive --out records.zip",
        "bench export --format mlflow --out mlruns --store results/ci",
        "bench export --format wandb --out runs --project noisy-labels",
    ),
)
def export_records(
    form: Annotated[ExportFormat, typer.Option("--format", help="Of what is written.")],
    out: Annotated[
        str, typer.Option(help="Folder; of archive a .zip file; of mlflow also a .db file or a tracking URI.")
    ],
    project: Annotated[str, typer.Option(help="Name of the experiment (mlflow) or project (wandb).")] = PROJECT,
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Export the records of a store: tables, a run per cell for a tracker, or an archive for `bench import`."""
    opened = Selection(None, None, store, config, plugin).existing()
    records = in_order(opened.records())
    for problem in opened.problems.values():
        console.warn(problem)
    if not records:
        raise BenchError(f'store "{opened.root}" has no record; run `bench run` first, or change --store.')
    if form == ExportFormat.ARCHIVE:
        return _archive(opened, records, local_path(out, "--out"))
    if form in (ExportFormat.CSV, ExportFormat.PARQUET):
        from bench.reports.table_files import write_frames

        folder = local_path(out, "--out")
        with writing("--out", out):
            for file, rows in write_frames(records, folder, form.value):
                console.line(f"{file}: {rows:,} rows.")
        return 0
    with writing("--out", out):
        count = hand_over(records, _tracker(form, out, project))
    console.line(f"{out}: {count:,} runs.")
    return 0


def _archive(store: Store, records: list[Record], out: Path) -> int:
    """Write records and a report of them into one file."""
    from bench.records.archive import write_archive
    from bench.reports.build import build_from_store

    if out.suffix != ".zip":
        raise BenchError(f'--out "{out}": expected the name of a .zip file, for example {out.name or "records"}.zip.')
    with tempfile.TemporaryDirectory(prefix="bench-export-") as folder:
        build_from_store(store, Path(folder) / "report")
        with writing("--out", str(out)):
            size = write_archive(store, records, Path(folder) / "report", out)
    console.line(f"{out}: {len(records):,} records and their report, {size / 2**20:.1f} MiB.")
    console.line(f"elsewhere: bench import {shlex.quote(out.name)} --store published")
    return 0


def _tracker(form: ExportFormat, out: str, project: str) -> Tracker:
    if form == ExportFormat.MLFLOW:
        from bench.tracking.mlflow_store import MLflow

        return MLflow(out, project)
    if form == ExportFormat.WANDB:
        from bench.tracking.wandb_runs import Wandb

        return Wandb(project, out)
    from bench.tracking.tensorboard import TensorBoard

    return TensorBoard(out)
