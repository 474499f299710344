from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.plugins import METHODS
from bench.records.parts import Curve
from bench.reports.document import Drawn
from bench.reports.figures import canvas
from bench.reports.figures.curves import thinned
from bench.reports.figures.folder import FigureFolder
from bench.reports.figures.kinds import KINDS, draw
from bench.reports.figures.style import COLUMN_WIDTH, TEXT_WIDTH, VERMILLION, Look, look, noise_looks
from bench.reports.frame import curves, tidy
from bench.reports.front_page import front_page_of
from bench.reports.names import noise_name
from bench.reports.output.markdown import markdown_report
from bench.rows import FAMILIES
from tests.reports.details import detailed
from tests.reports.drawing import Seen, draw_records
from tests.reports.factory import GRID, cell, grid, record

RATES = (("none", 0.0), ("symmetric", 0.5))
RECORDS = grid(methods=("zero-shot", "coop", "gce-coop", "visprompt"), columns=RATES, epochs=3)
OUTCOMES = detailed(RECORDS)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Drawn]:
    return draw_records(RECORDS, FigureFolder(tmp_path_factory.mktemp("figures")), outcomes=OUTCOMES.__getitem__)


def kinds(drawn: list[Drawn]) -> list[str]:
    return list(dict.fromkeys(figure.kind for figure in drawn))


def test_every_figure_comes_in_three_formats_with_its_data(drawn: list[Drawn]):
    assert kinds(drawn) == [kind for kind in KINDS if kind != "agreement"]
    for figure in drawn:
        assert [p.suffix for p in figure.files] == [".pdf", ".svg", ".png", ".csv"]
        assert all(p.stat().st_size > 300 for p in figure.files)
        assert "seed" in figure.caption
        assert "standard deviation" in figure.caption


def test_text_is_text(drawn: list[Drawn]):
    pdf, svg = drawn[1].files[:2]
    assert b"/Subtype /Type3" not in pdf.read_bytes()
    assert ">GCE-CoOp</text>" in svg.read_text(encoding="utf-8")


def test_the_data_behind_the_accuracy_figure(drawn: list[Drawn]):
    data = pd.read_csv(drawn[1].files[3])
    chosen = data[(data["label"] == "CoOp") & (data["panel"] == "symmetric")].set_index("rate_percent")
    assert list(chosen.index) == [0, 50]
    mine = [r.accuracy.last for r in RECORDS if (r.cell.method, r.cell.noise) == ("coop", "none")]
    assert chosen.loc[0, "mean"] == pytest.approx(100 * sum(float(a or 0) for a in mine) / len(mine), rel=1e-5)


def test_the_overview_shows_half_symmetric_noise(drawn: list[Drawn]):
    data = pd.read_csv(drawn[0].files[3])
    memorized = data[data["panel"] == "memorized"]
    assert set(memorized["noise"]) == {"symmetric"}
    assert set(memorized["rate"]) == {0.5}


def test_no_panel_cuts_a_curve_off(tmp_path: Path):
    """Panels of a row share their scale, so the last must fit as well as the first."""
    kept: list[list[Axes]] = []
    records = grid(methods=("coop",), columns=[("symmetric", 0.25), ("asymmetric", 0.5)], oracle=False, epochs=3)
    for each in records:
        if each.cell.noise == "asymmetric":
            each.curve.memorized = [0.1, 0.5, 0.8, 0.9]
    draw_records(records, Seen(tmp_path, look=lambda figure, _: kept.append(figure.axes)), "memorization", "learning")
    assert len(kept) == 2
    for axes in (axes for panels in kept for axes in panels):
        for line in axes.get_lines():
            values = [float(y) for y in line.get_ydata() if y == y]
            assert axes.get_ylim()[0] <= min(values), axes.get_ylabel()
            assert max(values) <= axes.get_ylim()[1], axes.get_ylabel()


def test_many_rates_make_several_memorization_figures(tmp_path: Path):
    columns = [("symmetric", 0.1 * i) for i in range(1, 7)]
    records = grid(methods=("coop",), columns=columns, oracle=False, epochs=2, seeds=(1,))
    drawn = draw_records(records, tmp_path)
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
def test_thin_stores_draw_without_a_warning(records: list, tmp_path: Path):
    for figure in draw_records(records, FigureFolder(tmp_path, ("png",))):
        assert figure.files[0].is_file()


def test_a_look_belongs_to_a_name():
    known = look("coop", "coop", "method")
    assert known == Look(VERMILLION, "o")
    variant = look("coop", "coop[context=4]", "method")
    assert (variant.color, variant.marker) == (known.color, known.marker)
    assert variant.dash != known.dash
    assert look("theirs", "theirs", "method") == look("theirs", "theirs", "method")
    assert look("coop", "coop", "oracle").color == "#777777"
    ours = [look(name, name, "method") for name in METHODS]
    assert len({(one.color, one.marker) for one in ours}) == len(ours)


