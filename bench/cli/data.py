"""What the verbs of `bench data` do."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import console
from bench.data.download.prepare import Place, every, prepare
from bench.data.library import Library
from bench.errors import BenchError
from bench.registry import load_plugin_file
from bench.settings.schema import load_config

EXIT_BROKEN, EXIT_LEFT = 2, 4
NAMED = 5  # broken images that are named


@dataclass(frozen=True)
class Wanted:
    """What was named on the command line; `mode` is of all data sets that are named without one."""

    names: Sequence[str]
    mode: str | None = None
    config: str | None = None
    plugins: Sequence[str] = ()

    def roots(self) -> dict[str, str]:
        """Folders by registered name, from the settings, after plugins are imported."""
        for plugin in self.plugins:
            load_plugin_file(plugin)
        return dict(Library.of(load_config(self.config).settings.dataset).roots)

    def places(self) -> list[Place]:
        """The data sets that are named; of those named twice the first.

        Raises:
            BenchError: one is unknown, or has no such mode.
        """
        roots = self.roots()
        found: dict[str, Place] = {}
        for name in self.names:
            place = Place(f"{name}[mode={self.mode}]" if self.mode and "[" not in name else name, roots)
            found.setdefault(place.name, place)
        return list(found.values())


def list_data(wanted: Wanted, as_json: bool) -> int:
    """`bench data list`."""
    rows = [_row(place) for place in every(wanted.roots())]
    if as_json:
        console.as_json(rows)
        return 0
    shown = [
        [row["name"], _count(row["classes"]), _count(row["images"]), _download(row), row["mode"] or "–", row["state"],
         row["where"] or "–"]
        for row in rows
    ]  # fmt: skip
    console.table(["name", "classes", "images", "download", "mode", "state", "where"], shown)
    return 0


def prepare_data(wanted: Wanted, again: bool) -> int:
    """`bench data prepare`."""
    if not wanted.names:
        return _offer(wanted)
    left = []
    for place in wanted.places():
        steps = prepare(place, again=again, listener=console)
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
    return EXIT_LEFT if left else 0


def verify_data(wanted: Wanted) -> int:
    """`bench data verify`; without a name, of every data set that is ready."""
    places = wanted.places() or [place for place in every(wanted.roots()) if place.state == "ready"]
    if not places:
        raise BenchError("no data set in files is ready; name one, or fetch one first: bench data prepare NAME.")
    sound = [_verified(place) for place in places]
    return 0 if all(sound) else EXIT_BROKEN


def _verified(place: Place) -> bool:
    from bench.data.download.verify import verify

    with console.amount(place.name, "images") as report:
        found = verify(place, report)
    for text in (*found.problems, *found.broken[:NAMED]):
        console.error(text)
    if len(found.broken) > NAMED:
        console.error(f"dataset {place.name}: {len(found.broken):,} images in all cannot be decoded.")
    if found.images:
        parts = " + ".join(f"{count:,}" for count in found.images)
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
    """One line of the list; None where a number is not known without opening the data."""
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


def _offer(wanted: Wanted) -> int:
    """Which data sets can be named, and what all of them would come to."""
    places = [place for place in every(wanted.roots()) if place.state not in ("embedded", "ready")]
    if not places:
        console.line("all data sets are ready.")
        return 0
    sizes = {(place.folder, one.name): one.bytes for place in places for one in place.to_fetch}
    unknown = sum(not size for size in sizes.values())
    more = f" and {unknown} files of unknown size" if unknown else ""
    console.line(f"not ready: {', '.join(place.name for place in places)}.")
    console.line(
        f"all of them: {console.size(sum(sizes.values()))}{more}. Name those to fetch: bench data prepare NAME..."
    )
    return 0


def _count(number: int | None) -> str:
    return "–" if number is None else str(number)


def _download(row: dict[str, Any]) -> str:
    known = [] if row["bytes"] is None else [console.size(row["bytes"])]
    return " + ".join([*known, *["?"] * bool(row["files_of_unknown_size"])]) or "–"
