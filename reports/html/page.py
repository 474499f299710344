"""The page: what the template shows, and the data that its script reads."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from bench.records.record import Record
from bench.reports.document import Chapter, Code, Ranks, Table, Words
from bench.reports.figures.ranks import ranks_svg
from bench.reports.figures.style import look
from bench.reports.frame import truth_known
from bench.reports.html.columns import cell_columns, detail_columns, embedded
from bench.reports.html.curves import Thinning, curve_block, thinning
from bench.reports.html.overview import Setting, environments, missing, oracles, settings_of, span
from bench.reports.names import SIGNS, noise_name
from bench.reports.output.front_page import AS_NOISY, UNKNOWN, reading
from bench.reports.tables.summary import settings

HERE = Path(__file__).parent
SCRIPTS = ("data", "theme", "tables", "chart", "curves", "cells", "cell", "main")
_EMPHASIS = re.compile(r"(\*\*?)(.+?)\1")


def page(
    frame: pd.DataFrame,
    records: Sequence[Record],
    tables: Sequence[Table],
    problems: Sequence[str] = (),
    chapters: Sequence[Chapter] = (),
) -> str:
    """The report as the text of one HTML file without outside resources.

    Args:
        frame: of `bench.reports.frame.tidy`.
        records: those it was made of; others are ignored.
        tables: to be shown, of any kind; captions and notes are plain text.
        problems: a line per file of the store that is no record.
        chapters: what `report.md` says of statistics and published numbers; their tables are among `tables`.
    """
    by_key = {record.key: record for record in records}
    chosen = [by_key[key] for key in frame["key"]]
    thin = thinning(chosen)
    names = [name for name, _ in settings(frame)]
    own = {name: [table for table in tables if table.setting == name] for name in names}
    others = [table for table in tables if table.setting not in names]
    context = {
        "frame": _counts(frame),
        "reading": _emphasized(reading(frame).partition("** ")[2]),
        "settings": (overviews := settings_of(frame)),
        "tables": own,
        "others": others,
        "places": _places(own, others),
        "chapters": chapters,
        "remarks": {name: _remarks(part) for name, part in settings(frame)},
        "oracles": oracles(frame, chosen),
        "missing": missing(frame),
        "problems": list(problems),
        "environments": environments(chosen),
        "span": span(chosen),
        "thinning": thin.sentence(),
        "signs": {status: words for status, (_, words) in SIGNS.items()},
        "blocks": _blocks(frame, chosen, overviews, thin),
        "style": _raw("vendor/uPlot.min.css") + _raw("page.css"),
        "licence": _text("vendor/uPlot.LICENSE"),
        "uplot": _raw("vendor/uPlot.iife.min.js"),
        "script": Markup("\n").join(_raw(f"script/{name}.js") for name in SCRIPTS),
    }
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"heads": _heads, "said": _said, "minus": _minus}
    environment.globals["picture"] = _picture
    return environment.get_template("page.html.j2").render(context)


def _blocks(
    frame: pd.DataFrame, records: Sequence[Record], settings: Sequence[Setting], thin: Thinning
) -> dict[str, Markup]:
    """The data of the script, by the id of its element; each is parsed when it is first needed."""
    looks = {
        label: look(method, variant, section)
        for label, method, variant, section in zip(
            frame["label"], frame["method"], frame["variant"], frame["section"], strict=True
        )
    }
    index = {
        "count": len(frame),
        "settings": {setting.name: [setting.words, setting.measured] for setting in settings},
        "looks": {label: [shape.color, shape.marker, _dash(shape.dash)] for label, shape in looks.items()},
        "signs": {status: words for status, (_, words) in SIGNS.items()},
        "noises": {kind: noise_name(kind) for kind in frame["noise"].unique()},
        "columns": cell_columns(frame),
    }
    curves = {
        f"curves-{number}": curve_block(
            {row: records[row] for row, name in enumerate(frame["setting"]) if name == setting.name}, thin
        )
        for number, setting in enumerate(settings)
    }
    data = {"cells": index, "details": detail_columns(records), **curves}
    return {name: Markup(embedded(block)) for name, block in data.items()}  # noqa: S704 - escaped by `embedded`


def _dash(dash: Any) -> list[float]:
    return [] if dash == "-" else [1.0, 1.5] if dash == ":" else list(dash[1])


def _counts(frame: pd.DataFrame) -> dict[str, int]:
    return {"cells": len(frame), **{str(status): int(n) for status, n in frame["status"].value_counts().items()}}


def _remarks(part: pd.DataFrame) -> list[str]:
    """What holds for the data of one setting."""
    right = bool(part["test_truth"].all())
    test = "accuracy on the test set" if right else "agreement with the given test labels"
    texts = [] if truth_known(part) else [UNKNOWN.format(test=test)]
    return [*texts, *([] if right else [AS_NOISY]), *(text for text in part["notes"].drop_duplicates() if text)]


def _places(own: Mapping[str, Sequence[Table]], others: Sequence[Table]) -> dict[str, str]:
    """The id of each table's element, by the table's name."""
    found = {t.name: f"table-{i}-{j}" for i, tables in enumerate(own.values()) for j, t in enumerate(tables)}
    return found | {table.name: f"table-more-{j}" for j, table in enumerate(others)}


def _picture(ranks: Ranks) -> str:
    """Draw mean ranks as the address of a picture, whether or not the report has figures; empty of too many methods."""
    drawn = ranks_svg(ranks.ranking, ranks.colors)
    return f"data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()}" if drawn else ""


def _said(words: Words) -> Markup:
    """The pieces of a sentence, code as such."""
    pieces = [Markup("<code>{}</code>").format(p) if isinstance(p, Code) else escape(p) for p in words]
    return Markup("").join(pieces)


def _minus(text: str) -> str:
    """A number with a minus sign for its hyphen."""
    return f"\u2212{text[1:]}" if re.match(r"-\d", text) else text


def _heads(table: Table) -> list[tuple[str, int]]:
    """The groups of a table's columns with their widths; none where no column has one."""
    groups = [(group, len(list(members))) for group, members in groupby(group for group, _ in table.head)]
    return groups if any(group for group, _ in groups) else []


def _emphasized(text: str) -> Markup:
    """Plain text in which `*` and `**` mark emphasis."""
    return Markup(_EMPHASIS.sub(r"<em>\2</em>", str(escape(text))))  # noqa: S704 - escaped before


def _raw(name: str) -> Markup:
    return Markup(_text(name))  # noqa: S704 - a file of this package


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
