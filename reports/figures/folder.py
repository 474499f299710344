"""Files of figures: PDF, SVG and PNG, with the data behind them as CSV."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bench.reports.document import Drawn
from bench.reports.figures.fonts import fit
from bench.reports.figures.style import AS_NEEDED, RC, PageStyle
from bench.reports.frame import written
from bench.spreadsheet import inert_frame

SVG = {"Date": None, "Creator": None}


@dataclass(frozen=True)
class FigureFolder:
    """An existing folder that figures are written to, in some formats."""

    path: Path
    formats: Sequence[str] = ("pdf", "svg", "png")
    page: PageStyle = AS_NEEDED

    def save(self, figure: Figure, data: pd.DataFrame, name: str, caption: str, setting: str) -> Drawn:
        """Write a figure in each format and its data as CSV; `name` begins with its kind and a hyphen."""
        files = [self.path / f"{name}.{suffix}" for suffix in (*self.formats, "csv")]
        if self.formats:
            _lay_out(figure)
        for path in files[:-1]:
            self.write(figure, path)
        inert_frame(data).to_csv(files[-1], index=False, float_format=written, lineterminator="\n")
        return Drawn(name.partition("-")[0], setting, name, caption, tuple(files))

    def write(self, figure: Figure, path: Path) -> None:
        """Write one format; not by `savefig`, which draws everything once more to find the layout."""
        canvas: Any  # none of matplotlib's canvases has types for its formats
        match path.suffix:
            case ".pdf":
                canvas = FigureCanvasPdf(figure)
                canvas.print_pdf(path, metadata={"CreationDate": None, "Creator": None, "Producer": None})
            case ".svg":
                canvas = FigureCanvasSVG(figure)
                canvas.print_svg(path, metadata=SVG)
            case _:
                figure.set_dpi(RC["savefig.dpi"])
                canvas = FigureCanvasAgg(figure)
                canvas.print_png(path, metadata={"Software": None}, pil_kwargs={"compress_level": 4})


def svg(figure: Figure) -> str:
    """Render a figure as the text of an SVG file."""
    _lay_out(figure)
    buffer = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata=SVG)
    return buffer.getvalue()


def _lay_out(figure: Figure) -> None:
    fit(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once for all formats
