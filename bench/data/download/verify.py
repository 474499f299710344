"""Compare a data set with its catalogue entry, and decode every image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.clip.tokens import indistinct
from bench.contracts.dataset import SPLITS, Split
from bench.data.download.fetch import mismatch
from bench.data.download.prepare import Place
from bench.data.download.transfer import Report
from bench.errors import BenchError
from bench.images.loader import CHUNK_SIZE, DEFAULT_LIMITS, LoaderLimits, in_order

SIDE = 224  # pixels, to which an image counts when it is decided on worker processes


@dataclass
class Verified:
    """Findings of a verification.

    Attributes:
        classes: how many there are.
        images: in training, validation and test split.
        seconds: that decoding them took, with the start of the worker processes.
        problems: differences from the catalogue entry, one line each; without broken images.
        broken: one line for each image that cannot be decoded.
        notes: how the splits were made and how images are read.
        left_out: files among the images that are not of the data set, one line for each reason.
    """

    classes: int = 0
    images: tuple[int, ...] = ()
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Images per second."""
        return sum(self.images) / self.seconds if self.seconds else 0.0


def verify_dataset(at: Place, report: Report, limits: LoaderLimits = DEFAULT_LIMITS) -> Verified:
    """Compare a data set with its catalogue entry, and decode every image.

    Args:
        at: the data set.
        report: called with the images decoded so far and their number.
        limits: of the processes that decode.
    """
    found = Verified(problems=[*at.missing, *_altered(at)])
    if at.missing:
        return found
    try:
        found.classes = len(at.dataset.class_names)
        splits = [at.dataset.splits[name] for name in SPLITS]
        found.notes, found.left_out = at.dataset.notes, at.dataset.left_out
    except BenchError as error:
        found.problems += error.lines
        return found
    found.problems += [f"dataset {at.name}: {one}" for one in indistinct(at.dataset.class_names, at.dataset.homonyms)]
    found.images = tuple(len(split) for split in splits)
    if at.catalogued:
        found.problems += at.catalogued.size_problems(found.classes, dict(zip(SPLITS, found.images, strict=True)))
    began = time.monotonic()
    work, total = partial(broken, splits), sum(found.images)
    for number, chunk in enumerate(in_order(work, total, limits.processes(total, SIDE)), start=1):
        found.broken += chunk
        report(min(number * CHUNK_SIZE, total), total)
    found.seconds = time.monotonic() - began
    return found


def broken(splits: Sequence[Split], positions: Sequence[int]) -> list[str]:
    """Describe the images that cannot be decoded, one line each.

    Args:
        splits: the splits of a data set.
        positions: of images to decode, in the sequence of all splits.
    """
    lines, first = [], 0
    for name, split in zip(SPLITS, splits, strict=True):
        for position in (one - first for one in positions if first <= one < first + len(split)):
            try:
                split.images[position].load()
            except BenchError as error:
                lines.append(str(error))
            except Exception as error:  # noqa: BLE001 - whatever a decoder raises at a broken file
                reason = " ".join(str(error).split()) or type(error).__name__
                lines.append(f'{name} image "{split.name(position)}" cannot be decoded: {reason}.')
        first += len(split)
    return lines


def _altered(at: Place) -> list[str]:
    """Compare plain files with their digests. The data set itself checks the content of a split file."""
    if at.catalogued is None:
        return []
    lines, split = [], at.catalogued.entry.split
    for download in at.downloads:
        if download.unpack is not None or (split and split.name == download.name):
            continue
        file, known = at.catalogued.place(download.name), download.sha256 or download.md5
        if known and file is not None and file.name == Path(download.name).name:  # not its compressed form
            problem = mismatch(download, file)
            lines += [f'"{file}" is not the expected file ({problem}); fetch it again.'] if problem else []
    return lines
