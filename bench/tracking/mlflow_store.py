"""Write records to MLflow, a run per cell."""

from __future__ import annotations

import logging
import os
import time
from itertools import chain
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.records.record import Record
from bench.tracking.contract import PROJECT, digest, history, package, parameters, results, title

KEY, DIGEST = "bench.key", "bench.digest"  # tags of a run
PAGE = 1000  # runs asked for at a time, and metrics sent at a time
PARAMETER_LENGTH = 500
DATABASE = "mlflow.db"


def tracking_uri(place: str) -> str:
    """Return the URI of a place: itself, or the SQLite database of a path. A folder's is `mlflow.db` in it."""
    if "://" in place or place.startswith("databricks"):
        return place
    path = Path(place).expanduser().absolute()
    file = path if path.suffix == ".db" else path / DATABASE
    file.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{file}"


class MLflow:
    """Tracker that writes a run per cell, with parameters, metrics by epoch, and key and digest as tags.

    Args:
        place: folder, `.db` file or tracking URI.
        experiment: name of the experiment.
    """

    def __init__(self, place: str, experiment: str = PROJECT) -> None:
        self.place, self.experiment = place, experiment
        self.runs: dict[str, tuple[str, str]] = {}

    def begin(self) -> None:
        """Open the store, and find the runs that are already there.

        Raises:
            BenchError: MLflow is missing, or the store cannot be opened.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        mlflow: Any = package("mlflow.tracking", "--mlflow")
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            self.client = mlflow.MlflowClient(tracking_uri=tracking_uri(self.place))
            found = self.client.get_experiment_by_name(self.experiment)
            self.id = found.experiment_id if found else self.client.create_experiment(self.experiment)
            self.runs = self._known()
        except Exception as error:  # of a file system, a database or a server
            text = " ".join(str(error).split())[:300] or type(error).__name__
            raise BenchError(
                f'--mlflow "{self.place}" cannot be opened: {text}; give a folder, a .db file or a tracking URI.'
            ) from error

    def cell(self, record: Record) -> None:
        """Write a run. The run of an earlier record of the same cell is deleted."""
        run, told = self.runs.get(record.key, ("", ""))
        if told == (now := digest(record)):
            return
        if run:
            self.client.delete_run(run)
        tags = {KEY: record.key, DIGEST: now, "status": record.status, "reason": record.reason or ""}
        run = self.client.create_run(self.id, run_name=title(record), tags=tags).info.run_id
        self._fill(run, record)
        self.client.set_terminated(run, "FINISHED" if record.status in ("done", "skipped") else "FAILED")
        self.runs[record.key] = run, now

    def end(self) -> None:
        """End nothing; every run is ended already."""

    def _fill(self, run: str, record: Record) -> None:
        from mlflow.entities import Metric, Param

        params = [Param(name, str(value)[:PARAMETER_LENGTH]) for name, value in parameters(record).items()]
        self.client.log_batch(run, params=params)
        steps = chain(history(record).items(), [(record.cell.epochs, results(record))])
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for step, values in steps for name, value in values.items()]
        for start in range(0, len(metrics), PAGE):
            self.client.log_batch(run, metrics=metrics[start : start + PAGE])

    def _known(self) -> dict[str, tuple[str, str]]:
        """Return run and digest of each key that is there."""
        found, token = {}, None
        while True:
            page = self.client.search_runs([self.id], max_results=PAGE, page_token=token)
            for run in page:
                if run.info.status != "RUNNING" and KEY in run.data.tags:  # others were cut off, and are written anew
                    found[run.data.tags[KEY]] = run.info.run_id, run.data.tags.get(DIGEST, "")
            token = page.token
            if not token:
                return found
