"""`bench predict`: a record's learned prompts applied to new images."""

from __future__ import annotations

import csv
import io
import os
import shlex
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import console, streams
from bench.cli.app import EXIT_UNFINISHED, ConfigFile, Key, Plugins, StoreRoot, Weights, examples, verbs
from bench.cli.selection import Selection, writing
from bench.errors import BenchError
from bench.files import is_folder, local_path, write_whole
from bench.grid.freshness import NOT_NOTED, other_code
from bench.grid.options import method_variant
from bench.machine import precision_problem, this_machine
from bench.records.record import Record
from bench.records.store import Store, find_record
from bench.spreadsheet import inert

if TYPE_CHECKING:
    from torch import Tensor

    from bench.engine.classifier import Classifier

COLUMNS = ("path", "rank", "label", "probability")

app = verbs()


@app.command(
    "predict",
    epilog=examples(
        "bench predict 0f3a new_photos",
        "bench predict 0f3a a.jpg b.jpg --top 3 --out labels.csv",
        "bench predict 0f3a new_photos --backbone weights/ViT-B-16.pt",
    ),
)
def predict_labels(
    key: Key,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Images, and folders of images.")],
    store: StoreRoot = None,
    top: Annotated[int, typer.Option(min=1, max=1_000_000, help="Labels for each image.")] = 1,
    out: Annotated[str | None, typer.Option(help="File of the CSV.  [default: the standard output]")] = None,
    backbone: Weights = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Apply the prompts that a record has kept to images: path, rank, label and probability as CSV."""
    file = None if out is None else local_path(out, "--out")
    if file is None:
        streams.reserve()
    selection = Selection(store=store, config=config, plugins=plugin)
    opened = selection.existing()
    record = find_record(opened, key)
    content = _kept(opened, record)
    files = _images(paths)
    weights = backbone or record.cell.backbone
    rows, skipped = _predicted(record, content, weights, files, top, selection.configuration.settings.protocol.device)
    _write(rows, file)
    if parts := [part for part in other_code(record) if part != NOT_NOTED]:
        console.warn(f"record {record.key} was made by another version of the code: {', '.join(parts)}.")
    if skipped:
        console.warn(f"{skipped} of {len(files)} images were skipped because they cannot be decoded.")
    return EXIT_UNFINISHED if skipped else 0


def _predicted(
    record: Record, content: bytes, weights: str, files: Sequence[Path], top: int, device: str
) -> tuple[list[tuple[str, ...]], int]:
    """Compute the rows of the CSV, and count images that cannot be decoded."""
    from bench.clip.load import load_backbone
    from bench.clip.precision import precision_of
    from bench.engine.checkpoint import restore
    from bench.engine.classifier import Classifier
    from bench.images.loader import CHUNK_SIZE, one_intra_op_thread

    place = "cuda" if this_machine(device).gpus else "cpu"
    precision = "float32" if precision_problem(record.cell.precision, place) else record.cell.precision
    with one_intra_op_thread(), precision_of(precision, place):
        backbone = load_backbone(weights, place)
        classifier = Classifier(*restore(content, record.cell, backbone), backbone)
        rows: list[tuple[str, ...]] = []
        read = 0
        images = _decoded(classifier, files)
        while chunk := list(islice(images, CHUNK_SIZE)):
            logits = classifier.logits([image for _, image in chunk], read)
            read += len(chunk)
            best = logits.topk(min(top, logits.shape[1]), dim=1).indices
            found = logits.softmax(1).gather(1, best)
            for (file, _), shares, labels in zip(chunk, found.tolist(), best.tolist(), strict=True):
                for rank, (share, label) in enumerate(zip(shares, labels, strict=True), 1):
                    rows.append((str(file), str(rank), classifier.class_names[label], f"{share:.6f}"))
        return rows, len(files) - read


def _decoded(classifier: Classifier, files: Sequence[Path]) -> Iterator[tuple[Path, Tensor]]:
    """Decode images; those that cannot be decoded are named on the standard error."""
    from bench.images.decode import UNDECODABLE, read_image, reason

    for file in files:
        try:
            yield file, classifier.decoded(read_image(file, upright=True))
        except UNDECODABLE as error:
            console.warn(f'"{file}" cannot be decoded: {reason(error)}')


def _write(rows: Sequence[Sequence[str]], file: Path | None) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *(map(inert, row) for row in rows)])
    if file is None:
        console.result(text.getvalue().rstrip("\n"))
        return
    with writing("--out", str(file)):
        write_whole(file, text.getvalue())


def _kept(store: Store, record: Record) -> bytes:
    """Read the prompts of a finished record. Raises BenchError where it is not finished or kept none."""
    if record.status != "done":
        raise BenchError(
            f"record {record.key} is {record.status} ({record.reason}), so it has learned nothing; retry it."
        )
    content = store.prompts(record.key)
    if content is not None:
        return content
    cell = record.cell
    method = method_variant(cell.method, cell.options) + cell.suffix
    if record.cost.prompts_not_kept is not None:
        raise BenchError(f"the prompts of {record.key} ({method}) cannot be kept: {record.cost.prompts_not_kept}.")
    raise BenchError(
        f"record {record.key} was run without keeping its prompts; run its cell again into another store, its grid "
        f"with --set keep_prompts=true --set {shlex.quote(f'method={method}')} --set seed={cell.seed} --store OTHER."
    )


def _images(paths: Sequence[str]) -> list[Path]:
    """List files as named, and the images of folders, sorted; skipped files are named on the standard error.

    Raises:
        BenchError: a path does not exist or is not UTF-8, or there is no image.
    """
    from bench.images.walk import Walk, check_name

    files: list[Path] = []
    for text in paths:
        path = Path(text).expanduser()
        check_name(path)
        if not os.access(path, os.F_OK):
            raise BenchError(f'"{text}" does not exist; give images or folders of images.')
        if not is_folder(path):
            files.append(path)
            continue
        walk = Walk(path)
        files += sorted(walk.images(path))
        for said in walk.left_out:
            console.warn(f'"{text}": {said}')
    if not files:
        raise BenchError(f"there is no image in {', '.join(paths)}; expected files such as .jpg or .png.")
    return files
