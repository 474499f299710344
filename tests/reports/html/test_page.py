from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.grid.expansion import expand
from bench.grid.overrides import override
from bench.records.parts import Accuracy, Curve, Provenance
from bench.records.record import Record
from bench.reports.build import build_report
from bench.reports.frame import curves, tidy
from bench.reports.front_page import front_page_of
from bench.reports.html.columns import CELLS, embedded, encode, settings
from bench.reports.html.curves import BUDGET, curve_block, thinning
from bench.reports.html.overview import overviews, span
from bench.reports.html.page import html_page, page_data
from bench.reports.tables.accuracy import accuracy_tables
from bench.settings.schema import load_config
from tests.reports.factory import GRID, cell, changed, grid, record
from tests.reports.html.pages import DEFAULTS, Structure, decode, made

NASTY = "</script><script>alert(1)</script>&amp;\"'100%_x<!--"
FAILED = record(cell("joapr", "symmetric", 0.25, 1), status="failed", reason=f"ValueError: {NASTY}")
SMALL = [*grid(seeds=(1, 2, 3), epochs=4), FAILED, record(cell(NASTY, "symmetric", 0.5, 1, epochs=4))]


@pytest.fixture(scope="module")
def structure() -> Structure:
    return Structure(made(SMALL, problems=[f"{NASTY}.json is torn"]))


