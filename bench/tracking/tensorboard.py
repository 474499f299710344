"""Write records as TensorBoard event files, a folder per cell."""

from __future__ import annotations

from bench.errors import BenchError
from bench.files import local_path
from bench.records.record import Record
from bench.tracking.contract import file_name, history, package, parameters, results

EVENTS = "events.out.tfevents*"


class TensorBoard:
    """Tracker that writes event files of curves, results and hyperparameters.

    Args:
        folder: of all cells, for `tensorboard --logdir`.
    """

    def __init__(self, folder: str) -> None:
        self.root = local_path(folder, "--tensorboard")

    def begin(self) -> None:
        """Create the folder.

        Raises:
            BenchError: tensorboardX is missing, or the folder cannot be made.
        """
        package("tensorboardX", "--tensorboard")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BenchError(f'--tensorboard "{self.root}" cannot be made: {error.strerror}; give a folder.') from error

    def cell(self, record: Record) -> None:
        """Write the events of a cell anew."""
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        folder = self.root / file_name(record)
        for old in folder.glob(EVENTS):
            old.unlink()
        found = results(record)
        with SummaryWriter(logdir=str(folder)) as writer:
            for part in hparams({**parameters(record), "status": record.status}, found):
                writer.file_writer.add_summary(part)
            for epoch, values in history(record).items():
                for name, value in values.items():
                    writer.add_scalar(name, value, epoch)
            for name, value in found.items():
                writer.add_scalar(name, value, record.cell.epochs)

    def end(self) -> None:
        """End nothing; every cell's file is closed already."""
