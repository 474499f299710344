"""`bench import`: the records of an archive, checked and added to a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench import console
from bench.cli.app import AsJson, ConfigFile, StoreRoot, examples, verbs
from bench.cli.selection import Selection, writing
from bench.records.archive import read_archive

app = verbs()


@app.command(
    "import",
    epilog=examples(
        "bench import records.zip", "bench import paper.zip --store published", "bench import a.zip --json"
    ),
)
def import_records(
    archive: Annotated[Path, typer.Argument(help="A .zip file that `bench export --format archive` has made.")],
    store: StoreRoot = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Add the records of an archive to a store, once every file of it is checked."""
    opened = Selection(store=store, config=config).open()
    with writing("--store", opened.root):
        found = read_archive(archive.expanduser(), opened)
    if json:
        told = {"new": found.new, "same": found.same, "other": found.other, "plugins": list(found.plugins)}
        console.as_json({"store": opened.root, **told})
        return 0
    console.line(f"{opened.root}: {len(found.new):,} records added; {len(found.same):,} were there already.")
    if found.other:
        console.warn(
            f"{len(found.other):,} cells have another record here, which stays, for example {found.other[0]}; "
            "import into another store to see both."
        )
    for origin in found.plugins:
        console.line(f"to name its rows, and to run its cells again, also needed: {origin}")
    files = [origin.removeprefix("file ") for origin in found.plugins if origin.startswith("file ")]
    console.line(f"next: bench table{Selection(store=store, config=config, plugins=files).flags()}")
    return 0