def test_methods_of_a_figure_are_told_apart_in_grey():
    def lightness(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 116 * sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True)) ** (1 / 3) - 16

    for family in FAMILIES:
        names = [name for name in METHODS if METHODS.row(name).family in (family, "references")]
        for one, other in itertools.combinations([look(name, name, "method") for name in names], 2):
            assert (one.marker, one.dash) != (other.marker, other.dash)
            assert one.dash != other.dash or abs(lightness(one.color) - lightness(other.color)) > 7.5


def test_no_axis_of_percent_goes_beyond_its_end(tmp_path: Path):
    records = grid(methods=("zero-shot", "visprompt"), columns=(("none", 0.0),), oracle=False, epochs=3)
    for each in records:
        each.curve.split_precision = [1.0] * len(each.curve.epoch)
    seen: list[float] = []
    draw_records(records, Seen(tmp_path, look=lambda f, _: seen.extend(a.get_ylim()[1] for a in f.axes)), "splits")
    assert seen
    assert max(seen) < 105


def test_many_rows_are_drawn_family_by_family(tmp_path: Path):
    methods = ("zero-shot", "coop", "gce-coop", "promptmae", "sce", "elr", "joapr", "dividemix", "nlprompt", "plot")
    records = grid(methods=(*methods, "maple", "visprompt", "my-method"), epochs=6)
    accuracy = {d.name.rpartition("-")[2]: d for d in draw_records(records, tmp_path, "accuracy")}
    assert list(accuracy) == ["losses", "relabelling", "splits", "prompts", "others"]
    for drawn in accuracy.values():
        assert {"Zero-shot", "CoOp"} <= set(pd.read_csv(drawn.files[-1])["label"])
    assert "methods that split the set" in accuracy["splits"].caption
    assert {d.setting for d in accuracy.values()} == set(tidy(records)["setting"])


def test_a_large_family_is_drawn_without_and_then_with_its_variants(tmp_path: Path):
    records = grid(methods=("zero-shot", "coop", "gce-coop", "promptmae"), epochs=6)
    for q in range(1, 13):
        records += grid(methods=("gce-coop",), epochs=6, oracle=False, options={"q": q / 20})
    drawn = draw_records(records, tmp_path, "accuracy", defaults={"gce-coop": {"q": 0.7}})
    plain, variants = (set(pd.read_csv(d.files[-1])["label"]) for d in drawn)
    assert [d.name.rpartition("epochs-")[2] for d in drawn] == ["losses", "losses-variants"]
    assert {"GCE-CoOp", "PromptMAE", "CoOp"} <= plain
    assert not any("q=" in label for label in plain)
    assert "PromptMAE" not in variants
    assert sum("q=" in label for label in variants) == 12


def test_every_text_lies_within_its_figure_and_can_be_read(tmp_path: Path):
    """At the width at which it is printed: a column or the text."""
    seen = []

    def check(figure: Figure, name: str) -> None:
        seen.append(name)
        assert figure.get_figwidth() in (COLUMN_WIDTH, TEXT_WIDTH)
        renderer = FigureCanvasAgg(figure).get_renderer()
        box, (width, height) = figure.get_tightbbox(renderer), figure.get_size_inches()
        assert min(box.x0, box.y0) > -0.01, name
        assert box.x1 < width + 0.01, name
        assert box.y1 < height + 0.01, name
        assert all(text.get_fontsize() >= 7 for text in figure.findobj(Text) if text.get_text())

    columns = [("none", 0.0), ("symmetric-inclusive", 0.5), ("human[labels=aggregate]", 0.0), ("asymmetric", 0.125)]
    records = grid(methods=("zero-shot", "coop", "visprompt"), columns=columns, epochs=3)
    draw_records(records, Seen(tmp_path, look=check), outcomes=detailed(records).__getitem__)
    assert {name.partition("-")[0] for name in seen} == set(KINDS) - {"agreement"}


def test_where_the_truth_is_unknown_nothing_is_drawn_of_it(tmp_path: Path):
    records = grid(methods=("zero-shot", "coop", "visprompt"), columns=[("none", 0.0)], oracle=False, epochs=3)
    outcomes = detailed(records)
    for each in records:
        each.noise.truth = False
        each.curve.train_given_accuracy = [0.5] * len(each.curve.epoch)
        unknown = {"memorized", "loss_auroc", "split_precision", "split_recall", "train_clean_accuracy"}
        each.curve = Curve(**each.curve.model_dump(exclude=unknown))
    drawn = draw_records(records, tmp_path, outcomes=outcomes.__getitem__)
    assert kinds(drawn) == ["agreement", "cost", "reliability", "gates"]


