"""A page of records for tests, and its structure as a strict parser sees it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

from bench.records.record import Record
from bench.reports.frame import tidy
from bench.reports.front_page import front_page_of
from bench.reports.html.page import html_page, page_data
from bench.reports.tables.kinds import KINDS

DEFAULTS = {"gce-coop": {"q": 0.7}}
VOID = {"meta", "input", "br", "link", "img", "hr"}


def made(records: Sequence[Record], problems: Sequence[str] = ()) -> str:
    """The page with the tables of a report."""
    frame = tidy(records, DEFAULTS)
    tables = [table for kind in KINDS.values() for table in kind.tables(frame)]
    return html_page(page_data(frame, records), front_page_of(frame, tables, problems=problems))


def decode(column: dict[str, list[Any]], count: int) -> list[Any]:
    """The values of an encoded column of `count` rows."""
    if "raw" in column:
        return column["raw"]
    return [column["values"][code] for code in column.get("codes", [0] * count)]


class Structure(HTMLParser):
    """Elements as (tag, attributes, path of open tags), the text of each by its number, and what is not well formed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.texts: dict[int, str] = {}
        self.problems: list[str] = []
        self._open: list[tuple[str, int]] = []
        self.feed(text)
        self.close()
        self.problems += [f"{tag} is not closed" for tag, _ in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        self.problems += [f"{tag} has {name} twice" for name in set(names) if names.count(name) > 1]
        self.elements.append((tag, dict(attrs), tuple(name for name, _ in self._open)))
        if tag not in VOID:
            self._open.append((tag, len(self.elements) - 1))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1][0] != tag:
            self.problems.append(f"</{tag}> at {self.getpos()} where {self._open[-1:]} is open")
            return
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for _, number in self._open:
            self.texts[number] = self.texts.get(number, "") + data

    def all(self, tag: str) -> list[tuple[int, dict[str, str | None], tuple[str, ...]]]:
        """Number, attributes and path of each element of a tag."""
        return [(i, attributes, path) for i, (name, attributes, path) in enumerate(self.elements) if name == tag]

    def data(self, name: str) -> Any:
        """A block of data of the page's script."""
        found = [i for i, attributes, _ in self.all("script") if attributes.get("id") == f"data-{name}"]
        return json.loads(self.texts[found[0]])
