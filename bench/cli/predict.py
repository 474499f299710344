"""`bench predict`: what a record's method has learned, applied to new images."""

from __future__ import annotations

import csv
import io
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from bench import console
from bench.cli.commands import EXIT_UNFINISHED, Selection
from bench.clip.load import load_backbone
from bench.engine.checkpoint import restore
from bench.engine.classifier import Classifier
from bench.errors import BenchError
from bench.files import LocalFiles
from bench.grid.freshness import NOT_NOTED, other_code
from bench.grid.options import told
from bench.images.decode import UNDECODABLE, read_image, reason
from bench.images.loader import CHUNK, one_intra_op_thread
from bench.images.walk import Walk, check_name
from bench.machine import this_machine
from bench.records.record import Record
from bench.records.store import Store, find_record
from bench.variants import variant_text

COLUMNS = ("path", "rank", "label", "probability")


@dataclass(frozen=True)
class Question:
    """What is asked of a record.

    Attributes:
        key: of the record, or the beginning of it.
        paths: images, and folders that are searched for them.
        top: labels for each image.
        out: file for the CSV, None for the standard output.
        backbone: where the weights are, None for the record's own name of them.
    """

    key: str
    paths: Sequence[str]
    top: int = 1
    out: str | None = None
    backbone: str | None = None


def predict(selection: Selection, question: Question) -> int:
    """Write path, rank, label and probability of every image; returns 4 where images were skipped, else 0.

    Raises:
        BenchError: no such record or several, nothing kept with it, other weights, or no image.
    """
    config = selection.load()
    store = selection.existing(config)
    record = _record(store, question.key)
    content = _kept(store, record)
    files = _images(question.paths)
    device = "cuda" if this_machine(config.settings.protocol.device).gpus else "cpu"
    with one_intra_op_thread():
        backbone = load_backbone(question.backbone or record.cell.backbone, device)
        classifier = Classifier(*restore(content, record.cell, backbone), backbone)
        rows, skipped = _rows(classifier, files, question.top)
    _written(rows, question.out)
    if parts := [part for part in other_code(record) if part != NOT_NOTED]:
        console.warn(f"record {record.key} was made by other code than is here now: {', '.join(parts)}.")
    if skipped:
        console.warn(f"{skipped} of {len(files)} images were skipped, since they cannot be decoded.")
    return EXIT_UNFINISHED if skipped else 0


def _rows(classifier: Classifier, files: Sequence[Path], top: int) -> tuple[list[tuple[str, ...]], int]:
    """The rows of the CSV, and how many images cannot be decoded."""
    rows: list[tuple[str, ...]] = []
    read = 0
    for chunk in _chunks(classifier, files):
        read += len(chunk)
        probabilities = classifier.probabilities([image for _, image in chunk])
        best = probabilities.topk(min(top, probabilities.shape[1]), dim=1)
        for (file, _), shares, labels in zip(chunk, best.values.tolist(), best.indices.tolist(), strict=True):
            for rank, (share, label) in enumerate(zip(shares, labels, strict=True), 1):
                rows.append((str(file), str(rank), classifier.class_names[label], f"{share:.6f}"))
    return rows, len(files) - read


def _chunks(classifier: Classifier, files: Sequence[Path]) -> Iterator[list[tuple[Path, Tensor]]]:
    """Decoded images in groups; one that cannot be decoded is named on the standard error."""
    chunk: list[tuple[Path, Tensor]] = []
    for file in files:
        try:
            chunk.append((file, classifier.decoded(read_image(file, upright=True))))
        except UNDECODABLE as error:
            console.warn(f'"{file}" cannot be decoded: {reason(error)}')
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _written(rows: Sequence[Sequence[str]], out: str | None) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    if out is None:
        console.line(text.getvalue().rstrip("\n"))
        return
    file = Path(out).expanduser()
    try:
        LocalFiles(file.parent).write(file.name, text.getvalue().encode(), replace=True)
    except OSError as error:
        raise BenchError(f'--out "{out}" cannot be written: {error.strerror}; give the path of a file.') from error


def _record(store: Store, key: str) -> Record:
    """The one finished record whose key begins so."""
    record = find_record(store, key)
    if record.status != "done":
        raise BenchError(
            f"record {record.key} is {record.status} ({record.reason}), so it has learned nothing; retry it."
        )
    return record


def _kept(store: Store, record: Record) -> bytes:
    content = store.prompts(record.key)
    if content is not None:
        return content
    cell = record.cell
    method = variant_text(cell.method, told(cell.method, cell.options)) + cell.suffix
    if record.cost.prompts_not_kept is not None:
        raise BenchError(f"the prompts of {record.key} ({method}) cannot be kept: {record.cost.prompts_not_kept}.")
    raise BenchError(
        f"record {record.key} was run without keeping its prompts; run its cell again into another store, its grid "
        f"with --set keep_prompts=true --set {shlex.quote(f'method={method}')} --set seed={cell.seed} --store OTHER."
    )


def _images(paths: Sequence[str]) -> list[Path]:
    """Files as named, and in folders every image, sorted; what is left out is said on the standard error.

    Raises:
        BenchError: a path does not exist or is not UTF-8, or there is no image.
    """
    files: list[Path] = []
    for text in paths:
        path = Path(text).expanduser()
        check_name(path)
        if not os.access(path, os.F_OK):
            raise BenchError(f'"{text}" does not exist; give images or folders of images.')
        if not path.is_dir():
            files.append(path)
            continue
        walk = Walk(path)
        files += sorted(walk.images(path))
        for said in walk.left_out:
            console.warn(f'"{text}": {said}')
    if not files:
        raise BenchError(f"there is no image in {', '.join(paths)}; expected files such as .jpg or .png.")
    return files
