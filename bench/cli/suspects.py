"""`bench suspects`: training labels that are probably wrong, as CSV and contact sheets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench import console
from bench.cli.app import DEFAULT_GRID, ConfigFile, Plugins, Sets, StoreRoot, examples, json_option, verbs
from bench.cli.selection import Selection, report_folder
from bench.cli.suspect_text import FEW, Found, find, not_judged
from bench.cli.suspect_text import tell as tell_found
from bench.errors import BenchError
from bench.files import is_file, write_whole
from bench.grid.expansion import expand
from bench.records.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from bench.suspects.groups import LabelSet
    from bench.suspects.images import LabelSetImages
    from bench.suspects.score import SuspectRanking

NAME = "suspects"
SHEET = re.compile(rf"{NAME}(-.+)?(-\d+\.png|\.pdf|\.html)")

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
    sheets: Annotated[int, typer.Option(min=0, help="Sets of labels that are drawn; the CSV has all.")] = FEW,
    data: Annotated[str | None, typer.Option(help="Where the images are now, for example folder:PATH.")] = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: Annotated[bool, json_option("Print files, counts and the first as JSON.")] = False,
) -> int:
    """Rank training samples whose labels are probably wrong: a CSV, contact sheets, and a page that corrects them."""
    from bench.reports.figures.fonts import tell
    from bench.suspects.images import SuspectImages
    from bench.suspects.score import rank
    from bench.suspects.table import csv, named, stems, title

    selection = Selection(grid, sets, store, config, plugin)
    opened = selection.existing()
    folder = report_folder(opened.root, out, NAME)
    if is_file(folder):
        raise BenchError(f'--out "{folder}" is a file; give a folder.')
    found = _label_sets(selection, opened)
    sources = SuspectImages(selection.configuration, data, [labels.name.digest for labels in found])
    tell(text for labels in found for text in (*labels.class_names, title(labels)))
    tables: list[pd.DataFrame] = []
    files: dict[str, bytes] = {}
    several: list[Found] = []
    drawn = _drawn_first(found, sheets if top else len(found))
    for number, (labels, stem) in enumerate(zip(found, stems(found), strict=True)):
        ranking, source = rank(labels), sources.of(labels)
        tables.append(named(ranking, source))
        several.append(find(ranking, tables[-1]))
        if number in drawn:
            drawings = _drawings(ranking, tables[-1].head(top), source, several[-1])
            files |= {f"{stem}{ending}": content for ending, content in drawings.items()}
    tell_found(several)
    files[f"{NAME}.csv"] = csv(tables)
    _write(folder, files)
    console.line(f"wrote {folder / NAME}.csv" + (f" and {len(files) - 1} files of sheets" if len(files) > 1 else ""))
    if pages := [name for name in files if name.endswith(".html")]:
        console.line(
            f"to look at them, and to correct labels of your own images, open {folder / pages[0]} in a browser"
        )
    if json:
        sets_told = [found.facts for found in several]
        console.as_json({"store": opened.root, "folder": str(folder), "files": [*files], "sets": sets_told})
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


def _drawn_first(found: Sequence[LabelSet], most: int) -> set[int]:
    """Choose the label sets that are drawn: those of unknown truth first. Says where some are not."""
    order = sorted(range(len(found)), key=lambda number: found[number].true is not None)
    if len(order) > most:
        console.warn(
            f"of {len(order)} sets of labels {most} are drawn; others: --grid or --set, or more at once: --sheets "
            f"{len(order)}."
        )
    return set(order[:most])


def _drawings(ranking: SuspectRanking, table: pd.DataFrame, source: LabelSetImages, facts: Found) -> dict[str, bytes]:
    """Draw contact sheets and the page of the images that are here, by the ending of the file."""
    images = {row["rank"]: image for row in table.to_dict("records") if (image := source.image(row["image"]))}
    if not images:
        return {}
    from bench.cli.suspect_page import page

    shown = table[table["rank"].isin(list(images))]
    drawn = _sheets(shown, images, ranking.labels, not_judged(facts.facts))
    return drawn | {".html": page(ranking, shown, images, source, facts)}


def _sheets(table: pd.DataFrame, images: Mapping[int, Image], labels: LabelSet, note: str) -> dict[str, bytes]:
    """Draw pages of images by rank, with a note below."""
    from bench.reports.figures.contact_sheet import Tile, draw_sheets
    from bench.reports.figures.fonts import class_texts
    from bench.suspects.table import NONE_OF_THEM, title

    tiles = []
    drawn = dict(zip(labels.class_names, class_texts(labels.class_names), strict=True)) | {NONE_OF_THEM: NONE_OF_THEM}
    for row in table.to_dict("records"):
        known: dict[str, Any] = {"true": drawn[row["true"]], "wrong": bool(row["wrong"])} if "true" in row else {}
        tiles.append(Tile(row["rank"], images[row["rank"]], drawn[row["given"]], drawn[row["proposed"]], **known))
    return draw_sheets(tiles, f"Labels that are probably wrong: {title(labels)}", note=note)
