"""Names of data sets, backbones, noise and methods, marked where one name had different contents.

Files behind a name can change, and so can the code of a plugin. Every record holds digests that tell. Code that groups
records by name must take these names, so that two different experiments never become seeds of one.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

from bench.dataset_name import shown
from bench.records.cell import Cell
from bench.records.parts import Resolved
from bench.records.record import Record

Field = Literal["dataset", "backbone", "noise", "method"]
FIELDS: Final[tuple[Field, ...]] = get_args(Field)
Facets = Mapping[str, str]
DIGITS: Final = 6
UNRECORDED: Final = "unrecorded"
NOTHING_NOTED: Final = Resolved()
CONTENT: Final = "content"
NAMED: Final = ("engine", "dataset", "backbone", "noise", "method")  # other entries are losses and splits


class Content(NamedTuple):
    """Digests of a cell's data, weights and noise files; empty where unknown."""

    dataset: str = ""
    backbone: str = ""
    noise: str = ""

    def may_be(self, other: Content) -> bool:
        """Return whether no digest that both know differs."""
        return all(not mine or not theirs or mine == theirs for mine, theirs in zip(self, other, strict=True))


UNKNOWN: Final = Content()


@dataclass(frozen=True)
class RecordOrigin:
    """Versions and digests behind the names in one record's cell; empty texts where the record has none.

    Facets of a field are "content" (a digest of data, weights, or of a noise kind's options and files), "version",
    "code", and of a data set "prompts" (a digest of class names and templates, which a plugin may change alone).
    """

    record: Record

    def facets(self, field: Field) -> Facets:
        """Return the facets of one field."""
        versions = self._versions(field)
        if field == "dataset":
            return {CONTENT: self._data(), **versions, "prompts": self._prompts()}
        if field == "backbone":
            return {CONTENT: self._weights(), "code": self.sources.get("backbone", "")}
        if field == "noise":
            return {CONTENT: self._noise(), **versions, "code": self.sources.get("noise", "")}
        return {
            **versions,
            "code": self.sources.get("method", ""),
            **{f"{name} code": code for name, code in self.sources.items() if name not in NAMED},
        }

    @property
    def content(self) -> Content:
        """Digests of the cell's contents; records that differ here are different experiments."""
        return Content(self._data(), self._weights(), self._noise())

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the plugins behind the names; those that the record does not say are left out."""
        return {f"{field} {facet}": text for field in FIELDS for facet, text in self._versions(field).items() if text}

    @property
    def sources(self) -> Mapping[str, str]:
        """Digests of the code by part; empty where they were not recorded."""
        return self.record.provenance.sources

    def _versions(self, field: Field) -> Facets:
        noted = self._resolved
        if field == "dataset":
            return {"version": _version(noted.dataset)}
        if field == "noise":
            return {"version": _text(noted.noise.version) if noted.noise else ""}
        return {"version": _text(noted.method)} if field == "method" else {}

    def _data(self) -> str:
        kind, _, rest = self._resolved.dataset.partition(" ")
        return self.record.data.digest or (rest.partition(" ")[2] if kind == "folder" else "")

    def _noise(self) -> str:
        noise = self._resolved.noise
        return _short([noise.options, self.record.noise.foreign_digest]) if noise else ""

    def _prompts(self) -> str:
        told = [self.record.data.class_names, self.record.data.templates]
        return _short(told) if all(told) else ""

    def _weights(self) -> str:
        """Return the digest of a weights file; of a name, that of the weights that were loaded."""
        noted = self._resolved.backbone
        return noted if "sha256:" in noted else self.record.provenance.weights

    @property
    def further(self) -> Mapping[str, str]:
        """Versions in the key beside the method's: of losses and splits, and of the method under a condition."""
        return {f"{name} version": str(version) for name, version in (self._resolved.model_extra or {}).items()}

    @property
    def _resolved(self) -> Resolved:
        return self.record.provenance.resolved or NOTHING_NOTED


def differing(record: Record, other: Record) -> bool:
    """Return whether two records of one cell may stem from different code, data or weights."""
    one, two = RecordOrigin(record), RecordOrigin(other)
    return not one.sources or (one.content, one.sources) != (two.content, two.sources)


def newest(records: Iterable[Record]) -> list[Record]:
    """Select the last record of each cell with the same data, weights and files, in the order of the keys.

    Earlier ones of other versions of a plugin are superseded by it; those of other contents are not. A record that did
    not finish and does not say its contents supersedes the last one before it that may have the same, and is superseded
    by any later one of its cell.
    """
    cells: dict[str, list[Record]] = defaultdict(list)
    for record in in_time(records):
        cells[record.cell.model_dump_json()].append(record)
    return sorted((record for found in cells.values() for record in _last(found)), key=lambda record: record.key)


def in_time(records: Iterable[Record]) -> list[Record]:
    """Sort records by the time at which they ended, and by key where that is the same or unknown."""
    return sorted(records, key=_time)


def _time(record: Record) -> tuple[str, str]:
    return record.provenance.finished, record.key


def _last(records: Sequence[Record]) -> Iterable[Record]:
    """Select the last record of each content, of the records of one cell in the order of time."""
    chosen: dict[Content, Record] = {}
    for record in records:
        content = RecordOrigin(record).content
        if record.status != "done" and "" in content:
            if record is not records[-1]:
                continue
            content = next((known for known in reversed(chosen) if known.may_be(content)), content)
        chosen.pop(content, None)
        chosen[content] = record
    return chosen.values()


