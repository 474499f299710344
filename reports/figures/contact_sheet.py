"""Contact sheets: the most suspicious images with the label that is given and the one that is proposed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from bench.images.decode import in_colour
from bench.reports.figures.fonts import fit
from bench.reports.figures.style import BLACK, BLUE, GREY, RC, VERMILLION

ACROSS, DOWN = 8, 6
PIXELS = 160  # longer side of a thumbnail
LETTERS = 17  # of a class name, at the width of a column
TILE = (1.16, 1.5)  # inches; the image takes a square of it
HEAD = 0.62  # inches above the tiles
FOOT = 0.2  # inches below them, where there is a note
PALE = "#D9D9D9"
WRONG, RIGHT = "its label is wrong", "its label is right: a false alarm"


@dataclass(frozen=True)
class Tile:
    """One suspect: image, class names, and whether the given label is known to be wrong.

    Attributes:
        rank: from 1.
        image: as the data set has it.
        given: the label in the data.
        proposed: what the predictions agree on; the given one where they agree on that.
        true: the true label, None where unknown.
        wrong: whether the given label is wrong, None where unknown.
    """

    rank: int
    image: Image.Image
    given: str
    proposed: str
    true: str | None = None
    wrong: bool | None = None


def draw_sheets(tiles: Sequence[Tile], title: str, per_page: int = ACROSS * DOWN, note: str = "") -> dict[str, bytes]:
    """Draw the pages of a contact sheet.

    Args:
        tiles: in the order of their ranks, at least one.
        title: what the suspects are of.
        per_page: how many tiles.
        note: a line of small print below them; empty for none.

    Returns:
        File endings and contents: "-1.png" and so on, one for each page, and ".pdf" with all of them.
    """
    pages = [tiles[start : start + per_page] for start in range(0, len(tiles), per_page)]
    files: dict[str, bytes] = {}
    document = io.BytesIO()
    with style.context(["default", RC]), PdfPages(document, metadata={"CreationDate": None}) as pdf:
        for number, page in enumerate(pages, 1):
            figure = _page(page, title, note)
            pdf.savefig(figure)
            content = io.BytesIO()
            figure.savefig(content, format="png", metadata={"Software": None})
            files[f"-{number}.png"] = content.getvalue()
    return files | {".pdf": document.getvalue()}


def _page(tiles: Sequence[Tile], title: str, note: str = "") -> Figure:
    rows = -(-len(tiles) // ACROSS)
    width, height = ACROSS * TILE[0], rows * TILE[1] + HEAD + FOOT * bool(note)
    figure = Figure(figsize=(width, height))
    axes: Axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    axes.text(0.1, 0.2, title, fontsize=9, va="center", fontweight="bold")
    if note:
        axes.text(0.1, height - FOOT / 2, note, fontsize=7.5, va="center", color=GREY)
    _legend(axes, tiles)
    for place, tile in enumerate(tiles):
        _draw(axes, tile, place % ACROSS * TILE[0], HEAD + place // ACROSS * TILE[1])
    fit(figure)
    return figure


def _legend(axes: Axes, tiles: Sequence[Tile]) -> None:
    words = "below each image: its label, and the one that is proposed"
    axes.text(0.1, 0.44, words, fontsize=7.5, va="center", color=GREY)
    if any(tile.wrong is not None for tile in tiles):
        lines = [Line2D([], [], **_frame(wrong)) for wrong in (True, False)]
        place = (axes.get_xlim()[1], 0.44)
        axes.legend(lines, [WRONG, RIGHT], ncols=2, loc="center right", bbox_to_anchor=place,
                    bbox_transform=axes.transData)  # fmt: skip


def _frame(wrong: bool | None) -> dict[str, Any]:
    if wrong is None:
        return {"color": PALE, "linewidth": 0.8}
    return (
        {"color": VERMILLION, "linewidth": 2} if wrong else {"color": BLUE, "linewidth": 1.2, "linestyle": (0, (2, 1))}
    )


def _draw(axes: Axes, tile: Tile, left: float, top: float) -> None:
    side, margin = TILE[0] - 0.16, 0.08
    small, smooth = _thumbnail(tile.image)
    scale = side / max(small.size)
    wide, high = small.width * scale, small.height * scale
    x, y = left + margin + (side - wide) / 2, top + (side - high) / 2
    shown = np.asarray(small)
    axes.imshow(shown, extent=(x, x + wide, y + high, y), aspect="auto", interpolation=smooth, zorder=1)
    axes.add_patch(Rectangle((x, y), wide, high, fill=False, zorder=2, **_frame(tile.wrong)))
    mark = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
    axes.text(x + 0.05, y + 0.09, str(tile.rank), fontsize=5.5, va="center", color=BLACK, bbox=mark, zorder=3)
    middle = left + TILE[0] / 2
    agreed = tile.proposed == tile.given
    below: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7}
    axes.text(middle, top + side + 0.1, _short(tile.given), color=GREY if agreed else VERMILLION, **below)
    axes.text(middle, top + side + 0.23, "no other" if agreed else f"→ {_short(tile.proposed)}", color=BLACK, **below)
    if tile.true is not None and tile.true not in (tile.given, tile.proposed):
        axes.text(middle, top + side + 0.35, f"true: {_short(tile.true)}", color=GREY, **below | {"fontsize": 6})


def _thumbnail(image: Image.Image) -> tuple[Image.Image, str]:
    """Reduce an image to at most `PIXELS` on the longer side; also how matplotlib enlarges it."""
    copy = in_colour(image)
    if max(copy.size) <= PIXELS:
        return copy, "nearest"
    copy.thumbnail((PIXELS, PIXELS), Image.Resampling.LANCZOS)
    return copy, "antialiased"


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"
