"""The figures of single samples: gates by truth, and reliability diagrams."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from bench.reports import frame
from bench.reports.figures import by_truth, canvas, gates
from bench.reports.figures import kinds as figure_kinds
from bench.reports.figures.kinds import KINDS, Drawn, draw
from bench.reports.figures.style import COLUMN_WIDTH, TEXT_WIDTH
from bench.reports.frame import curves, tidy
from tests.reports.details import detailed
from tests.reports.factory import grid

RATES = (("none", 0.0), ("symmetric", 0.5))
KIND = "reliability"


def kinds(drawn: list[Drawn]) -> list[str]:
    return [figure.kind for figure in drawn]


@pytest.fixture
def gates_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `accuracy_only`, of gates."""
    monkeypatch.setattr(figure_kinds, "KINDS", {"gates": KINDS["gates"]})


@pytest.fixture
def reliability_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `accuracy_only`, of reliability."""
    monkeypatch.setattr(figure_kinds, "KINDS", {KIND: KINDS[KIND]})


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
    monkeypatch.setattr(by_truth, "legend", lambda figure, panels, looks: kept.append(panels))
    records = gated((0.5, 0.6, 0.7, 0.8), {"evidence": "pooled"}, {"split": "argmax"}, {"form": "identity"})
    frame = tidy(records, {"visprompt": {"evidence": "tokens", "split": "ot", "form": "literal"}})
    drawn = {one.name: one for one in draw(frame, curves(records, frame), tmp_path)}
    panels = kept[0]
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
    assert "nan" not in caption
    assert caption.endswith("The first 3 of 4 variants. Further kinds and rates are left out.")


def test_a_control_without_a_gate_leaves_its_panels_out(
    tmp_path: Path, data_only: None, gates_only: None, monkeypatch: pytest.MonkeyPatch
):
    kept: list[list] = []
    monkeypatch.setattr(gates, "legend", lambda figure, panels, looks: kept.append(panels))
    records = gated((0.5,), {"control": "constant-gate"})
    for each in records:
        if each.cell.options:
            del each.diagnostics["gate_sd_images"]
    frame = tidy(records, {"visprompt": {"control": "none"}})
    draw(frame, curves(records, frame), tmp_path)
    panels = kept[0]
    assert [axes.axison for axes in panels] == [True, True, True, True, False, True]
    assert [axes.get_xlabel() for axes in panels] == ["", "Epoch", "", "Epoch", "", "Epoch"]


def test_a_variant_that_lacks_the_rate_shown_is_left_out_of_it(tmp_path: Path, data_only: None, gates_only: None):
    records = gated((0.5,))
    more = gated((0.9,), {"split": "argmax"})[2:]
    records += [one.model_copy(update={"cell": one.cell.model_copy(update={"rate": 0.25})}) for one in more]
    frame = tidy(records, {"visprompt": {"split": "ot"}})
    drawn = draw(frame, curves(records, frame), tmp_path)
    captions = {one.name.rpartition("epochs")[2]: one.caption for one in drawn}
    assert "argmax" in captions[""]
    assert "argmax" not in captions["-by_truth"]
    assert "nan" not in captions["-by_truth"]


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
        each.data.test_truth = False
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

    monkeypatch.setattr(canvas, "_write", look_at)
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
