"""Rendered glyphs for the embedded backbone and data set: pen strokes and font outlines, distorted and scanned.

Two sources of shape. A *hand* is a list of stroke skeletons (`skeletons.py`). A *font* is a signed distance field
rasterised from a TrueType file that comes with matplotlib. Both end in a coverage map on a small canvas, which is
then scanned: averaged down to a low resolution, blurred, quantised and enlarged to 32 pixels with the bicubic kernel
of PIL (a = -0.5), white on black.

The parts named `train` and `held_out` share no skeleton and no typeface.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt
from skeletons import HELD_OUT_HAND, TRAIN_HAND
from torch import Tensor

CHARACTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIZE: Final = 32
CANVAS: Final = 16
FIELD: Final = 64  # pixels of a signed distance field; the glyph's larger side takes half of them
PER_SPAN: Final = 4  # straight segments per span between two control points

# (file, first code points of an alphabet that replaces upper case, lower case, digits; 0 keeps ASCII, -1 has none)
Face = tuple[str, int, int, int]
TRAIN_FACES: Final[tuple[Face, ...]] = (
    *((f"DejaVu{name}.ttf", 0, 0, 0) for name in (
        "Sans", "Sans-Bold", "Sans-Oblique", "Sans-BoldOblique", "SansMono", "SansMono-Bold", "SansMono-Oblique",
        "Serif", "Serif-Bold", "Serif-Italic", "Serif-BoldItalic",
    )),
    ("cmr10.ttf", 0, 0, 0), ("cmb10.ttf", 0, 0, 0), ("cmti10.ttf", 0, 0, 0),
    ("STIXGeneral.ttf", 0x1D5A0, 0x1D5BA, 0x1D7E2), ("STIXGeneral.ttf", 0x1D5D4, 0x1D5EE, 0x1D7EC),
    ("STIXGeneral.ttf", 0x1D608, 0x1D622, -1), ("STIXGeneral.ttf", 0x1D4D0, 0x1D4EA, -1),
    ("STIXGeneral.ttf", 0x1D538, 0x1D552, 0x1D7D8),
)  # fmt: skip
HELD_OUT_FACES: Final[tuple[Face, ...]] = (
    ("STIXGeneral.ttf", 0, 0, 0), ("STIXGeneralBol.ttf", 0, 0, 0), ("STIXGeneralItalic.ttf", 0, 0, 0),
    ("STIXGeneralBolIta.ttf", 0, 0, 0), ("cmss10.ttf", 0, 0, 0), ("cmtt10.ttf", 0, 0, 0), ("cmmi10.ttf", 0, 0, -1),
)  # fmt: skip


@dataclass(frozen=True)
class Distortion:
    """How far a rendering may stray from its glyph; lengths in units of the image side.

    Attributes:
        jitter: standard deviation of each control point of a skeleton.
        wobble: standard deviation of the smooth displacement field.
        slant: standard deviation of the shear (tangent of the angle).
        turn: standard deviation of the rotation, radians.
        aspect: standard deviation of the logarithm of the aspect ratio.
        pen: range of the stroke width of a hand; a font's outline moves by up to a third of its spread.
        height: range of the glyph's height.
        shift: standard deviation of the position beyond centring.
        noise: standard deviation of additive pixel noise at scan resolution.
        resolutions: scan resolutions in pixels, each given an equal share of a batch.
    """

    jitter: float = 0.04
    wobble: float = 0.05
    slant: float = 0.2
    turn: float = 0.1
    aspect: float = 0.2
    pen: tuple[float, float] = (0.06, 0.19)
    height: tuple[float, float] = (0.8, 1.02)
    shift: float = 0.02
    noise: float = 0.03
    resolutions: tuple[int, ...] = (8, 8, 8, 12)


@dataclass(frozen=True)
class Hand:
    """Skeletons as linear maps from control points to points on the pen's path.

    Attributes:
        label: index into `CHARACTERS`, [S].
        control: control points, [S, K, 2], height 1, padded with zeros.
        spline: Catmull-Rom interpolation (uniform, tension 1/2), [S, P, K].
        drawn: whether the segment from point p to p+1 is drawn, [S, P-1].
    """

    label: Tensor
    control: Tensor
    spline: Tensor
    drawn: Tensor


@dataclass(frozen=True)
class Outlines:
    """Signed distance fields of font glyphs.

    Attributes:
        label: index into `CHARACTERS`, [G].
        field: distance to the outline, positive inside, in units of the glyph's height, [G, 1, FIELD, FIELD].
        aspect: width over height of the glyph, [G].
    """

    label: Tensor
    field: Tensor
    aspect: Tensor


def _stroke(points: list[tuple[float, float]], offset: int, total: int) -> list[list[float]]:
    """Rows of the spline matrix for one stroke whose control points start at `offset`."""
    rows = []
    last = len(points) - 1
    for span in range(last):
        ends = 1 if span == last - 1 else 0
        for step in range(PER_SPAN + ends):
            t = step / PER_SPAN
            weights = (
                (-t + 2 * t * t - t**3) / 2, (2 - 5 * t * t + 3 * t**3) / 2,
                (t + 4 * t * t - 3 * t**3) / 2, (-t * t + t**3) / 2,
            )  # fmt: skip
            row = [0.0] * total
            for shift, weight in zip((-1, 0, 1, 2), weights, strict=True):
                row[offset + min(max(span + shift, 0), last)] += weight
            rows.append(row)
    return rows


@functools.cache
def hand(part: str) -> Hand:
    """The skeletons of a part, `train` or `held_out`."""
    source = {"train": TRAIN_HAND, "held_out": HELD_OUT_HAND}[part]
    labels, controls, splines, drawns = [], [], [], []
    for character, variants in source.items():
        for variant in variants.split("|"):
            strokes = [[(float(x) / 100, float(y) / 100) for x, y in (p.split(",") for p in stroke.split())]
                       for stroke in variant.split("/")]  # fmt: skip
            total = sum(map(len, strokes))
            rows: list[list[float]] = []
            drawn: list[bool] = []
            offset = 0
            for stroke in strokes:
                new = _stroke(stroke, offset, total)
                rows += new
                drawn += [True] * (len(new) - 1) + [False]
                offset += len(stroke)
            labels.append(CHARACTERS.index(character))
            controls.append(torch.tensor([point for stroke in strokes for point in stroke]))
            splines.append(torch.tensor(rows))
            drawns.append(torch.tensor(drawn[:-1]))
    most, longest = max(map(len, controls)), max(map(len, splines))
    return Hand(
        torch.tensor(labels),
        torch.stack([F.pad(c, (0, 0, 0, most - len(c))) for c in controls]),
        torch.stack([F.pad(s, (0, most - s.shape[1], 0, longest - len(s))) for s in splines]),
        torch.stack([F.pad(d, (0, longest - 1 - len(d))) for d in drawns]),
    )


def _code_point(character: str, face: Face) -> int:
    """The code point that shows `character` in a face, or -1."""
    _, upper, lower, digit = face
    first, base = (digit, "0") if character.isdigit() else (upper, "A") if character.isupper() else (lower, "a")
    return first if first < 0 else first + ord(character) - ord(base) if first else ord(character)


def _field(font: ImageFont.FreeTypeFont, code: int) -> tuple[Tensor, float] | None:
    """Signed distance field and aspect of one glyph; none where the font lacks it."""
    box = font.getbbox(chr(code))
    width, height = int(box[2] - box[0]), int(box[3] - box[1])
    if width < 4 or height < 4:
        return None
    side = 2 * max(width, height)
    page = Image.new("L", (side, side))
    ImageDraw.Draw(page).text(((side - width) / 2 - box[0], (side - height) / 2 - box[1]), chr(code), 255, font)
    ink = np.asarray(page) > 127
    if not ink.any():
        return None
    distance = (distance_transform_edt(ink) - distance_transform_edt(~ink)) / height
    field = torch.from_numpy(distance.astype(np.float32))[None, None]
    small = F.interpolate(field, size=(FIELD, FIELD), mode="bilinear", antialias=True)
    return small[0], width / height


@functools.cache
def outlines(part: str) -> Outlines:
    """The font glyphs of a part, `train` or `held_out`."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    labels, fields, aspects = [], [], []
    for face in {"train": TRAIN_FACES, "held_out": HELD_OUT_FACES}[part]:
        font = ImageFont.truetype(str(folder / face[0]), 96)
        missing = font.getmask(chr(0x10FFFE)).getbbox(), bytes(font.getmask(chr(0x10FFFE)))
        for label, character in enumerate(CHARACTERS):
            code = _code_point(character, face)
            if code < 0 or (font.getmask(chr(code)).getbbox(), bytes(font.getmask(chr(code)))) == missing:
                continue
            found = _field(font, code)
            if found is not None:
                labels.append(label)
                fields.append(found[0])
                aspects.append(found[1])
    return Outlines(torch.tensor(labels), torch.stack(fields), torch.tensor(aspects))


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator)


