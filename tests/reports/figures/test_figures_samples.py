"""The figures of single samples: gates by truth, and reliability diagrams."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reports import frame
from bench.reports.figures import gates
from bench.reports.figures.style import COLUMN_WIDTH, TEXT_WIDTH, PageStyle
from tests.reports.details import detailed
from tests.reports.drawing import Seen, draw_records
from tests.reports.factory import grid

RATES = (("none", 0.0), ("symmetric", 0.5))
KIND = "reliability"


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
def test_the_caption_says_whether_the_gate_tells_samples_apart(areas: tuple[float, ...], said: str, tmp_path: Path):
    records = gated(areas)
    drawn = draw_records(records, tmp_path, "gates")
    (figure,) = (one for one in drawn if one.name.endswith("epochs-by_truth"))
    assert f"VisPrompt after the last epoch: {said}. Means over 2 seeds;" in figure.caption
    assert sum(one.name.endswith("shift_by_truth") for one in drawn) == 1


def test_clean_is_solid_and_mislabeled_dashed_in_every_panel(tmp_path: Path):
    kept: dict[str, list[Axes]] = {}
    records = gated((0.5, 0.6, 0.7, 0.8), {"evidence": "pooled"}, {"split": "argmax"}, {"form": "identity"})
    defaults = {"visprompt": {"evidence": "tokens", "split": "ot", "form": "literal"}}
    folder = Seen(tmp_path, look=lambda figure, name: kept.update({name: figure.axes}))
    drawn = {one.name: one for one in draw_records(records, folder, "gates", defaults=defaults)}
    (panels,) = (axes for name, axes in kept.items() if name.endswith("epochs-by_truth.png"))
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


def test_a_control_without_a_gate_leaves_its_panels_out(tmp_path: Path):
    kept: list[list[Axes]] = []
    records = gated((0.5,), {"control": "constant-gate"})
    for each in records:
        if each.cell.options:
            del each.diagnostics["gate_sd_images"]
    folder = Seen(tmp_path, look=lambda figure, _: kept.append(figure.axes))
    draw_records(records, folder, "gates", defaults={"visprompt": {"control": "none"}})
    panels = kept[0]
    assert [axes.axison for axes in panels] == [True, True, True, True, False, True]
    assert [axes.get_xlabel() for axes in panels] == ["", "Epoch", "", "Epoch", "", "Epoch"]


def test_a_column_shows_every_number_of_the_gates_below_each_other(tmp_path: Path):
    found: list[Figure] = []
    folder = Seen(tmp_path, look=lambda figure, _: found.append(figure), page=PageStyle(width="column"))
    records = gated((0.5,), {"control": "shuffled"}, {"control": "no-film"})
    (one, *_) = draw_records(records, folder, "gates", defaults={"visprompt": {"control": "none"}})
    assert found[0].get_figwidth() == COLUMN_WIDTH
    labels = [axes.get_ylabel() for axes in found[0].axes]
    assert labels == [name for name in gates.QUANTITIES.values() for _ in range(gates.NARROW)]
    assert [bool(axes.get_xlabel()) for axes in found[0].axes] == [False] * 4 + [True] * 2
    assert "The first 2 of 3 variants." in one.caption


def test_a_variant_that_lacks_the_rate_shown_is_left_out_of_it(tmp_path: Path):
    records = gated((0.5,))
    more = gated((0.9,), {"split": "argmax"})[2:]
    records += [one.model_copy(update={"cell": one.cell.model_copy(update={"rate": 0.25})}) for one in more]
    drawn = draw_records(records, tmp_path, "gates", defaults={"visprompt": {"split": "ot"}})
    captions = {one.name.rpartition("epochs")[2]: one.caption for one in drawn}
    assert "argmax" in captions[""]
    assert "argmax" not in captions["-by_truth"]
    assert "nan" not in captions["-by_truth"]


def test_without_numbers_of_samples_the_gates_are_those_of_the_first_images(tmp_path: Path):
    records = gated((0.5,))
    for each in records:
        for name in each.diagnostics:
            if name.endswith(frame.BY_TRUTH):
                each.diagnostics[name] = [None] * 3
    drawn = draw_records(records, tmp_path, "gates")
    assert [one.name.rpartition("epochs")[2] for one in drawn] == [""]


@pytest.mark.parametrize("lacking", ["test_confidence", "test_correct"])
def test_no_reliability_of_records_that_did_not_keep_it(lacking: str, tmp_path: Path):
    records = grid(methods=("zero-shot", "coop"), columns=RATES, epochs=2)
    outcomes = detailed(records)
    for each in records:
        if each.cell.method == "coop":
            del outcomes[each.key][lacking]
    (figure,) = draw_records(records, tmp_path, KIND, outcomes=outcomes.__getitem__)
    assert set(pd.read_csv(figure.files[-1])["label"]) == {"Zero-shot"}
    for kept in (None, {key: {} for key in outcomes}.__getitem__):
        assert draw_records(records, tmp_path, KIND, outcomes=kept) == []


def test_no_reliability_against_test_labels_that_may_be_wrong(tmp_path: Path):
    records = grid(methods=("zero-shot", "coop"), columns=RATES, epochs=2)
    outcomes = detailed(records)
    for each in records:
        each.data.test_truth = False
    assert draw_records(records, tmp_path, KIND, outcomes=outcomes.__getitem__) == []


def test_few_reliability_diagrams_fit_a_column_and_one_seed_has_no_spread(tmp_path: Path):
    sizes, titles = [], []

    def look(figure: Figure, _: str) -> None:
        sizes.append(figure.get_figwidth())
        titles.append([axes.get_title() for axes in figure.axes if axes.get_title()])

    for methods in (("zero-shot", "coop"), ("zero-shot", "coop", "gce-coop")):
        records = grid(methods=methods, columns=RATES, seeds=(1,), epochs=2, oracle=False)
        (figure,) = draw_records(records, Seen(tmp_path, look=look), KIND, outcomes=detailed(records).__getitem__)
        assert "one seed" in figure.caption
        assert "mean ±" not in figure.caption
    assert sizes == [COLUMN_WIDTH, TEXT_WIDTH]
    assert [len(names) for names in titles] == [2, 3]
    assert all("ECE" in name and "±" not in name for names in titles for name in names)
