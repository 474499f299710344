from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from reports import figures
from reports.figures import Drawn, draw
from reports.frame import curves, tidy
from reports.style import KNOWN, look
from tests.reports.factory import GRID, cell, grid, record

RECORDS = grid(methods=("zero-shot", "coop", "gce-coop"), epochs=6)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Drawn]:
    frame = tidy(RECORDS)
    return draw(frame, curves(RECORDS, frame), tmp_path_factory.mktemp("figures"))


@pytest.fixture
def png_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """One format, where the test is about what is drawn."""
    monkeypatch.setattr(figures, "_METADATA", {"png": {"Software": None}})


def test_every_figure_comes_in_three_formats_with_its_data(drawn: list[Drawn]):
    assert [d.kind for d in drawn] == ["overview", "accuracy", "memorization"]
    for figure in drawn:
        assert [p.suffix for p in figure.files] == [".pdf", ".svg", ".png", ".csv"]
        assert all(p.stat().st_size > 500 for p in figure.files)


def test_text_is_text(drawn: list[Drawn]):
    pdf, svg = drawn[1].files[:2]
    assert b"/Subtype /Type3" not in pdf.read_bytes()
    assert ">GCE-CoOp</text>" in svg.read_text(encoding="utf-8")


def test_the_data_behind_the_accuracy_figure(drawn: list[Drawn]):
    data = pd.read_csv(drawn[1].files[3])
    chosen = data[(data["label"] == "CoOp") & (data["panel"] == "asymmetric")].set_index("rate_percent")
    assert list(chosen.index) == [0, 25, 50]
    mine = [r.accuracy["last"] for r in RECORDS if (r.cell.method, r.cell.noise) == ("coop", "none")]
    assert chosen.loc[0, "mean"] == pytest.approx(100 * sum(float(a or 0) for a in mine) / len(mine), rel=1e-5)


def test_the_overview_shows_half_symmetric_noise(drawn: list[Drawn]):
    data = pd.read_csv(drawn[0].files[3])
    memorized = data[data["panel"] == "memorized"]
    assert set(memorized["noise"]) == {"symmetric"}
    assert set(memorized["rate"]) == {0.5}


def test_no_panel_cuts_a_curve_off(tmp_path: Path, png_only: None, monkeypatch: pytest.MonkeyPatch):
    """Panels of a row share their scale, so the last must fit as well as the first."""
    kept = []
    monkeypatch.setattr(figures, "legend", lambda figure, panels, looks: kept.append(panels))
    records = grid(methods=("coop",), columns=[("symmetric", 0.25), ("asymmetric", 0.5)], oracle=False, epochs=3)
    for each in records:
        if each.cell.noise == "asymmetric":
            each.curve["memorized"] = [0.1, 0.5, 0.8, 0.9]
    draw(tidy(records), curves(records, tidy(records)), tmp_path)
    for axes in (axes for panels in kept for axes in panels):
        for line in axes.get_lines():
            values = [float(y) for y in line.get_ydata() if y == y]
            assert axes.get_ylim()[0] <= min(values), axes.get_ylabel()
            assert max(values) <= axes.get_ylim()[1], axes.get_ylabel()


def test_many_rates_make_several_memorization_figures(tmp_path: Path, png_only: None):
    columns = [("symmetric", 0.1 * i) for i in range(1, 6)]
    records = grid(methods=("coop",), columns=columns, oracle=False, epochs=2, seeds=(1,))
    drawn = draw(tidy(records), curves(records, tidy(records)), tmp_path)
    assert [d.name.rpartition("-")[2] for d in drawn if d.kind == "memorization"] == ["1", "2"]


@pytest.mark.parametrize(
    "records",
    [
        [record(cell())],
        [record(cell(), status="failed")],
        [record(cell("zero-shot", "symmetric", 0.5))],
        [record(cell("a$b_c%", "symmetric", 0.5, epochs=2))],
        grid(methods=("coop",), seeds=(1,), columns=GRID[1:2], oracle=False, epochs=2),
    ],
    ids=["clean-only", "failed", "zero-shot-only", "awkward", "one-point"],
)
def test_thin_stores_draw_without_a_warning(records: list, tmp_path: Path, png_only: None):
    frame = tidy(records)
    for figure in draw(frame, curves(records, frame), tmp_path):
        assert figure.files[0].is_file()


def test_a_look_belongs_to_a_name():
    assert look("coop", "coop", "method") == KNOWN["coop"]
    variant = look("coop", "coop[context=4]", "method")
    assert (variant.color, variant.marker) == (KNOWN["coop"].color, KNOWN["coop"].marker)
    assert variant.dash != KNOWN["coop"].dash
    assert look("theirs", "theirs", "method") == look("theirs", "theirs", "method")
    assert look("coop", "coop", "oracle").color == "#777777"
    assert len({(k.color, k.marker) for k in KNOWN.values()}) == len(KNOWN)


def test_many_rows_are_drawn_family_by_family(tmp_path: Path, png_only: None):
    methods = ("zero-shot", "coop", "gce-coop", "promptmae", "sce", "elr", "joapr", "dividemix", "nlprompt", "plot")
    records = grid(methods=(*methods, "maple", "visprompt", "my-method"), epochs=6)
    frame = tidy(records)
    names = {d.name: d for d in draw(frame, curves(records, frame), tmp_path)}
    families = ("losses", "relabelling", "splits", "prompts", "others")
    accuracy = {name.rpartition("-")[2]: drawn for name, drawn in names.items() if name.startswith("accuracy")}
    assert list(accuracy) == list(families)
    for drawn in accuracy.values():
        assert {"Zero-shot", "CoOp"} <= set(pd.read_csv(drawn.files[-1])["label"])
    assert "methods that split the set" in accuracy["splits"].caption
    assert {d.setting for d in names.values()} == set(frame["setting"])


def test_a_large_family_is_drawn_without_and_then_with_its_variants(tmp_path: Path, png_only: None):
    records = grid(methods=("zero-shot", "coop", "gce-coop", "promptmae"), epochs=6)
    for q in range(1, 13):
        records += grid(methods=("gce-coop",), epochs=6, oracle=False, options={"q": q / 20})
    frame = tidy(records, {"gce-coop": {"q": 0.7}})
    drawn = [d for d in draw(frame, curves(records, frame), tmp_path) if d.name.startswith("accuracy")]
    plain, variants = (set(pd.read_csv(d.files[-1])["label"]) for d in drawn)
    assert [d.name.rpartition("epochs-")[2] for d in drawn] == ["losses", "losses-variants"]
    assert {"GCE-CoOp", "PromptMAE", "CoOp"} <= plain
    assert not any("q=" in label for label in plain)
    assert "PromptMAE" not in variants
    assert sum("q=" in label for label in variants) == 12
