"""Grey TIFF files as Pillow does not write them: either byte order, any depth and sign, a declared range."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = {"u": 1, "i": 2, "f": 3}
TYPES = {"H": 3, "I": 4, "f": 11}


def write_tiff(file: Path, pixels: np.ndarray[Any, Any], bits: int = 0, **tags: float) -> Path:
    """One strip, uncompressed.

    Args:
        file: to write.
        pixels: [H, W]; its byte order is that of the file.
        bits: where they are not those of the type: pixels are rows of packed bytes then.
        tags: `white`, 1 where 0 is white; `smin` and `smax`, floats; `most`, MaxSampleValue.
    """
    order = ">" if pixels.dtype.byteorder == ">" else "<"
    height, width = pixels.shape
    entries: dict[int, tuple[str, Any]] = {
        256: ("I", width * 8 // bits if bits else width), 257: ("I", height),
        258: ("H", bits or 8 * pixels.dtype.itemsize), 259: ("H", 1), 262: ("H", int(not tags.get("white"))),
        273: ("I", 0), 277: ("H", 1), 278: ("I", height), 279: ("I", pixels.nbytes),
        339: ("H", FORMATS[pixels.dtype.kind]),
    }  # fmt: skip
    entries |= {n: ("f", tags[name]) for n, name in ((340, "smin"), (341, "smax")) if name in tags}
    entries |= {281: ("H", int(tags["most"]))} if "most" in tags else {}
    start = 8 + 2 + 12 * len(entries) + 4
    entries[273] = ("I", start)
    directory = b""
    for tag, (kind, value) in sorted(entries.items()):
        directory += struct.pack(f"{order}HHI", tag, TYPES[kind], 1) + struct.pack(f"{order}{kind}", value).ljust(
            4, b"\0"
        )
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    content = head + struct.pack(f"{order}H", len(entries)) + directory + b"\0" * 4 + pixels.tobytes()
    file.write_bytes(content)
    return file
