from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from reports import drawing, figures, figures_curves, figures_gates, frame
from reports.figures import KINDS, Drawn, draw
from reports.figures_curves import thinned
from reports.frame import curves, tidy
from reports.index import index
from reports.names import noise_name
from reports.style import COLUMN_WIDTH, KNOWN, TEXT_WIDTH, look, noise_looks
from tests.reports.details import detailed
from tests.reports.factory import GRID, cell, grid, record

RATES = (("none", 0.0), ("symmetric", 0.5))
RECORDS = grid(methods=("zero-shot", "coop", "gce-coop", "visprompt"), columns=RATES, epochs=3)
OUTCOMES = detailed(RECORDS)
KIND = "reliability"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Drawn]:
    frame = tidy(RECORDS)
    return draw(frame, curves(RECORDS, frame), tmp_path_factory.mktemp("figures"), OUTCOMES.__getitem__)


@pytest.fixture
def png_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """One format, where the test is about what is drawn."""
    monkeypatch.setattr(drawing, "FORMATS", {"png": {"Software": None}})


@pytest.fixture
def accuracy_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """One kind of figure, where the test is about which rows it shows."""
    monkeypatch.setattr(figures, "KINDS", {"accuracy": KINDS["accuracy"]})


@pytest.fixture
def gates_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `accuracy_only`, of gates."""
    monkeypatch.setattr(figures, "KINDS", {"gates": KINDS["gates"]})


@pytest.fixture
def reliability_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `accuracy_only`, of reliability."""
    monkeypatch.setattr(figures, "KINDS", {KIND: KINDS[KIND]})