def test_the_page_is_well_formed_and_its_references_hold(structure: Structure):
    assert structure.problems == []
    ids = [attributes["id"] for _, attributes, _ in structure.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes, _ in structure.elements:
        for name in ("aria-labelledby", "for"):
            assert attributes.get(name) is None or attributes[name] in ids
        target = attributes.get("href") or ""
        assert target[1:] in ids or not target
    assert structure.elements[0][:2] == ("html", {"lang": "en"})


def test_every_table_has_a_caption_and_every_heading_a_scope(structure: Structure):
    tables = structure.all("table")
    captions = [structure.texts[i] for i, _, _ in structure.all("caption")]
    assert len(captions) == len(tables) > 5
    assert all(text.strip() for text in captions)
    scopes = {attributes.get("scope") for _, attributes, _ in structure.all("th")}
    assert scopes == {"col", "row", "colgroup", "rowgroup"}
    sortable = [i for i, attributes, _ in structure.all("th") if attributes.get("aria-sort") == "none"]
    assert sortable


def test_nothing_is_loaded_from_anywhere(structure: Structure):
    for tag, attributes, _ in structure.elements:
        assert "src" not in attributes, tag
        assert tag not in {"link", "iframe", "object", "img", "base"}
    styles = " ".join(structure.texts[i] for i, _, _ in structure.all("style"))
    assert "url(" not in styles
    assert "@import" not in styles
    policy = [a["content"] for _, a, _ in structure.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"]


def test_a_users_text_stays_text(structure: Structure):
    blocks = {a.get("id") for _, a, _ in structure.all("script") if a.get("type") == "application/json"}
    plain = [a for _, a, _ in structure.all("script") if a.get("type") is None]
    assert blocks == {"data-cells", "data-details", "data-curves-0", "data-curves-1"}
    assert len(plain) == 2
    labels = [structure.texts[i] for i, a, _ in structure.all("th") if a.get("scope") == "row"]
    assert NASTY in labels
    shown = [structure.texts.get(i, "") for i, _, _ in [*structure.all("td"), *structure.all("li")]]
    assert f"ValueError: {NASTY}" in shown
    assert f"{NASTY}.json is torn" in shown


def test_the_cells_of_the_page_are_those_of_the_frame(structure: Structure):
    frame, data = tidy(SMALL, DEFAULTS), structure.data("cells")
    assert data["count"] == len(frame)
    for name in CELLS:
        found = decode(data["columns"][name], len(frame))
        if frame[name].dtype.kind == "f":
            np.testing.assert_allclose(np.array(found, dtype=float), frame[name], rtol=1e-5, equal_nan=True)
        else:
            assert found == frame[name].tolist(), name
    assert set(data["looks"]) == set(frame["label"])


def test_the_curves_of_the_page_are_those_of_the_records(structure: Structure):
    frame = tidy(SMALL, DEFAULTS)
    expected = curves(SMALL, frame).set_index(["key", "quantity", "epoch"])["value"]
    rows = {}
    for number in range(frame["setting"].nunique()):
        block = structure.data(f"curves-{number}")
        for row, (epochs, texts) in block["cells"].items():
            for name, text in texts.items():
                for epoch, part in zip(block["epochs"][epochs], text.split(","), strict=True):
                    if part:
                        rows[frame["key"][int(row)], name, epoch] = float(part) / (block["scale"][name] or 1)
    done = pd.Series({key: v for key, v in rows.items() if key[0] in set(expected.index.get_level_values(0))})
    done = done.rename_axis(expected.index.names)
    assert set(done.index) == set(expected.index)
    assert float((done - expected.loc[done.index]).abs().max()) <= 0.0500001
    assert {FAILED.key} < {key for key, _, _ in rows}


def test_means_of_the_table_are_those_of_the_records(structure: Structure):
    frame = pd.DataFrame([{**r.cell.model_dump(), "last": 100 * float(r.accuracy.last or 0)} for r in SMALL[:-2]])
    frame = frame[(frame["subset"] == "all") & (frame["method"] == "visprompt")]
    means = frame.groupby(["noise", "rate"])["last"].mean()
    rows = [i for i, a, path in structure.all("th") if "tbody" in path and structure.texts[i] == "VisPrompt"]
    cells = [float(a["data-v"] or "nan") for i, a, _ in structure.all("td") if i > rows[0] and "data-v" in a][:5]
    assert cells == pytest.approx([means[column] for column in GRID], rel=1e-5)


def test_negative_numbers_have_a_minus_sign(structure: Structure):
    cells = [structure.texts.get(i, "") for i, _, _ in structure.all("td")]
    assert any(text.startswith("\u2212") for text in cells)
    assert not any(re.match(r"-\d", text) for text in cells)


def test_the_best_method_is_named_with_those_it_is_not_told_from():
    levels = {"coop": 0.60, "gce-coop": 0.79, "promptmae": 0.80}
    records = [
        record(cell(name, seed=seed), level + 0.02 * (-1) ** seed * (name == "promptmae"))
        for name, level in levels.items()
        for seed in (1, 2, 3, 4)
    ]
    (best,) = overviews(tidy(records, DEFAULTS))[0].best
    assert (best.label, best.n, best.near) == ("PromptMAE", 4, "GCE-CoOp")
    assert best.mean == pytest.approx(80)
    assert math.isnan(best.zero_shot)
    one = overviews(tidy([r for r in records if r.cell.seed == 1], DEFAULTS))[0].best[0]
    assert one.near == "unknown with one seed"
    alone = overviews(tidy([r for r in records if r.cell.method == "coop"], DEFAULTS))[0].best[0]
    assert alone.near == "no other method"
    late = [record(cell("elr", seed=seed), 0.99) for seed in (2, 3, 4, 5)]
    with_late = overviews(tidy([*records, *late], DEFAULTS))[0].best[0]
    assert (with_late.label, with_late.left_out) == ("PromptMAE", "ELR")
    assert "GCE-CoOp (not ranked, with other seeds or wrong labels: ELR)" in made([*records, *late])


def test_an_unstable_method_is_not_called_near_the_best():
    levels = {"coop": (0.9, 0.901, 0.902), "promptmae": (0.7, 0.999, 0.98), "joapr": (0.6, 0.601, 0.602)}
    records = [record(cell(m, seed=s), value) for m, found in levels.items() for s, value in enumerate(found)]
    (best,) = overviews(tidy(records, DEFAULTS))[0].best
    assert (best.label, best.near) == ("CoOp", "none")
    alike = [record(cell(m, seed=s), 0.9 + s / 1e5) for m in ("coop", "joapr") for s in (1, 2, 3)]
    assert overviews(tidy(alike, DEFAULTS))[0].best[0].near == "JoAPR"


@pytest.mark.parametrize("method", ["coop", "gce-coop", "visprompt", "zero-shot"])
def test_the_command_of_a_cell_asks_for_exactly_this_cell(method: str):
    config = load_config()
    sets = [f"method={method}", "noise=instance[temperature=0.5]", "rate=0.125", "seed=7", "epochs=3", "views=2"]
    wanted = expand(override(config, "quick", sets), "quick").cells[0]
    found = expand(override(config, "quick", list(settings(wanted.cell).values())), "quick").cells
    assert [(planned.key, planned.cell) for planned in found] == [(wanted.key, wanted.cell)]
    assert settings(cell(dataset="folder:a/my, birds"))["dataset"] == 'dataset="folder:my, birds"'


def test_a_users_folder_stands_by_its_name():
    told = Structure(made([record(cell(dataset="folder:/home/somebody/birds", epochs=2))]))
    assert "somebody" not in "".join(told.texts.values())
    assert "folder:birds" in told.texts[0]


def _odd(record_: Record) -> Record:
    """As a record is that was read from a file with numbers that no JSON has."""
    values = Accuracy.model_construct(last=math.nan, best=math.inf, selected=None)
    curve = {name: [math.nan, *column[1:]] for name, column in record_.curve.columns.items() if name != "epoch"}
    return record_.model_copy(update={"accuracy": values, "curve": record_.curve.model_copy(update=curve)})


@pytest.mark.parametrize(
    "records",
    [
        [record(cell(seed=s, epochs=2), status="diverged") for s in (1, 2)],
        [record(cell(epochs=2))],
        [record(cell("zero-shot"))],
        [_odd(record(cell(noise="symmetric", rate=0.5, epochs=2))), record(cell(seed=2, epochs=2))],
        [record(cell(f"m_{i}%", *column, epochs=1)) for i, column in itertools.product(range(400), GRID[:2])],
        [record(cell(epochs=2)).model_copy(update={"curve": Curve()})],
        [record(cell(dataset=name, noise="given", epochs=1)) for name in ("a_b", "50%")],
    ],
    ids=["all failed", "one method", "zero-shot alone", "non-finite", "400 methods", "no curve", "no rate"],
)
def test_odd_stores_make_a_page(records: Sequence[Record]):
    told = Structure(made(records))
    assert told.problems == []
    assert told.data("cells")["count"] == len(records)
    assert "nan" not in re.sub(
        r"loss is nan.*?steps", "", " ".join(told.texts.get(i, "") for i, _, _ in told.all("td"))
    )


def test_long_lists_and_confusions_are_left_out():
    noise = {"kind": "symmetric", "digest": "a" * 64, "per_class_rate": [i / 1000 for i in range(1000)],
             "confusion": [[i, i + 1, 1] for i in range(999)]}  # fmt: skip
    data = {"class_names": [f"class {i}" for i in range(1000)], "digest": "b" * 64}
    told = Structure(made([changed(record(cell(epochs=2)), noise=noise, data=data)]))
    columns = told.data("details")["columns"]
    assert columns["noise.per_class_rate"]["values"] == ["1000 values from 0 to 0.999"]
    assert columns["data.class_names"]["values"] == ["1000 entries, class 0 to class 999"]
    assert columns["noise.digest"]["values"] == ["a" * 64]
    assert not [name for name in columns if "confusion" in name]


def test_curves_are_thinned_to_evaluated_epochs_first_and_evenly_after():
    base = record(cell(epochs=50))
    test = [value if i % 5 == 0 else None for i, value in enumerate(base.curve.test_accuracy)]
    base = base.model_copy(update={"curve": base.curve.model_copy(update={"test_accuracy": test})})
    assert thinning([base]).sentence() == "Curves hold every epoch of the records."
    quantities = len(curve_block({0: base}, thinning([base]))["scale"])
    evaluated = thinning([base], budget=11 * quantities)
    assert curve_block({0: base}, evaluated)["epochs"] == [list(range(0, 51, 5))]
    few = thinning([base], budget=6 * quantities)
    assert curve_block({0: base}, few)["epochs"] == [[0, 10, 20, 30, 40, 50]]
    assert "at most 6 of them" in few.sentence()


@given(st.lists(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()), min_size=1))
def test_columns_hold_any_values(values: list[object]):
    found = decode(encode(values), len(values))
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@given(st.text())
def test_no_text_ends_its_script(text: str):
    assert not re.search(r"[<>&]", embedded({"text": text}))
    structure = Structure(f'<script id="data-x">{embedded([text])}</script>')
    assert structure.data("x") == [text]


def test_the_page_is_written_where_it_is_asked_for(tmp_path: Path):
    build_report(SMALL[:20], tmp_path / "a", frozenset({"html"}), defaults=DEFAULTS, figures=0)
    text = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "report.html" in (tmp_path / "a" / "report.md").read_text(encoding="utf-8")
    build_report(SMALL[:20][::-1], tmp_path / "b", frozenset({"html"}), defaults=DEFAULTS, figures=0)
    assert (tmp_path / "b" / "report.html").read_text(encoding="utf-8") == text
    build_report(SMALL[:20], tmp_path / "a", frozenset({"csv"}), defaults=DEFAULTS, figures=0)
    assert not (tmp_path / "a" / "report.html").exists()


def test_a_report_says_from_when_to_when_it_was_run():
    first, last = record(cell(seed=1)), record(cell(seed=2))
    assert span([first, last]) == ""
    first.provenance.started, last.provenance.finished = "2026-01-01T00:00:00+00:00", "2026-01-01T01:02:03+00:00"
    assert span([first, last]) == "2026-01-01, 00:00 to 01:02 UTC"
    last.provenance.finished = "2026-01-02T01:02:03+00:00"
    assert span([first, last]) == "2026-01-01, 00:00 to 2026-01-02, 01:02 UTC"
    last.provenance.finished = "2026-01-01T00:00:59+00:00"
    assert span([first, last]) == "2026-01-01, 00:00 UTC"


def test_the_licence_of_the_chart_library_is_in_the_file(structure: Structure):
    assert "Copyright (c) 2022 Leon Sorokin" in structure.texts[0]
    assert "Permission is hereby granted" in structure.texts[0]


def many(count: int) -> list[Record]:
    """Records that differ in name, seed and noise and share their curves, which are those of long runs."""
    columns = [("none", 0.0), *(("symmetric", r / 16) for r in range(1, 10))]
    bases = {column: record(cell(noise=column[0], rate=column[1])) for column in columns}
    extra = {f"diagnostic_{i}": [float(x) for x in np.linspace(0.111111, 0.9, 51)] for i in range(8)}
    records = []
    for i in range(count):
        column = columns[i % 10]
        made_ = cell(f"method_{i // 50}", *column, i // 10 % 5)
        base = bases[column]
        noise = base.noise.model_copy(update={"digest": f"{i // 50:064x}"})
        provenance = Provenance(versions={"torch": "2.8.0"}, started=f"2026-01-01T00:00:{i:05d}")
        fields = {"cell": made_, "key": f"{i:016x}", "noise": noise, "diagnostics": extra, "provenance": provenance}
        records.append(base.model_copy(update=fields))
    return records


@pytest.mark.slow
def test_five_thousand_cells_fit_in_ten_megabytes():
    records = many(5000)
    frame = tidy(records, DEFAULTS)
    tables = accuracy_tables(frame)
    began = time.perf_counter()
    text = html_page(page_data(frame, records), front_page_of(frame, tables))
    seconds = time.perf_counter() - began
    numbers = sum(len(t.split(",")) for _, texts in Structure(text).data("curves-0")["cells"].values()
                  for t in texts.values())  # fmt: skip
    assert len(text.encode()) < 10e6
    assert BUDGET / 2 < numbers <= BUDGET
    assert seconds < 60  # 4 on an idle core
