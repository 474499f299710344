"""Read TensorBoard event files: length, checksum, message, checksum."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def events(file: Path) -> Iterator[Any]:
    """The events of a file, in their order."""
    message = pytest.importorskip("tensorboardX.proto.event_pb2").Event
    content, start = file.read_bytes(), 0
    while start < len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        yield message.FromString(content[start + 12 : start + 12 + length])
        start += 16 + length


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Values by step, by name."""
    (file,) = folder.glob("events.out.tfevents*")
    found: dict[str, dict[int, float]] = {}
    for event in events(file):
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found
