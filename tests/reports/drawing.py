"""Figures of records for tests: without pictures where only their data matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from bench.records.record import Record
from bench.reports.document import Drawn
from bench.reports.figures.canvas import Outcomes
from bench.reports.figures.folder import FigureFolder
from bench.reports.figures.kinds import KINDS, draw
from bench.reports.frame import Defaults, curves, tidy


def draw_records(
    records: Sequence[Record],
    folder: Path | FigureFolder,
    *kinds: str,
    outcomes: Outcomes | None = None,
    defaults: Defaults | None = None,
) -> list[Drawn]:
    """Draw figures of some kinds, by default all; into a plain folder their data alone."""
    frame = tidy(records, defaults)
    to = folder if isinstance(folder, FigureFolder) else FigureFolder(folder, ())
    return draw(frame, curves(records, frame), to, outcomes, kinds={name: KINDS[name] for name in kinds or KINDS})[0]


@dataclass(frozen=True)
class Seen(FigureFolder):
    """A folder that shows a test each figure, laid out as for a file, and writes no picture."""

    look: Callable[[Figure, str], None] = field(default=lambda figure, name: None, kw_only=True)
    formats: Sequence[str] = ("png",)

    def write(self, figure: Figure, path: Path) -> None:
        """Call the test."""
        self.look(figure, path.name)
