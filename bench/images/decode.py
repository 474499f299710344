"""Decode image files in colour, and name a file that cannot be decoded."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base

from bench.errors import BenchError
from bench.images.grey import depth_of, scaled

HOW_TO_SKIP = "put it right, or leave such images out with skip_broken = true under [dataset.NAME] in bench.toml"
# What Pillow raises for files that it cannot decode.
UNDECODABLE = (
    OSError, ValueError, SyntaxError, TypeError, LookupError, ArithmeticError, EOFError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
TURNED: Final = "turned"
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def reason(error: Exception) -> str:
    """Return Pillow's error on a file in one line without the path, which the caller names."""
    text = " ".join(str(error).split()) or type(error).__name__
    unknown = text.startswith("cannot identify image file")
    return "not an image, or none of a kind that Pillow reads" if unknown else text


def in_colour(image: Image.Image) -> Image.Image:
    """Convert an image to RGB, grey of more than 8 bits scaled to 256 levels (`bench.images.grey`)."""
    # Pillow warns where it would drop a palette's transparency; the detour over RGBA gives the same colours.
    whole = image.convert("RGBA") if isinstance(image.info.get("transparency"), bytes) else scaled(image)
    return whole.convert("RGB")


def read_image(file: Path, upright: bool = False) -> Image.Image:
    """Decode a whole file, in RGB.

    Args:
        file: of any kind that Pillow opens.
        upright: whether it is turned as its EXIF orientation says. (TIFF files Pillow itself turns, always.)

    Raises:
        FileNotFoundError: the file is missing.
        One of UNDECODABLE: it is cut short or not an image.
    """
    with Image.open(file) as image:
        found = in_colour(image)
        turn = TURNS.get(orientation(image)) if upright else None
        return found if turn is None else found.transpose(turn)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an opened image, 1 to 8; 1 where none can be read."""
    try:
        found = image.getexif().get(Base.Orientation, 1)
    except UNDECODABLE:  # torn EXIF hides no image
        return 1
    return found if isinstance(found, int) else 1


def reading(file: Path, upright: bool) -> str:
    """Describe a conversion other than Pillow's own, from the image's header alone.

    Returns:
        A code of `bench.images.grey.SCALED`, "turned", both with a space between, or empty.
    """
    try:
        with Image.open(file) as image:
            depth = depth_of(image)
            turned = upright and _may_be_turned(image, file) and orientation(image) in TURNS
    except UNDECODABLE:
        return ""
    return " ".join([*([depth.code] if depth else []), *([TURNED] if turned else [])])


def _may_be_turned(image: Image.Image, file: Path) -> bool:
    """Return whether to read the orientation. That decodes PNG, so its bytes are looked at; TIFF is turned anyway."""
    if image.format == "PNG":
        content = file.read_bytes()
        return any(mark in content for mark in (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp"))
    return image.format != "TIFF"


class FileImages(Sequence[Image.Image]):
    """Images by path, in RGB as open_clip's transform makes them. Small to pickle: a folder and names.

    Args:
        root: the folder that the names are relative to.
        names: paths with forward slashes, N of them.
        upright: whether they are turned as their EXIF orientation says.
        stamps: size and time of change of every file when the data set's digest was taken, [N, 2]; None for any.
    """

    def __init__(
        self, root: Path, names: Sequence[str], upright: bool = False, stamps: NDArray[np.int64] | None = None
    ) -> None:
        self.root, self.names, self.upright, self.stamps = Path(root), names, upright, stamps

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override] # slices are never asked for
        """Return one image.

        Raises:
            BenchError: the file is missing, cannot be decoded, or is not the one that the digest was taken of.
        """
        file = self.root / self.names[index]
        try:
            image = read_image(file, self.upright)
            found = file.stat()  # after it was read, so that no change goes unseen
            if self.stamps is not None and [found.st_size, found.st_mtime_ns] != self.stamps[index].tolist():
                raise BenchError(f'image "{file}" was changed while its data set was in use; run again.')
            return image
        except FileNotFoundError as error:
            raise BenchError(f'image "{file}" is not there; restore it, or prepare the data set again.') from error
        except UNDECODABLE as error:
            raise BenchError(f'image "{file}" cannot be decoded: {reason(error)}; {HOW_TO_SKIP}.') from error
