"""`bench reproduce`: a record's cell run again, and whether the bits agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench import console
from bench.cli.app import AsJson, ConfigFile, Key, Plugins, StoreRoot, Weights, examples, verbs
from bench.cli.selection import Selection
from bench.records.store import find_record

if TYPE_CHECKING:
    from bench.reproduce.differences import Difference
    from bench.reproduce.rerun import Reproduction

EXIT_DIFFERENT = 1

app = verbs()


@app.command(
    "reproduce",
    epilog=examples(
        "bench reproduce 0f3a", "bench reproduce 0f3a --data folder:photos --cached", "bench reproduce 0f3a --json"
    ),
)
def reproduce_record(
    key: Key,
    store: StoreRoot = None,
    data: Annotated[str | None, typer.Option(help="Your own images, where they have moved: folder:PATH.")] = None,
    backbone: Weights = None,
    cached: Annotated[
        bool, typer.Option("--cached", help="Take image features from the cache; without it all are encoded again.")
    ] = False,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Run a record's cell again and compare the results; exit code 1 where a bit differs. The store is only read."""
    from bench.reproduce.rerun import reproduce

    selection = Selection(store=store, config=config, plugins=plugin)
    opened = selection.existing()
    record = find_record(opened, key)
    seconds = record.cost.seconds
    took = f"; it took {console.duration(seconds)} then" if isinstance(seconds, (int, float)) else ""
    console.line(f"{record.key}: {record.cell.label()}: running it again{took}.")
    found = reproduce(opened, record, selection.configuration, data=data, backbone=backbone, cached=cached)
    if json:
        console.as_json(found.as_json())
    else:
        _show(found)
    return 0 if found.first is None else EXIT_DIFFERENT


def _show(found: Reproduction) -> None:
    for change in found.changes:
        console.line(f"not as it was: {change.where}: {change.record} in the record, {change.now} now")
    rows = [[part.name, str(part.compared), str(part.differing), _told(part.first)] for part in found.parts]
    console.table(["part", "compared", "differ", "first difference"], rows)
    for note in found.notes:
        console.line(f"{note}.")
    if found.now.status != found.record.status and found.now.reason:
        console.line(f"it is {found.now.status} now: {found.now.reason}")
    tell = console.line if found.first is None else console.complaint
    tell(found.verdict())


def _told(difference: Difference | None) -> str:
    if difference is None:
        return ""
    return f"{difference.where}: {difference.record} in the record, {difference.now} now"
