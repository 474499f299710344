"""`bench suspects`: training labels that are probably wrong, as CSV and contact sheets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench import console
from bench.cli.app import DEFAULT_GRID, ConfigFile, Plugins, Sets, StoreRoot, examples, json_option, verbs
from bench.cli.selection import Selection, report_folder
from bench.errors import BenchError
from bench.files import write_whole
from bench.grid.expansion import expand
from bench.records.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from bench.suspects.groups import LabelSet
    from bench.suspects.images import LabelSetImages
    from bench.suspects.score import SuspectRanking

NAME = "suspects"
SHEET = re.compile(rf"{NAME}(-.+)?(-\d+\.png|\.pdf)")
SHOWN = 10
WEAKER = (
    "no record here left samples out of training, so losses during training are ranked. That can be weaker: a method "
    'that memorizes hides wrong labels. Out of sample: --set "method=linear-probe@folds4,gce-coop@folds4,zero-shot".'
)

app = verbs()


@app.command(
    "suspects",
    epilog=examples(
        "bench suspects",
        "bench suspects --grid suspects --top 100 --out sheets",
        "bench suspects --set dataset=folder:photos --data folder:moved --json",
    ),
)
def rank_suspects(
    grid: Annotated[str | None, typer.Option(help="Use the records of this grid alone.  [default: all]")] = None,
    sets: Sets = None,
    store: StoreRoot = None,
    out: Annotated[
        str | None, typer.Option(help="Folder of the CSV and sheets.  [default: suspects/ in the store]")
    ] = None,
    top: Annotated[int, typer.Option(min=0, max=100_000, help="Images on contact sheets; the CSV has all.")] = 48,
    data: Annotated[str | None, typer.Option(help="Where the images are now, for example folder:PATH.")] = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: Annotated[bool, json_option("Print files, counts and the first as JSON.")] = False,
) -> int:
    """Rank training samples whose labels are probably wrong: a CSV, and contact sheets of the first."""
    from bench.reports.figures.fonts import tell
    from bench.suspects.images import SuspectImages
    from bench.suspects.score import rank
    from bench.suspects.table import csv, named, stems, title

    selection = Selection(grid, sets, store, config, plugin)
    opened = selection.existing()
    folder = report_folder(opened.root, out, NAME)
    if folder.is_file():
        raise BenchError(f'--out "{folder}" is a file; give a folder.')
    found = _label_sets(selection, opened)
    sources = SuspectImages(selection.configuration, data, [labels.name.digest for labels in found])
    tell(text for labels in found for text in (*labels.class_names, title(labels)))
    tables: list[pd.DataFrame] = []
    files: dict[str, bytes] = {}
    told: list[dict[str, Any]] = []
    for labels, stem in zip(found, stems(found), strict=True):
        ranking, source = rank(labels), sources.of(labels)
        table = named(ranking, source)
        told.append(_tell(ranking, table))
        sheets = _sheets(table.head(top), source, labels)
        files |= {f"{stem}{ending}": content for ending, content in sheets.items()}
        tables.append(table)
    files[f"{NAME}.csv"] = csv(tables)
    _write(folder, files)
    console.line(f"wrote {folder / NAME}.csv" + (f" and {len(files) - 1} files of sheets" if len(files) > 1 else ""))
    if json:
        console.as_json({"store": opened.root, "folder": str(folder), "files": [*files], "sets": told})
    return 0


def _label_sets(selection: Selection, store: Store) -> list[LabelSet]:
    """Group the chosen records by the labels they share."""
    from bench.suspects.groups import label_sets, usable

    keys = None
    if selection.grid or selection.sets:
        keys = [planned.key for planned in expand(selection.configuration, selection.grid or DEFAULT_GRID).cells]
    records = list(store.records(keys))
    found = label_sets(records, store.outcomes_of(records))
    for problem in store.problems.values():
        console.warn(problem)
    if not found:
        raise BenchError(
            f"none of the {len(records)} records chosen can judge labels (expected: done, with per-sample outcomes, no "
            "oracle); run methods as coop@folds4, or change --grid, --set or --store."
        )
    oracles = sum(record.status == "done" and not usable(record) for record in records)
    if oracles:
        console.line(f"{oracles} records of oracles are left out: they know what a user does not.")
    return found


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write each file whole, and remove sheets of an earlier call that are no longer made."""
    try:
        for name, content in files.items():
            write_whole(folder / name, content)
        for file in folder.glob(f"{NAME}*"):
            if file.name not in files and SHEET.fullmatch(file.name):
                file.unlink()
    except OSError as error:
        raise BenchError(f'"{folder}" cannot be written: {error.strerror}; give --out a writable folder.') from error


def _sheets(table: pd.DataFrame, source: LabelSetImages, labels: LabelSet) -> dict[str, bytes]:
    """Draw pages of the images that are here."""
    from bench.reports.figures.contact_sheet import Tile, draw_sheets
    from bench.reports.figures.fonts import class_texts
    from bench.suspects.table import NONE_OF_THEM, title

    tiles = []
    drawn = dict(zip(labels.class_names, class_texts(labels.class_names), strict=True)) | {NONE_OF_THEM: NONE_OF_THEM}
    for row in table.to_dict("records"):
        image = source.image(row["image"])
        if image is not None:
            known: dict[str, Any] = {"true": drawn[row["true"]], "wrong": bool(row["wrong"])} if "true" in row else {}
            tiles.append(Tile(row["rank"], image, drawn[row["given"]], drawn[row["proposed"]], **known))
    return draw_sheets(tiles, f"Labels that are probably wrong: {title(labels)}") if tiles else {}


def _tell(ranking: SuspectRanking, table: pd.DataFrame) -> dict[str, Any]:
    """Print what was found of one set of labels; returns the same for a program."""
    from bench.suspects.table import title

    labels, columns = ranking.labels, ["rank", "path", "given", "proposed", "score"]
    first = table.head(SHOWN)[columns].to_dict("records")
    found: dict[str, Any] = {
        "labels": len(table),
        "methods": int(table["methods"].max()),
        "records": len(labels.members),
        "contradicted": int((table["proposed"] != table["given"]).sum()),
        "out_of_sample": bool(ranking.out_of_sample),
        "unranked": int(ranking.unranked),
    }
    console.line(
        f"{title(labels)}: {found['labels']} labels, {found['methods']} methods, {found['records']} records; "
        f"together they contradict {found['contradicted']}."
    )
    if not ranking.out_of_sample:
        console.warn(WEAKER)
    if ranking.unranked:
        console.warn(f"{ranking.unranked} samples are left out: no finished record predicts them without their label.")
    rows = [[str(row["rank"]), row["path"], row["given"], row["proposed"], f"{row['score']:.2f}"] for row in first]
    console.table(["rank", "image", "given", "proposed", "score"], rows)
    precise = _precision(ranking) if labels.true is not None else {}
    return {"set": title(labels), **found, "precision": precise, "first": first}


def _precision(ranking: SuspectRanking) -> dict[str, dict[int, float]]:
    """Print and return the precision among the first samples, by this score and by those of cleanlab."""
    from bench.suspects.score import cleanlab_orders, precision

    wrong = ranking.table["wrong"].to_numpy(bool)
    if not wrong.any():
        console.line("no label here is known to be wrong, so no precision is measured.")
        return {}
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
    return found
