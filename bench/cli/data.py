"""`bench data`: data sets in files, listed, fetched and verified."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from bench import console
from bench.cli.app import EXIT_UNFINISHED, AsJson, ConfigFile, Plugins, examples, verbs
from bench.contracts.dataset import SPLITS
from bench.data.download.prepare import Place, every, prepare_dataset
from bench.data.library import Library
from bench.errors import BenchError
from bench.registry import load_plugin_file
from bench.settings.schema import load_config

EXIT_BROKEN = 2
NAMED = 5  # broken images that are named


Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Data sets; `bench data list`.")]
Mode = Annotated[str | None, typer.Option(help="coop or tv, for data sets that are named without a mode.")]

app = verbs(
    "Data sets in files: see what is here, fetch what is missing, verify it.",
    examples("bench data list", "bench data prepare caltech101", "bench data verify"),
)


def _roots(plugins: Sequence[str] | None, config: str | None) -> dict[str, str]:
    """Import plugins, and read the folders of data sets from the settings."""
    for plugin in plugins or ():
        load_plugin_file(plugin)
    return dict(Library.of(load_config(config).settings.dataset).roots)


def _places(names: Sequence[str] | None, mode: str | None, roots: dict[str, str]) -> list[Place]:
    """Resolve names of data sets, each once. Raises BenchError where one is unknown or has no such mode."""
    found: dict[str, Place] = {}
    for name in names or ():
        place = Place(f"{name}[mode={mode}]" if mode and "[" not in name else name, roots)
        found.setdefault(place.name, place)
    return list(found.values())


@app.command("list", epilog=examples("bench data list", "bench data list --json"))
def list_data(plugin: Plugins = None, config: ConfigFile = None, json: AsJson = False) -> int:
    """List data sets with size, mode and state: embedded, ready, missing, or to be fetched by hand."""
    rows = [_row(place) for place in every(_roots(plugin, config))]
    if json:
        console.as_json(rows)
        return 0
    shown = [
        [row["name"], _count(row["classes"]), _count(row["images"]), _download(row), row["mode"] or "–", row["state"],
         row["where"] or "–"]
        for row in rows
    ]  # fmt: skip
    console.table(["name", "classes", "images", "download", "mode", "state", "where"], shown)
    return 0


@app.command(
    "prepare",
    epilog=examples("bench data prepare caltech101", "bench data prepare dtd eurosat --mode tv", "bench data prepare"),
)
def prepare_data(
    names: Names = None,
    mode: Mode = None,
    again: Annotated[bool, typer.Option("--again", help="Fetch and unpack also archives that are in place.")] = False,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Prepare data sets: download and unpack missing files; exit code 4 where something is left to do by hand."""
    roots = _roots(plugin, config)
    if not names:
        _offer(roots)
        return 0
    left = []
    for place in _places(names, mode, roots):
        steps = prepare_dataset(place, again=again, listener=console)
        if not steps:
            where = "comes with the package" if place.dataset.embedded else f"is ready in {place.folder}"
            console.line(f"{place.name}: {where}.")
            continue
        left.append(place.name)
        console.line(f"{place.name}: is not ready.")
        for step in steps:
            console.error(step if step.startswith("dataset ") else f"dataset {place.name}: {step}")
        if not place.to_fetch and place.downloads:
            console.line(f"to fetch its archives once more: bench data prepare --again {shlex.quote(place.name)}")
    if left:
        console.line(f"when that is done: bench data prepare {shlex.join(left)}")
    return EXIT_UNFINISHED if left else 0


@app.command("verify", epilog=examples("bench data verify", "bench data verify caltech101 --mode coop"))
def verify_data(names: Names = None, mode: Mode = None, plugin: Plugins = None, config: ConfigFile = None) -> int:
    """Check counts and digests of data sets and decode every image; without a name, of all that are ready."""
    roots = _roots(plugin, config)
    places = _places(names, mode, roots) or [place for place in every(roots) if place.state == "ready"]
    if not places:
        raise BenchError("no data set in files is ready; name one, or fetch one first: bench data prepare NAME.")
    sound = [_verified(place) for place in places]
    return 0 if all(sound) else EXIT_BROKEN


def _verified(place: Place) -> bool:
    from bench.data.download.verify import verify_dataset

    with console.amount(place.name, "images") as report:
        found = verify_dataset(place, report)
    for text in (*found.problems, *found.broken[:NAMED]):
        console.error(text)
    if len(found.broken) > NAMED:
        console.error(f"dataset {place.name}: {len(found.broken):,} images in all cannot be decoded.")
    if found.images:
        parts = " + ".join(f"{count:,} {split}" for count, split in zip(found.images, SPLITS, strict=True))
        decoded = sum(found.images) - len(found.broken)
        console.line(
            f"{place.name}: {found.classes} classes, {parts} images, {decoded:,} decoded in {found.seconds:.1f} s "
            f"({found.rate:,.0f} images/s)."
        )
    for text in (*found.notes, *found.left_out):
        console.line(f"{place.name}: {text}")
    sound = not found.problems and not found.broken
    but = ", but for what is left out" if found.left_out else ""
    console.line(f"{place.name}: is {f'as it should be{but}' if sound else 'NOT as it should be'}.")
    return sound


def _row(place: Place) -> dict[str, Any]:
    """Describe a data set for the list; None stands for numbers that are not known without opening it."""
    sizes = place.catalogued.sizes if place.catalogued else None
    names = getattr(type(place.dataset), "class_names", ())
    classes = sizes.classes if sizes else len(names) if isinstance(names, tuple) else None
    images = (sizes.total or sizes.train + sizes.validation + sizes.test) if sizes else None
    wanted = [one for one in place.downloads if not one.optional]
    return {
        "name": place.name.partition("[")[0],
        "classes": classes or None,
        "images": images,
        "bytes": sum(one.bytes for one in wanted) or None,
        "files_of_unknown_size": sum(not one.bytes for one in wanted),
        "mode": place.dataset.mode,
        "state": place.state,
        "where": str(place.folder) if place.folder else "",
        "missing": [one.name for one in place.to_fetch],
    }


def _offer(roots: dict[str, str]) -> None:
    """Print which data sets are not ready, and how large all of them are."""
    places = [place for place in every(roots) if place.state not in ("embedded", "ready")]
    if not places:
        console.line("all data sets are ready.")
        return
    sizes = {(place.folder, one.name): one.bytes for place in places for one in place.to_fetch}
    unknown = sum(not size for size in sizes.values())
    more = f" and {unknown} files of unknown size" if unknown else ""
    console.line(f"not ready: {', '.join(place.name for place in places)}.")
    console.line(
        f"all of them: {console.size(sum(sizes.values()))}{more}. Name those to fetch: bench data prepare NAME..."
    )


def _count(number: int | None) -> str:
    return "–" if number is None else str(number)


def _download(row: dict[str, Any]) -> str:
    known = [] if row["bytes"] is None else [console.size(row["bytes"])]
    return " + ".join([*known, *["?"] * bool(row["files_of_unknown_size"])]) or "–"