def _between(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator)


def _wobble(points: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Displace points [B, P, 2] by six random plane waves of 0.4 to 1.6 periods per image side."""
    count = points.shape[0]
    angle = _between(generator, 0, 2 * math.pi, count, 1, 6)
    speed = 2 * math.pi * _between(generator, 0.4, 1.6, count, 1, 6)
    phase = _between(generator, 0, 2 * math.pi, count, 1, 6)
    waves = torch.sin(points[..., :1] * (speed * angle.cos()) + points[..., 1:] * (speed * angle.sin()) + phase)
    # a glyph-wise strength makes neat and careless writers
    amplitude = _normal(generator, count, 6, 2) * (_between(generator, 0.2, 1.4, count, 1, 1) * strength / 3**0.5)
    return points + waves @ amplitude


def _affine(count: int, kind: Distortion, generator: torch.Generator) -> Tensor:
    """Random turn x slant x aspect, [B, 2, 2], acting on column vectors."""
    turn, slant = kind.turn * _normal(generator, count), kind.slant * _normal(generator, count)
    stretch = (kind.aspect * _normal(generator, count)).exp()
    cos, sin = turn.cos(), turn.sin()
    rotation = torch.stack([cos, -sin, sin, cos], -1).view(-1, 2, 2)
    zero, one = torch.zeros(count), torch.ones(count)
    return rotation @ torch.stack([stretch, -slant, zero, one], -1).view(-1, 2, 2)


def _grid(count: int) -> Tensor:
    """Centres of the canvas pixels, [B, CANVAS**2, 2]."""
    axis = (torch.arange(CANVAS) + 0.5) / CANVAS
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], -1).view(1, -1, 2).expand(count, -1, -1)


def draw_hand(source: Hand, index: Tensor, kind: Distortion, generator: torch.Generator) -> Tensor:
    """Coverage [B, CANVAS, CANVAS] of skeletons `index` [B], written with a round pen."""
    count = len(index)
    control = source.control[index]
    spread = _between(generator, 0.3, 1.5, count, 1, 1) * kind.jitter
    path = source.spline[index] @ (control + spread * _normal(generator, *control.shape))
    path = _wobble(path, kind.wobble, generator) @ _affine(count, kind, generator).mT
    drawn = source.drawn[index]
    start, stop = path[:, :-1], path[:, 1:]
    used = torch.where(drawn[..., None], start, torch.inf), torch.where(drawn[..., None], stop, torch.inf)
    low = torch.minimum(used[0].amin(1), used[1].amin(1))
    used = torch.where(drawn[..., None], start, -torch.inf), torch.where(drawn[..., None], stop, -torch.inf)
    high = torch.maximum(used[0].amax(1), used[1].amax(1))
    pen = _between(generator, *kind.pen, count, 1)
    room = _between(generator, *kind.height, count, 1) - pen
    scale = (room / (high - low).clamp_min(0.05)).amin(1, keepdim=True)
    centre = 0.5 + kind.shift * _normal(generator, count, 2) - scale * (low + high) / 2
    start, stop = start * scale[:, None] + centre[:, None], stop * scale[:, None] + centre[:, None]
    return _ink(_grid(count), start, stop, drawn, pen).view(count, CANVAS, CANVAS)


def _ink(grid: Tensor, start: Tensor, stop: Tensor, drawn: Tensor, pen: Tensor) -> Tensor:
    """Coverage [B, Q] of grid points [B, Q, 2] by segments [B, P, 2] of width `pen` [B, 1]."""
    along = stop - start
    length = along.square().sum(-1).clamp_min(1e-8)
    x = grid[..., :1] - start[..., 0][:, None]
    y = grid[..., 1:] - start[..., 1][:, None]
    t = ((x * along[..., 0][:, None] + y * along[..., 1][:, None]) / length[:, None]).clamp_(0, 1)
    square = (x - t * along[..., 0][:, None]).square_() + (y - t * along[..., 1][:, None]).square_()
    nearest = square.masked_fill_(~drawn[:, None], 9.0).amin(-1).sqrt()
    return ((pen / 2 - nearest) * CANVAS + 0.5).clamp(0, 1)


def draw_font(source: Outlines, index: Tensor, kind: Distortion, generator: torch.Generator) -> Tensor:
    """Coverage [B, CANVAS, CANVAS] of font glyphs `index` [B], made bolder or lighter at random."""
    count = len(index)
    aspect = source.aspect[index, None]
    height = _between(generator, *kind.height, count, 1)
    scale = torch.minimum(height, 0.98 / aspect)
    moved = (_grid(count) - 0.5 - kind.shift * _normal(generator, count, 1, 2)) / scale[..., None]
    glyph = _wobble(moved, 1.2 * kind.wobble, generator) @ torch.linalg.inv(_affine(count, kind, generator)).mT
    # the field shows twice the glyph's larger side, so its half-width is max(aspect, 1) glyph heights
    reach = aspect.clamp_min(1.0)[..., None]
    field = F.grid_sample(
        source.field[index], (glyph / reach)[:, None], padding_mode="border", align_corners=False
    ).view(count, CANVAS**2)
    bolder = _between(generator, -0.4, 2.0, count, 1) * (kind.pen[1] - kind.pen[0]) / 6
    return ((field * scale + bolder) * CANVAS + 0.5).clamp(0, 1).view(count, CANVAS, CANVAS)


def scan(coverage: Tensor, kind: Distortion, generator: torch.Generator) -> Tensor:
    """Pixels [B, SIZE, SIZE] in 0 … 1 from coverage [B, CANVAS, CANVAS]: average down, add noise, quantise, enlarge."""
    parts = []
    for piece, resolution in zip(coverage.chunk(len(kind.resolutions)), kind.resolutions, strict=False):
        low = F.interpolate(piece[:, None], size=(resolution, resolution), mode="area")
        count = len(low)
        blur = F.avg_pool2d(F.pad(low, (1, 1, 1, 1)), 3, 1)
        low = low.lerp(blur, _between(generator, -0.1, 0.35, count, 1, 1, 1))
        gain = _between(generator, 0.8, 1.25, count, 1, 1, 1)
        low = gain * low + kind.noise * _normal(generator, *low.shape) * _between(generator, 0, 2, count, 1, 1, 1)
        low = (low.clamp(0, 1) * 16).round() / 16
        big = F.interpolate(low, size=(SIZE, SIZE), mode="bicubic", antialias=True, align_corners=False)
        parts.append(big[:, 0].clamp(0, 1))
    return torch.cat(parts)


def render(
    part: str, wanted: Tensor, hand_share: float, kind: Distortion, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Render the characters `wanted` [B] (indices into `CHARACTERS`) of a part.

    Returns:
        Pixels [B, SIZE, SIZE] in 0 … 1 and whether each was written by hand [B]. Every character has the share
        `hand_share` of skeletons where the part has any for it; all else comes from fonts.
    """
    pen, press = hand(part), outlines(part)
    count = len(wanted)
    owns_pen, owns_press = pen.label == wanted[:, None], press.label == wanted[:, None]
    by_hand = (torch.rand(count, generator=generator) < hand_share) & owns_pen.any(1)
    pick = torch.rand(count, max(owns_pen.shape[1], owns_press.shape[1]), generator=generator)
    chosen_pen = (owns_pen * (pick[:, : owns_pen.shape[1]] + 0.01)).argmax(1)
    chosen_press = (owns_press * (pick[:, : owns_press.shape[1]] + 0.01)).argmax(1)
    coverage = torch.empty(count, CANVAS, CANVAS)
    coverage[by_hand] = draw_hand(pen, chosen_pen[by_hand], kind, generator)
    coverage[~by_hand] = draw_font(press, chosen_press[~by_hand], kind, generator)
    order = torch.randperm(count, generator=generator)  # so that no character keeps to one resolution
    pixels = torch.empty(count, SIZE, SIZE)
    pixels[order] = scan(coverage[order], kind, generator)
    return pixels, by_hand