@pytest.fixture
def data_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture, where the test is about which figures there are and what they show."""
    monkeypatch.setattr(drawing, "FORMATS", {})
    monkeypatch.setattr(Figure, "draw_without_rendering", lambda _: None)


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
    monkeypatch.setattr(figures_curves, "legend", lambda figure, panels, looks: kept.append(panels))
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


def test_many_rates_make_several_memorization_figures(tmp_path: Path, data_only: None):
    columns = [("symmetric", 0.1 * i) for i in range(1, 7)]
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


def test_many_rows_are_drawn_family_by_family(tmp_path: Path, data_only: None, accuracy_only: None):
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


def test_a_large_family_is_drawn_without_and_then_with_its_variants(
    tmp_path: Path, data_only: None, accuracy_only: None
):
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


def test_every_text_lies_within_its_figure_and_can_be_read(
    tmp_path: Path, png_only: None, monkeypatch: pytest.MonkeyPatch
):
    """At the width at which it is printed: a column or the text."""
    seen = []

    def check(figure: Figure, path: Path, _: object) -> None:
        seen.append(path.name)
        assert figure.get_figwidth() in (COLUMN_WIDTH, TEXT_WIDTH)
        renderer = FigureCanvasAgg(figure).get_renderer()
        box, (width, height) = figure.get_tightbbox(renderer), figure.get_size_inches()
        assert min(box.x0, box.y0) > -0.01, path.name
        assert box.x1 < width + 0.01, path.name
        assert box.y1 < height + 0.01, path.name
        assert all(text.get_fontsize() >= 7 for text in figure.findobj(Text) if text.get_text())

    monkeypatch.setattr(drawing, "_write", check)
    columns = [("none", 0.0), ("symmetric-inclusive", 0.5), ("human[labels=aggregate]", 0.0), ("asymmetric", 0.125)]
    records = grid(methods=("zero-shot", "coop", "visprompt"), columns=columns, epochs=3)
    outcomes = detailed(records)
    draw(tidy(records), curves(records, tidy(records)), tmp_path, outcomes.__getitem__)
    assert {name.partition("-")[0] for name in seen} == set(KINDS) - {"agreement"}


def test_where_the_truth_is_unknown_nothing_is_drawn_of_it(tmp_path: Path, data_only: None):
    records = grid(methods=("zero-shot", "coop", "visprompt"), columns=[("none", 0.0)], oracle=False, epochs=3)
    outcomes = detailed(records)
    for each in records:
        each.noise["truth"] = False
        each.curve["train_given_accuracy"] = [0.5] * len(each.curve["epoch"])
        for name in ("memorized", "loss_auroc", "split_precision", "split_recall", "train_clean_accuracy"):
            each.curve.pop(name, None)
    drawn = draw(tidy(records), curves(records, tidy(records)), tmp_path, outcomes.__getitem__)
    assert kinds(drawn) == ["agreement", "cost", "reliability", "gates"]


def test_a_report_says_which_figures_are_too_many(tmp_path: Path, data_only: None):
    records = [r for shots in (4, 16) for r in grid(methods=("coop",), columns=GRID[:2], epochs=2, shots=shots)]
    frame, left_out = tidy(records), list[str]()
    drawn = draw(frame, curves(records, frame), tmp_path, left_out=left_out, most=3)
    first, second = sorted(set(frame["setting"]))
    assert [(d.setting, d.kind) for d in drawn] == [(first, "overview"), (first, "accuracy"), (second, "overview")]
    assert left_out[0] == f"accuracy: not drawn, because a report has about 3 figures at most: {second}"
    assert {line.partition(":")[0] for line in left_out} == {
        "accuracy", "memorization", "cost", "learning", "gap", "reliability",
    }  # fmt: skip


def test_kinds_without_rates_stand_beside_each_other(tmp_path: Path, data_only: None, accuracy_only: None):
    columns = [("none", 0.0), ("human[labels=worst]", 0.0), ("mask", 0.0), ("symmetric", 0.25)]
    records = grid(methods=("coop",), columns=columns, epochs=2, oracle=False)
    (figure,) = draw(tidy(records), curves(records, tidy(records)), tmp_path)
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
    assert [len(part) for part in drawing.parts_of(groups, 5)] == [3, 3, 3]
    assert [c for part in drawing.parts_of(groups, 5) for c in part] == [c for group in groups for c in group]
    assert list(drawing.parts_of([], 5)) == []


def test_a_kind_of_noise_has_a_colour_and_a_rate_a_marker():
    looks = noise_looks([("none", 0.0), ("symmetric", 0.25), ("symmetric", 0.5), ("asymmetric", 0.5), ("mask", 0.0)])
    assert looks["symmetric", 0.25].color == looks["symmetric", 0.5].color != looks["asymmetric", 0.5].color
    assert looks["symmetric", 0.5].marker == looks["asymmetric", 0.5].marker != looks["symmetric", 0.25].marker
    assert len({(one.color, one.marker) for one in looks.values()}) == len(looks)


def test_titles_break_between_words_and_never_before_the_percent_sign():
    axes = Figure().subplots()
    drawing.title(axes, f"{noise_name('instance')} 50 %", 5)
    assert axes.get_title() == "Instance-dependent\n50\u00a0%"


def test_the_index_lists_figures_in_order_and_those_left_out(tmp_path: Path):
    frame = tidy(RECORDS)
    (setting,) = set(frame["setting"])
    drawn = [Drawn(kind, setting, f"{kind}-{setting}", "shown.", ()) for kind in reversed(KINDS)]
    text = index(frame, [], drawn, frozenset(), left_out=["gap: not drawn, because of a_b"])
    assert [line.split("(figures/")[1].partition("-")[0] for line in text.splitlines() if line[:2] == "!["] == list(
        KINDS
    )
    assert r"- gap: not drawn, because of a\_b." in text


def gated(areas: tuple[float, ...], *options: dict[str, str]) -> list:
    """Records of VisPrompt at one rate of each of as many kinds as there are areas, and of its variants."""
    kinds_ = ("symmetric", "asymmetric", "pairflip", "instance")
    columns = [(kind, 0.5) for kind in kinds_[: len(areas)]]
    records = grid(methods=("visprompt",), columns=columns, oracle=False, epochs=2)
    for option in options:
        records += grid(methods=("visprompt",), columns=columns, oracle=False, epochs=2, options=option)
    detailed(records)
    for each in records:
        each.diagnostics["gate_auroc"] = [0.5, 0.5, areas[kinds_.index(each.cell.noise)]]
    return records


@pytest.mark.parametrize(
    ("areas", "said"),
    [
        ((0.52,), "AUROC 0.52, near one half, so it does not tell mislabeled samples apart"),
        ((0.46, 0.54), "AUROC 0.46 to 0.54, near one half, so it does not tell mislabeled samples apart"),
        ((0.7, 0.9), "AUROC 0.70 to 0.90, it tends to be larger for mislabeled samples"),
        ((0.1, 0.44), "AUROC 0.10 to 0.44, it tends to be smaller for mislabeled samples"),
        ((0.5, 0.9), "AUROC 0.50 to 0.90, what it tells depends on the noise"),
        ((0.1, 0.9), "AUROC 0.10 to 0.90, what it tells depends on the noise"),
    ],
)
def test_the_caption_says_whether_the_gate_tells_samples_apart(
    areas: tuple[float, ...], said: str, tmp_path: Path, data_only: None, gates_only: None
):
    records = gated(areas)
    drawn = draw(tidy(records), curves(records, tidy(records)), tmp_path)
    (figure,) = (one for one in drawn if one.name.endswith("epochs-by_truth"))
    assert f"VisPrompt after the last epoch: {said}. Means over 2 seeds;" in figure.caption
    assert sum(one.name.endswith("shift_by_truth") for one in drawn) == 1


def test_clean_is_solid_and_mislabeled_dashed_in_every_panel(
    tmp_path: Path, data_only: None, gates_only: None, monkeypatch: pytest.MonkeyPatch
):
    kept: list[list] = []
    monkeypatch.setattr(figures_gates, "legend", lambda figure, panels, looks: kept.append(panels))
    records = gated((0.5, 0.6, 0.7, 0.8), {"evidence": "pooled"}, {"split": "argmax"}, {"form": "identity"})
    frame = tidy(records, {"visprompt": {"evidence": "tokens", "split": "ot", "form": "literal"}})
    drawn = {one.name: one for one in draw(frame, curves(records, frame), tmp_path)}
    panels = kept[1]  # after the one of the first eight images
    assert len(panels) == 3 * (3 + 1), "three variants, and three kinds of noise beside the areas"
    for number, axes in enumerate(panels):
        lines = {line.get_label(): line for line in axes.get_lines()}
        if number % 4 == 3:
            assert len(lines) == 4
            assert tuple(axes.get_ylim()) == (0, 1)
            assert set(lines["AUROC of chance"].get_ydata()) == {0.5}
        else:
            assert lines["Correctly labeled"].get_linestyle() == "-"
            assert lines["Mislabeled"].get_linestyle() == "--"
            assert lines["Correctly labeled"].get_color() != lines["Mislabeled"].get_color()
    (caption,) = (one.caption for name, one in drawn.items() if name.endswith("epochs-by_truth"))
    assert caption.endswith("The first 3 of 4 variants.")


def test_without_numbers_of_samples_the_gates_are_those_of_the_first_images(
    tmp_path: Path, data_only: None, gates_only: None
):
    records = gated((0.5,))
    for each in records:
        for name in each.diagnostics:
            if name.endswith(frame.BY_TRUTH):
                each.diagnostics[name] = [None] * 3
    drawn = draw(tidy(records), curves(records, tidy(records)), tmp_path)
    assert [one.name.rpartition("epochs")[2] for one in drawn if one.kind == "gates"] == [""]


@pytest.mark.parametrize("lacking", ["test_confidence", "test_correct"])
def test_no_reliability_of_records_that_did_not_keep_it(
    lacking: str, tmp_path: Path, data_only: None, reliability_only: None
):
    records = grid(methods=("zero-shot", "coop"), columns=RATES, epochs=2)
    outcomes = detailed(records)
    frame = tidy(records)
    for each in records:
        if each.cell.method == "coop":
            del outcomes[each.key][lacking]
    (figure,) = (d for d in draw(frame, curves(records, frame), tmp_path, outcomes.__getitem__) if d.kind == KIND)
    assert set(pd.read_csv(figure.files[-1])["label"]) == {"Zero-shot"}
    for kept in (None, {key: {} for key in outcomes}.__getitem__):
        assert KIND not in kinds(draw(frame, curves(records, frame), tmp_path, kept))


def test_no_reliability_against_test_labels_that_may_be_wrong(tmp_path: Path, data_only: None, reliability_only: None):
    records = grid(methods=("zero-shot", "coop"), columns=RATES, epochs=2)
    outcomes = detailed(records)
    for each in records:
        each.data["test_truth"] = False
    drawn = draw(tidy(records), curves(records, tidy(records)), tmp_path, outcomes.__getitem__)
    assert KIND not in kinds(drawn)


def test_few_reliability_diagrams_fit_a_column_and_one_seed_has_no_spread(
    tmp_path: Path, png_only: None, reliability_only: None, monkeypatch: pytest.MonkeyPatch
):
    sizes, titles = [], []

    def look_at(figure: Figure, path: Path, _: object) -> None:
        if path.name.startswith(KIND):
            sizes.append(figure.get_figwidth())
            titles.append([axes.get_title() for axes in figure.axes if axes.get_title()])

    monkeypatch.setattr(drawing, "_write", look_at)
    for methods in (("zero-shot", "coop"), ("zero-shot", "coop", "gce-coop")):
        records = grid(methods=methods, columns=RATES, seeds=(1,), epochs=2, oracle=False)
        outcomes = detailed(records)
        drawn = draw(tidy(records), curves(records, tidy(records)), tmp_path, outcomes.__getitem__)
        (caption,) = (one.caption for one in drawn if one.kind == KIND)
        assert "one seed" in caption
        assert "mean ±" not in caption
    assert sizes == [COLUMN_WIDTH, TEXT_WIDTH]
    assert [len(names) for names in titles] == [2, 3]
    assert all("ECE" in name and "±" not in name for names in titles for name in names)