def further_versions(records: Sequence[Record]) -> list[Facets]:
    """List each record's `RecordOrigin.further`; where others of its method and options have more, these are 1.

    A first version is not noted, so that the record says nothing of it; of one that notes no version these are empty.
    """
    origins = [RecordOrigin(record) for record in records]
    known: dict[Hashable, set[str]] = defaultdict(set)
    for origin in origins:
        if origin.further:
            known[_learner(origin.record)] |= origin.further.keys()
    if not known:
        return [{}] * len(origins)
    first = ["1" if origin.facets("method")["version"] else "" for origin in origins]
    return [
        {**dict.fromkeys(sorted(known[_learner(origin.record)]), text), **origin.further}
        for origin, text in zip(origins, first, strict=True)
    ]


def _learner(record: Record) -> Hashable:
    return record.cell.method, json.dumps(record.cell.options, sort_keys=True)


def marks(
    records: Sequence[Record],
    field: Field,
    name: Callable[[int], Hashable],
    place: Callable[[int], Hashable] = lambda _: None,
) -> list[Facets]:
    """Find what must be added to the names of a field so that each means one thing.

    Args:
        records: any.
        field: of the cell.
        name: the name of record number i, with all that is told apart already.
        place: where its content is compared with others', since a file may be another one for each data set.

    Returns:
        For each record the facets in which records of its name differ, shortened; mostly none. A finished record that
        does not say what it stood for is `UNRECORDED` there; an unfinished one goes with the newest that does.
    """
    facets = [RecordOrigin(record).facets(field) for record in records]
    if field == "method":
        facets = [{**found, **more} for found, more in zip(facets, further_versions(records), strict=True)]
    known: dict[Hashable, dict[str, None]] = defaultdict(dict)

    def where(number: int, facet: str) -> Hashable:
        return name(number), facet, place(number) if facet == CONTENT else None

    for number in sorted(range(len(records)), key=lambda number: _time(records[number])):
        for facet, value in facets[number].items():
            if value:
                values = known[where(number, facet)]
                values.pop(value, None)
                values[value] = None  # the newest last
    if all(len(values) < 2 for values in known.values()):
        return [{}] * len(records)
    marked: list[Facets] = []
    for number, found in enumerate(facets):
        done, mine = records[number].status == "done", {}
        for facet, value in found.items():
            values = known[where(number, facet)]
            if len(values) > 1:
                mine[facet] = _mark(facet, value or (UNRECORDED if done else next(reversed(values))), values)
        marked.append(mine)
    return marked


def marked(name: str, mark: Facets) -> str:
    """Append a mark to a name.

    >>> marked("digits", {"content": "a1b2c3", "version": "2"})
    'digits (a1b2c3, version 2)'
    """
    words = [value if facet == CONTENT else f"{facet} {value}" for facet, value in mark.items()]
    return f"{name} ({', '.join(words)})" if words else name


def dataset_names(records: Sequence[Record]) -> list[str]:
    """Return each record's data set for display, marked where one name had different images or labels."""
    names = [shown(record.cell.dataset) for record in records]
    return [marked(*pair) for pair in zip(names, marks(records, "dataset", names.__getitem__), strict=True)]


def backbone_names(records: Sequence[Record]) -> list[str]:
    """Return each record's backbone, marked where one name had different weights."""
    names = [record.cell.backbone for record in records]
    return [marked(*pair) for pair in zip(names, marks(records, "backbone", names.__getitem__), strict=True)]


def made_with(record: Record) -> dict[str, str]:
    """Return engine, torch, processor and data set code of a finished record; nothing of an unfinished one."""
    if record.status != "done":
        return {}
    noted = record.provenance
    code = noted.sources.get("dataset", "")
    made = {
        "engine": noted.sources.get("engine") or UNRECORDED,
        "torch": noted.versions.get("torch") or UNRECORDED,
        "processor": noted.processor or UNRECORDED,
    }
    return made | ({f"code of {shown(record.cell.dataset).partition('[')[0]}": code} if code else {})


def mixture(made: Iterable[Mapping[str, str]]) -> str:
    """Describe in a sentence how many records had which engine, torch and processor; empty if all agree."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in made:
        for name, value in one.items():
            counts[name][value] += 1
    parts = [
        f"{name} {', '.join(f'{_brief(name, value)} ({count})' for value, count in sorted(found.items()))}"
        for name, found in counts.items()
        if len(found) > 1
    ]
    return f"Not all records were made alike: {'; '.join(parts)}." if parts else ""


def _brief(name: str, value: str) -> str:
    return value[:DIGITS] if value != UNRECORDED and name.startswith(("engine", "code of")) else value


def _mark(facet: str, value: str, values: Iterable[str]) -> str:
    """Return a version whole, of a digest the first digits, or those of its hash if they collide."""
    if facet.endswith("version") or value == UNRECORDED:
        return value
    alike = len({_digits(one) for one in values}) < len(set(values))
    return _short(value)[:DIGITS] if alike else _digits(value)


def _digits(digest: str) -> str:
    return digest.rpartition(":")[2].rpartition("-")[2][:DIGITS]


def _version(noted: str) -> str:
    """Return the version in the identity of a registered data set or a user's folder."""
    parts = noted.split()
    return parts[1] if len(parts) > 1 else ""


def _text(version: int | None) -> str:
    return "" if version is None else str(version)


def _short(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def suffix(cell: Cell) -> str:
    """Return the suffix of a cell's method, one for all folds."""
    return f"@folds{cell.fold[1]}" if cell.fold else cell.suffix
