"""Colours, markers, dashes, sizes and fonts of figures.

A method's row (`methods/__init__.py`) names its colour, marker and dash, and `COLORS_OF_ROWS` says what they are here;
what a row leaves open follows from the name, never from a position. Colours are Okabe and Ito's, which stay apart under
the common colour-vision deficiencies (jfly.uni-koeln.de/color); their yellow is too pale for lines on white. Marker and
dash tell apart what shares a colour, or is alike in grey or to the colour-blind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bench.errors import BenchError, did_you_mean
from bench.plugins import METHODS
from bench.reports.names import BASELINE, UNCHANGED
from bench.rows import COLORS, Row

Dash: TypeAlias = str | tuple[int, tuple[float, ...]]

COLUMN_WIDTH = 3.3
TEXT_WIDTH = 6.8
WIDTHS = {"column": COLUMN_WIDTH, "text": TEXT_WIDTH}  # inches
BLACK, GREY = "#000000", "#777777"
ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
PALETTE = (ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE)
COLORS_OF_ROWS = dict(zip(COLORS, (BLACK, *PALETTE), strict=True))
NEUTRALS = ("#222222", "#777777", "#AAAAAA")  # of what is no method: one colour means one thing in a report
OTHER_MARKERS = ("P", "X", "h", "p", "<", ">", "d", "*")
RATE_MARKERS = ("*", "o", "s", "^", "D", "v", "P")
DASHES: tuple[Dash, ...] = ((0, (5.0, 1.5)), (0, (3.0, 1.2, 1.0, 1.2)), (0, (5.0, 1.0, 1.0, 1.0, 1.0, 1.0)))
DASHES_OF_COLORS: dict[str, Dash] = {  # in grey orange and sky are alike, and green, vermillion and purple
    COLORS_OF_ROWS["sky"]: (0, (3.5, 1.2)),
    COLORS_OF_ROWS["green"]: (0, (6.0, 1.2, 1.2, 1.2)),
    COLORS_OF_ROWS["purple"]: (0, (9.0, 1.6)),
}
DASHES_OF_ROWS: dict[str, Dash] = {"solid": "-", "dotted": ":", "dashed": DASHES[0]}
FONT = "DejaVu Sans"  # comes with matplotlib; `bench.reports.figures.fonts` adds others for what it does not have
FONTS = {"sans": FONT, "serif": "STIXGeneral"}  # both come with matplotlib
RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": [FONT],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 3.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.2,
    "text.parse_math": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "noisy-prompt-bench",
    "figure.constrained_layout.w_pad": 0.07,  # inches, twice between panels, so that no label touches its neighbour
    "figure.constrained_layout.h_pad": 0.06,
    "text.hinting": "no_hinting",  # hinted text is narrower or wider from one resolution to the next
    "figure.dpi": 200,
    "savefig.dpi": 200,
}


@dataclass(frozen=True)
class PageStyle:
    """The page that figures are drawn for.

    Attributes:
        font: "sans", "serif" (like Times), or the name of an installed family.
        width: "column" or "text", of all figures; empty: each as its panels need.
    """

    font: str = "sans"
    width: str = ""

    def check(self) -> None:
        """Raise BenchError where the font is not installed or the width is none."""
        if self.width not in ("", *WIDTHS):
            raise BenchError(f'--width "{self.width}": expected {" or ".join(WIDTHS)}.')
        if self.font in FONTS:
            return
        from matplotlib.font_manager import FontProperties, findfont, fontManager  # slow to import

        try:
            findfont(FontProperties(family=[self.family]), fallback_to_default=False)
        except ValueError:
            names = [*FONTS, *fontManager.get_font_names()]
            raise BenchError(f'--font "{self.font}" is not installed here; {did_you_mean(self.font, names)}') from None

    @property
    def family(self) -> str:
        """The font's family."""
        return FONTS.get(self.font, self.font)

    @property
    def rc(self) -> dict[str, Any]:
        """Settings of matplotlib."""
        return {**RC, **({} if self.family == FONT else {"font.family": [self.family, FONT]})}

    def inches(self, wide: bool) -> float:
        """Choose the width of a figure, which is wide where it has several panels."""
        return WIDTHS.get(self.width, TEXT_WIDTH if wide else COLUMN_WIDTH)

    def across(self, panels: int, narrow: int = 1) -> int:
        """Choose how many panels stand beside each other: `panels`, in a column at most `narrow`."""
        return min(panels, narrow) if self.width == "column" else panels


AS_NEEDED = PageStyle()


@dataclass(frozen=True)
class Look:
    """One line's look; `filled` tells a method from its variants."""

    color: str
    marker: str
    dash: Dash = "-"
    filled: bool = True

    def line(self) -> dict[str, Any]:
        """Return keyword arguments of matplotlib's `plot`."""
        face = self.color if self.filled else "white"
        return {"color": self.color, "linestyle": self.dash, "markerfacecolor": face, "markeredgecolor": self.color}


def look(method: str, variant: str, section: str) -> Look:
    """Choose colour, marker and dash of a row: its method, variant ("gce-coop[q=0.5]") and section.

    Oracle rows are grey and dashed, with the marker of their method unless that is CoOp. What the row of a method in
    the registry leaves open is drawn from a hash of its name, the dash of a variant from a hash of its text.
    """
    base = _base(method)
    if section == "oracle":
        return Look(GREY, "" if method == BASELINE else base.marker, (0, (4.0, 2.0)))
    if variant == method or section == "reference":
        return base
    return Look(base.color, base.marker, DASHES[_hash(variant, "dash") % len(DASHES)], filled=False)


def _base(method: str) -> Look:
    """Choose the look of a method without options."""
    row = METHODS.find(method) or Row(method, "")
    drawn = Look(
        PALETTE[_hash(method, "colour") % len(PALETTE)],
        OTHER_MARKERS[_hash(method, "marker") % len(OTHER_MARKERS)],
        ("-", *DASHES)[_hash(method, "dash") % (len(DASHES) + 1)],
    )
    color = COLORS_OF_ROWS.get(row.color, drawn.color)
    return Look(
        color,
        {"": drawn.marker, "none": ""}.get(row.marker, row.marker),
        DASHES_OF_ROWS.get(row.dash, DASHES_OF_COLORS.get(color, "-") if row.color else drawn.dash),
    )


def noise_looks(columns: Sequence[tuple[str, float]]) -> dict[tuple[str, float], Look]:
    """Choose the looks of noise columns as lines: grey by kind, marker and dash by rate, black without noise."""
    kinds = [kind for kind in dict.fromkeys(kind for kind, _ in columns) if kind not in UNCHANGED]
    rates = sorted({rate for _, rate in columns if rate})
    looks = {}
    for kind, rate in columns:
        if kind in UNCHANGED:
            looks[kind, rate] = Look(BLACK, "")
            continue
        place = rates.index(rate) + 1 if rate else 0
        color = NEUTRALS[kinds.index(kind) % len(NEUTRALS)]
        dash = ("-", *DASHES)[max(place - 1, 0) % (len(DASHES) + 1)]
        looks[kind, rate] = Look(color, RATE_MARKERS[place % len(RATE_MARKERS)], dash, filled=bool(place % 2))
    return looks


def _hash(name: str, use: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{use} {name}".encode()).digest()[:4], "big")
