"""The page: what the template shows, and the data that its script reads."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from bench.errors import in_line
from bench.records.record import Record
from bench.reports.document import Code, Emphasis, Ranks, Table, Words
from bench.reports.figures.style import look
from bench.reports.front_page import ALL_FINISHED, FrontPage
from bench.reports.html.columns import cell_columns, detail_columns, embedded, readable
from bench.reports.html.curves import Thinning, curve_block, thinning
from bench.reports.html.environment import escaping_environment, file_text, raw_text
from bench.reports.html.overview import SettingOverview, environments, oracles, overviews, span
from bench.reports.names import SIGNS, noise_name
from bench.reports.tables.summary import short_names
from bench.standing import NEAR

SCRIPTS = ("data", "theme", "tables", "chart", "curves", "cells", "cell", "main")


def page_data(frame: pd.DataFrame, records: Sequence[Record]) -> dict[str, Any]:
    """Collect what the page shows of the records, by the template's names; records that `frame` lacks are ignored."""
    by_key = {record.key: record for record in records}
    chosen = [by_key[key] for key in frame["key"]]
    thin = thinning(chosen)
    return {
        "overviews": (shown := overviews(frame)),
        "short": short_names(frame),
        "oracles": oracles(frame, chosen),
        "environments": environments(chosen),
        "span": span(chosen),
        "thinning": thin.sentence(),
        "blocks": _blocks(frame, chosen, shown, thin),
    }


def html_page(data: Mapping[str, Any], front: FrontPage) -> str:
    """Render the report as one HTML file without outside resources, from its `page_data`."""
    context = {
        **data,
        "front": front,
        "places": _places(front),
        "several": len(front.settings) > 1,
        "dot": NEAR,
        "all_finished": ALL_FINISHED,
        "style": raw_text("vendor/uPlot.min.css") + raw_text("page.css"),
        "licence": escape(file_text("vendor/uPlot.LICENSE")),
        "uplot": raw_text("vendor/uPlot.iife.min.js"),
        "script": Markup("\n").join(raw_text(f"script/{name}.js") for name in SCRIPTS),
    }
    environment = escaping_environment()
    environment.filters |= {"heads": _heads, "said": _said, "minus": _minus, "captioned": _captioned}
    environment.globals["picture"] = _picture
    return environment.get_template("page.html.j2").render(context)


def _blocks(
    frame: pd.DataFrame, records: Sequence[Record], settings: Sequence[SettingOverview], thin: Thinning
) -> dict[str, Markup]:
    """Collect the data of the script, by the id of its element; each is parsed when it is first needed."""
    rows = frame[["label", "method", "variant", "section"]].drop_duplicates().itertuples(index=False, name=None)
    looks = {label: look(method, variant, section) for label, method, variant, section in rows}
    chosen: dict[str, dict[int, Record]] = {}
    for row, (name, record) in enumerate(zip(frame["setting"], records, strict=True)):
        chosen.setdefault(name, {})[row] = record
    short = short_names(frame)
    index = {
        "count": len(frame),
        "settings": {setting.name: [setting.words, setting.measured, short[setting.name]] for setting in settings},
        "looks": {label: [shape.color, shape.marker, _dash(shape.dash)] for label, shape in looks.items()},
        "signs": {status: words for status, (_, words) in SIGNS.items()},
        "noises": {kind: noise_name(kind) for kind in frame["noise"].unique()},
        "columns": cell_columns(frame),
    }
    curves = {f"curves-{number}": curve_block(chosen[setting.name], thin) for number, setting in enumerate(settings)}
    data = {"cells": index, "details": detail_columns(records), **curves}
    return {name: Markup(embedded(readable(block))) for name, block in data.items()}  # noqa: S704 - escaped by `embedded`


def _dash(dash: Any) -> list[float]:
    return [] if dash == "-" else [1.0, 1.5] if dash == ":" else list(dash[1])


def _places(front: FrontPage) -> dict[str, str]:
    """Return the id of each table's element, by the table's name."""
    found = {t.name: f"table-{i}-{j}" for i, s in enumerate(front.settings) for j, t in enumerate(s.tables)}
    return found | {table.name: f"table-more-{j}" for j, table in enumerate(front.others)}


def _picture(ranks: Ranks) -> str:
    """Draw mean ranks as a picture in an address, even in a report without figures; empty of too many methods."""
    from bench.reports.figures.ranks import ranks_svg  # and matplotlib with it

    drawn = ranks_svg(ranks.ranking, ranks.colors)
    return f"data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()}" if drawn else ""


def _said(words: Words) -> Markup:
    """Format the pieces of a sentence as HTML."""
    tags = {Code: Markup("<code>{}</code>"), Emphasis: Markup("<em>{}</em>")}
    return Markup("").join(tags.get(type(piece), Markup("{}")).format(in_line(piece)) for piece in words)


def _minus(text: str) -> str:
    """Write a number with a minus sign for its hyphen."""
    return f"\u2212{text[1:]}" if re.match(r"-\d", text) else text


def _captioned(table: Table) -> str:
    """Join the sentences of a caption, which does not name the setting that it stands under."""
    first = f"{table.title}." if table.title else table.caption[0]
    return " ".join([first, *(re.sub(f"^{NEAR}:", f"Grey, {NEAR}:", text) for text in table.caption[1:])])


def _heads(table: Table) -> list[tuple[str, int]]:
    """List the groups of a table's columns with their widths; none where no column has one."""
    groups = [(group, len(list(members))) for group, members in groupby(group for group, _ in table.head)]
    return groups if any(group for group, _ in groups) else []
