"""`bench suspects`: the training samples of a store whose labels are probably wrong, as CSV and as contact sheets."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench import console
from bench.cli.commands import DEFAULT_GRID, Selection
from bench.errors import BenchError
from bench.files import LocalFiles
from bench.grid.expand import expand
from bench.records.cell import noise_text
from bench.records.naming import marked
from bench.reports.figures.contact_sheet import Tile, draw_sheets
from bench.reports.figures.fonts import class_texts, tell
from bench.suspects.groups import LabelSet, label_sets, usable
from bench.suspects.images import Source, Sources
from bench.suspects.score import Ranking, cleanlab_orders, precision, rank

NAME = "suspects"
SHEET = re.compile(rf"{NAME}(-.+)?(-\d+\.png|\.pdf)")
SHOWN = 10
NONE_OF_THEM = "none of the classes"
WEAKER = (
    "nothing here has left samples out, so losses during training are ranked. That can be weaker: a method that "
    'memorizes hides wrong labels. Out of sample: --set "method=linear-probe@folds4,gce-coop@folds4,zero-shot".'
)
COLUMNS = [
    "dataset", "noise", "rate", "shots", "seed", "rank", "path", "given", "proposed", "score", "loss", "contradicted",
    "left_out", "probability", "margin", "methods", "predictions", "splits", "out_of_sample", "true", "given_label",
    "proposed_label", "true_label",
]  # fmt: skip
NAMED = ("given", "proposed", "true")


@dataclass(frozen=True)
class Asked:
    """How suspects are wanted: `out` folder, number `top` on contact sheets, and `data` to take images from."""

    out: str | None
    top: int
    data: str | None


def show_suspects(selection: Selection, asked: Asked) -> int:
    """`bench suspects`."""
    config = selection.load()
    store = selection.existing(config)
    folder = _folder(store.root, asked.out)
    chosen = selection.grid or selection.sets
    keys = [planned.key for planned in expand(config, selection.grid or DEFAULT_GRID).cells] if chosen else None
    records = list(store.records(keys))
    sets = label_sets(records, store.outcomes_of(records))
    for problem in store.problems.values():
        console.warn(problem)
    if not sets:
        raise BenchError(
            f"none of the {len(records)} records chosen can be asked about labels (done, with per-sample outcomes, and "
            "told nothing a user would not know); run methods as coop@folds4, or change --grid, --set or --store."
        )
    sources = Sources(config, asked.data, [labels.name.digest for labels in sets])
    oracles = sum(record.status == "done" and not usable(record) for record in records)
    if oracles:
        console.line(f"{oracles} records of oracles are left out: a user has no such methods.")
    tell(text for labels in sets for text in (*labels.class_names, _title(labels)))
    tables: list[pd.DataFrame] = []
    files: dict[str, bytes] = {}
    for labels, stem in zip(sets, _stems(sets), strict=True):
        ranking, source = rank(labels), sources.of(labels)
        table = _table(ranking, source)
        _tell(ranking, table)
        sheets = _sheets(table.head(asked.top), source, labels)
        files |= {f"{stem}{ending}": content for ending, content in sheets.items()}
        tables.append(table)
    files[f"{NAME}.csv"] = _csv(tables)
    _write(folder, files)
    console.line(f"wrote {folder / NAME}.csv" + (f" and {len(files) - 1} files of sheets" if len(files) > 1 else ""))
    return 0


def _folder(root: str, out: str | None) -> Path:
    """Where the files go."""
    if out is None and "://" in root:
        raise BenchError(f'store "{root}" is a URL; name the folder of the suspects with --out.')
    path = Path(out or Path(root) / NAME).expanduser()
    if path.is_file():
        raise BenchError(f'--out "{path}" is a file; give a folder.')
    return path


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Publish the files, each whole, and remove sheets of an earlier call that are no longer made."""
    try:
        for name, content in files.items():
            LocalFiles(folder).write(name, content, replace=True)
        for file in folder.glob(f"{NAME}*"):
            if file.name not in files and SHEET.fullmatch(file.name):
                file.unlink()
    except OSError as error:
        raise BenchError(f'"{folder}" cannot be written: {error.strerror}; give --out a writable folder.') from error


def _csv(tables: Sequence[pd.DataFrame]) -> bytes:
    columns = [column for column in COLUMNS if any(column in table for table in tables)]
    text = io.StringIO()
    pd.concat([table.reindex(columns=columns) for table in tables]).to_csv(
        text, index=False, lineterminator="\n", float_format="%.6g"
    )
    return text.getvalue().encode()


