"""Scale grey images that are signed or deeper than 8 bits to 256 levels.

Pillow's conversion cuts off what is above 255.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base

SIGNED: Final = 2  # as TIFF's SampleFormat
UNSIGNED: Final = (0, 2**16 - 1)
SHORT: Final = (-(2**15), 2**15 - 1)
SMALL_RANGE: Final = (-(2**7), 2**7 - 1)
# By code: what is said of greyscale images that are scaled so.
SCALED: Final = {
    "s8": "of 8 bits with a sign: -128 to 127 is scaled to 0 to 255",
    "u12": "of 12 bits: 0 to 4,095 is scaled to 0 to 255",
    "u16": "of 16 bits: 0 to 65,535 is scaled to 0 to 255",
    "s16": "of 16 bits with a sign: -32,768 to 32,767 is scaled to 0 to 255",
    "i32": "of 32 bits: scaled as 16 bits where no value of an image needs more, else over the range of 32 bits",
    "declared": "whose file declares the range of its values, which is scaled to 0 to 255",
    "float": "of floating-point values: the lowest to the highest of each image is scaled to 0 to 255",
}


@dataclass(frozen=True)
class Depth:
    """Mapping of a grey image's values to 0 to 255.

    Attributes:
        code: of `SCALED`.
        range: the values that become 0 and 255; None where those of the image decide.
        signed: whether integers of 32 bits have a sign.
        inverted: whether 0 is white.
    """

    code: str
    range: tuple[float, float] | None = None
    signed: bool = False
    inverted: bool = False


def depth_of(image: Image.Image) -> Depth | None:
    """Return the depth from an image's header; None for 8 bits without a sign, or colour."""
    mode = image.mode.partition(";")[0]
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    if mode == "L" and _first(tags, Base.SampleFormat) == SIGNED:  # Pillow shows those below 0 as above 127
        return Depth("s8", SMALL_RANGE, signed=True)
    if mode not in ("I", "F"):
        return None
    inverted = tags.get(Base.PhotometricInterpretation) == 0
    signed = not tags or _first(tags, Base.SampleFormat) == SIGNED
    code = _code(image, mode, _first(tags, Base.BitsPerSample))
    declared = _declared(tags, code)
    if declared is not None:
        return Depth("declared", declared, signed, inverted)
    return Depth(code, {"u12": (0, 4095), "u16": UNSIGNED, "s16": SHORT}.get(code), signed, inverted)


def scaled(image: Image.Image) -> Image.Image:
    """Scale a grey image of more than 8 bits or with a sign to mode "L". Others are returned as they are.

    Integers go by their depth and floats by their declared range, else by the range of the image; what is outside is
    cut off. NaN is black, and so is an image of one single value whose range nobody declares.
    """
    depth = depth_of(image)
    if depth is None:
        return image
    values: NDArray[Any] = np.asarray(image)
    if values.dtype == np.int32 and not depth.signed:
        values = values.view(np.uint32)  # Pillow shows those above 2^31 as negative
    elif depth.code == "s8":
        values = values.view(np.int8)
    low, high = depth.range or _range_of(values, depth)
    levels: NDArray[np.float64] = values.astype(np.float64)  # changed in place: images may be large
    levels -= low
    levels *= 255 / (high - low) if high > low else 1
    np.rint(np.clip(np.nan_to_num(levels, copy=False), 0, 255, out=levels), out=levels)
    found = levels.astype(np.uint8)
    return Image.fromarray(255 - found if depth.inverted else found)


def _range_of(values: NDArray[Any], depth: Depth) -> tuple[float, float]:
    """Return the range of values that an image requires."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    if depth.code == "float":
        return low, high
    ranges = (UNSIGNED, SHORT, (-(2**31), 2**31 - 1)) if depth.signed else (UNSIGNED, (0, 2**32 - 1))
    return next((least, most) for least, most in ranges if least <= low and high <= most)


def _code(image: Image.Image, mode: str, bits: float | None) -> str:
    if mode == "F":
        return "float"
    if image.mode != "I":
        return "u12" if bits == 12 else "u16"
    if bits == 16:
        return "s16"
    # Pillow scales PGM by its greatest value to 16 bits; before version 11 it opened PNG of 16 bits in this mode too.
    return "u16" if image.format in ("PNG", "PPM") else "i32"


def _declared(tags: Mapping[int, Any], code: str) -> tuple[float, float] | None:
    """Return the range that a TIFF declares in its tags. These are SMinSampleValue and SMaxSampleValue, or a
    MaxSampleValue that implies a depth.

    MinSampleValue and MaxSampleValue are statistics that may not change how an image looks, says TIFF 6.0; but where
    the greatest value is that of 9 to 15 bits (4,095), it is how cameras tell their depth.
    """
    low, high = _first(tags, Base.SMinSampleValue), _first(tags, Base.SMaxSampleValue)
    if low is not None and high is not None and math.isfinite(high - low) and low < high:
        return low, high
    most = _first(tags, Base.MaxSampleValue)
    return (0, most) if code == "u16" and most in {2**bits - 1 for bits in range(9, 16)} and most else None


def _first(tags: Mapping[int, Any], tag: Base) -> float | None:
    """Return a tag's value, of the first sample where each has one; None where absent or no number."""
    value: Any = tags.get(tag)
    first: Any = value[0] if isinstance(value, tuple) and value else value
    try:
        return None if first is None else float(first)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