def test_a_report_says_which_figures_are_too_many(tmp_path: Path):
    records = [r for shots in (4, 16) for r in grid(methods=("coop",), columns=GRID[:2], epochs=2, shots=shots)]
    frame = tidy(records)
    drawn, left_out = draw(frame, curves(records, frame), FigureFolder(tmp_path, ()), most=3)
    first, second = sorted(set(frame["setting"]))
    assert [(d.setting, d.kind) for d in drawn] == [(first, "overview"), (first, "accuracy"), (second, "overview")]
    why = "a report has about 3 figures at most unless --figures asks for more"
    assert left_out[0] == f"accuracy: not drawn, because {why}: {second}"
    assert {line.partition(":")[0] for line in left_out} == {
        "accuracy", "memorization", "cost", "learning", "gap", "reliability",
    }  # fmt: skip


def test_kinds_without_rates_stand_beside_each_other(tmp_path: Path):
    columns = [("none", 0.0), ("human[labels=worst]", 0.0), ("mask", 0.0), ("symmetric", 0.25)]
    records = grid(methods=("coop",), columns=columns, epochs=2, oracle=False)
    (figure,) = draw_records(records, tmp_path, "accuracy")
    data = pd.read_csv(figure.files[-1])
    beside = data[data["panel"] == "kinds without a rate"]
    assert beside["noise"].tolist() == ["none", "mask", "human[labels=worst]"]
    assert set(data.loc[data["panel"] == "symmetric", "rate_percent"]) == {0, 25}


def test_of_many_rates_each_kind_keeps_the_one_next_to_a_half_and_the_ends():
    few = [("symmetric", 0.1 * i) for i in range(1, 8)]
    assert thinned(few) == few
    rates = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75)
    many = [("none", 0.0), *((kind, rate) for kind in ("symmetric", "asymmetric") for rate in rates)]
    kept = thinned(many)
    assert kept == [("none", 0.0), *((k, r) for k in ("symmetric", "asymmetric") for r in (0.125, 0.5, 0.75))]
    alone = [(f"kind{i}", rate) for i in range(20) for rate in (0.25, 0.5)]
    assert thinned(alone) == [(f"kind{i}", 0.5) for i in range(20)]


def test_groups_of_columns_stay_together_where_they_can():
    groups = [[("a", 0.1)], [("b", 0.1), ("b", 0.2)], [("c", 0.1 * i) for i in range(1, 7)]]
    assert [len(part) for part in canvas.parts_of(groups, 5)] == [3, 3, 3]
    assert [c for part in canvas.parts_of(groups, 5) for c in part] == [c for group in groups for c in group]
    assert list(canvas.parts_of([], 5)) == []
    singles = [[(f"k{i}", 0.5)] for i in range(11)]
    assert [len(part) for part in canvas.parts_of(singles, 5)] == [4, 4, 3]
    twos = [[(f"k{i}", 0.25), (f"k{i}", 0.5)] for i in range(3)]
    assert [len(part) for part in canvas.parts_of(twos, 4)] == [4, 2]  # no third part for the sake of evenness
    assert [len(part) for part in canvas.evenly(list(range(10)), 3)] == [3, 2, 3, 2]
    assert canvas.evenly([], 3) == []


def test_a_kind_of_noise_has_a_colour_and_a_rate_a_marker():
    looks = noise_looks([("none", 0.0), ("symmetric", 0.25), ("symmetric", 0.5), ("asymmetric", 0.5), ("mask", 0.0)])
    assert looks["symmetric", 0.25].color == looks["symmetric", 0.5].color != looks["asymmetric", 0.5].color
    assert looks["symmetric", 0.5].marker == looks["asymmetric", 0.5].marker != looks["symmetric", 0.25].marker
    assert len({(one.color, one.marker) for one in looks.values()}) == len(looks)


def test_means_without_a_seed_have_no_spread():
    assert canvas.seeds_text(pd.Series([0, 0])) == "No spread over seeds is known"


def test_titles_break_between_words_and_never_before_the_percent_sign():
    axes = Figure().subplots()
    canvas.title(axes, f"{noise_name('instance')} 50 %", 5)
    assert axes.get_title() == "Instance-dependent\n50\u00a0%"


def test_the_index_lists_figures_in_order_and_those_left_out(tmp_path: Path):
    frame = tidy(RECORDS)
    (setting,) = set(frame["setting"])
    drawn = [Drawn(kind, setting, f"{kind}-{setting}", "shown.", ()) for kind in reversed(KINDS)]
    text = markdown_report(front_page_of(frame, [], drawn, left_out=["gap: not drawn, because of a_b"]))
    assert [line.split("(figures/")[1].partition("-")[0] for line in text.splitlines() if line[:2] == "!["] == list(
        KINDS
    )
    assert r"- gap: not drawn, because of a\_b." in text
