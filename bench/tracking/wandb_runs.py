"""Write records to Weights & Biases, a run per cell; offline unless WANDB_MODE says otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.records.record import Record
from bench.tracking.contract import PROJECT, digest, history, package, parameters, results, title


class Wandb:
    """Tracker that writes a run per cell. Neither the console nor host, user, path and code go with it.

    Args:
        project: name of the project.
        folder: in which W&B makes its folder `wandb`; None: where WANDB_DIR says, else here.
    """

    def __init__(self, project: str = PROJECT, folder: str | None = None) -> None:
        self.project = project
        self.root = Path(folder or os.environ.get("WANDB_DIR") or ".").expanduser()
        self.mode = os.environ.get("WANDB_MODE", "offline")

    def begin(self) -> None:
        """Create the folder.

        Raises:
            BenchError: wandb is missing, or the folder cannot be made.
        """
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self.wandb: Any = package("wandb", "--wandb")
        try:
            (self.root / "wandb").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BenchError(
                f'the folder "{self.root}" of wandb cannot be made: {error.strerror}; set WANDB_DIR to another one.'
            ) from error

    def cell(self, record: Record) -> None:
        """Write a run, unless this record has one here."""
        number = f"{record.key}-{digest(record)}"
        if self.mode == "offline" and any((self.root / "wandb").glob(f"offline-run-*-{number}")):
            return
        settings = self.wandb.Settings(
            silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True, x_disable_meta=True
        )
        run = self.wandb.init(
            project=self.project, name=title(record), id=number, mode=self.mode, dir=str(self.root),
            config={**parameters(record), "key": record.key}, settings=settings,
        )  # fmt: skip
        for epoch, values in history(record).items():
            run.log(values, step=epoch)
        run.summary.update({**results(record), "status": record.status})
        run.finish(0 if record.status in ("done", "skipped") else 1)

    def end(self) -> None:
        """End W&B's own process."""
        self.wandb.teardown()