def _table(ranking: Ranking, source: Source) -> pd.DataFrame:
    """The ranking with names for numbers, and with the labels as they are written where somebody has."""
    name = ranking.labels.name
    names = (*ranking.labels.class_names, NONE_OF_THEM)  # a true label of -1 is the last
    written = _written(ranking.labels, source)
    table = ranking.table.copy()
    for column in (column for column in NAMED if column in table):
        if written:
            table[f"{column}_label"] = [(*written, "")[label] for label in table[column]]
        table[column] = [names[label] for label in table[column]]
    return table.assign(
        dataset=ranking.labels.dataset, noise=marked(name.noise, ranking.labels.mark[1]), rate=name.rate,
        shots=name.shots,
        seed="" if ranking.labels.seed is None else ranking.labels.seed, rank=range(1, len(table) + 1),
        out_of_sample=ranking.out_of_sample, path=[source.path(image) for image in table["image"]],
    )  # fmt: skip


def _written(labels: LabelSet, source: Source) -> tuple[str, ...]:
    """The classes as they are written in folders or CSV, from the records, else the images; empty where nobody says."""
    recorded = (told.record.data.class_labels for told in labels.told)
    return tuple(next(filter(None, recorded), source.class_labels))


def _sheets(table: pd.DataFrame, source: Source, labels: LabelSet) -> dict[str, bytes]:
    """Pages of the images that are at hand."""
    tiles = []
    drawn = dict(zip(labels.class_names, class_texts(labels.class_names), strict=True)) | {NONE_OF_THEM: NONE_OF_THEM}
    for row in table.to_dict("records"):
        image = source.image(row["image"])
        if image is not None:
            known: dict[str, Any] = {"true": drawn[row["true"]], "wrong": bool(row["wrong"])} if "true" in row else {}
            tiles.append(Tile(row["rank"], image, drawn[row["given"]], drawn[row["proposed"]], **known))
    return draw_sheets(tiles, f"Labels that are probably wrong: {_title(labels)}") if tiles else {}


def _title(labels: LabelSet) -> str:
    parts = [labels.dataset, noise_text(labels.noise, labels.name.rate), f"{labels.name.shots} shots"]
    return " · ".join(parts + ([] if labels.seed is None else [f"seed {labels.seed}"]))


def _stems(sets: Sequence[LabelSet]) -> list[str]:
    """The start of the names of each set's sheets: plain for one set, else different ones."""
    if len(sets) == 1:
        return [NAME]
    plain = [f"{NAME}-{re.sub(r'[^A-Za-z0-9.]+', '-', _title(labels)).strip('-')}" for labels in sets]
    return [stem if plain.count(stem) == 1 else f"{stem}-{n}" for n, stem in enumerate(plain, 1)]


def _tell(ranking: Ranking, table: pd.DataFrame) -> None:
    labels = ranking.labels
    disputed = int((table["proposed"] != table["given"]).sum())
    console.line(
        f"{_title(labels)}: {len(table)} labels, {table['methods'].max()} methods, {len(labels.told)} records; "
        f"together they contradict {disputed}."
    )
    if not ranking.out_of_sample:
        console.warn(WEAKER)
    if ranking.unranked:
        console.warn(f"{ranking.unranked} samples are left out: no finished record predicts them without their label.")
    first = table.head(SHOWN)
    rows = [[str(row["rank"]), row["path"], row["given"], row["proposed"], f"{row['score']:.2f}"]
            for row in first.to_dict("records")]  # fmt: skip
    console.table(["rank", "image", "given", "proposed", "score"], rows)
    if labels.true is not None:
        _precision(ranking)


def _precision(ranking: Ranking) -> None:
    wrong = ranking.table["wrong"].to_numpy(bool)
    if not wrong.any():
        console.line("no label here is known to be wrong, so no precision is measured.")
        return
    orders = {"this score": ranking.table.index.to_numpy()}
    if ranking.probabilities:
        try:
            orders |= cleanlab_orders(ranking)
        except ImportError:
            console.line("cleanlab is not installed; to compare with it: pip install 'noisy-prompt-bench[suspects]'.")
    found = {name: precision(wrong, order) for name, order in orders.items()}
    places = list(found["this score"])
    rows = [[name, *(f"{100 * shares[place]:.1f}" for place in places)] for name, shares in found.items()]
    console.table(["precision % at", *map(str, places)], rows)
    console.line(f"{wrong.sum()} of {len(wrong)} labels are known to be wrong.")
