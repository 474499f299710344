"""A third party's method and noise in tables, figures and plans: by their rows, as ours."""

from __future__ import annotations

import pytest

from bench.execution.estimate import relative_cost
from bench.plugins import METHODS, NOISE
from bench.registry import BUILT_IN
from bench.reports.figures.kinds import _families
from bench.reports.figures.style import DASHES_OF_COLORS, GREEN, Look, look
from bench.reports.frame import tidy
from bench.reports.names import family, method_name, method_order, noise_name, noise_order
from bench.reports.tables.accuracy import accuracy_tables
from bench.rows import FAMILIES, Row
from bench.standing import identifiable
from tests.reports.factory import cell, grid, record


@pytest.fixture
def theirs(registries: None) -> None:
    """Rows alone, of modules that do not exist: nothing here may import a plugin."""
    METHODS.add(
        Row("smooth-coop", "gone:Smooth", origin="file s.py", title="Smoothed CoOp", family="losses", cost=7,
            color="green", marker="X")
    )  # fmt: skip
    METHODS.add(Row("plain-coop", "gone:Plain", origin="file s.py"))
    NOISE.add(Row("swap", "gone:Swap", origin="file s.py", title="Swapped pairs", identifiable=0.5))
    NOISE.add(Row("even", "gone:Even", origin="file s.py", commonest="uniform"))
    NOISE.add(Row("pull", "gone:Pull", origin="file s.py", commonest="share=0.5"))
    NOISE.add(Row("ring", "gone:Ring", origin="file s.py", identifiable=0.4, beside="wide=true", spelled="wide=false"))


@pytest.mark.usefixtures("theirs")
def test_a_plugin_is_named_placed_drawn_and_estimated_by_its_row():
    assert (method_name("smooth-coop"), family("smooth-coop")) == ("Smoothed CoOp", "losses")
    assert (method_name("plain-coop"), family("plain-coop")) == ("plain-coop", "others")
    assert method_order(["unknown", "maple", "plain-coop", "smooth-coop", "elr", "coop"]) == [
        "coop", "elr", "smooth-coop", "maple", "plain-coop", "unknown",
    ]  # fmt: skip
    assert look("smooth-coop", "smooth-coop", "method") == Look(GREEN, "X", DASHES_OF_COLORS[GREEN])
    assert look("smooth-coop", "smooth-coop", "oracle").marker == "X"
    assert (relative_cost("smooth-coop"), relative_cost("plain-coop"), relative_cost("unknown")) == (7, 1, 1)
    frame = tidy([record(cell("smooth-coop", options={"eps": value})) for value in (0.2, 0.4)])
    assert list(frame["label"]) == ["Smoothed CoOp[eps=0.2]", "Smoothed CoOp[eps=0.4]"]


@pytest.mark.usefixtures("theirs")
def test_noise_of_a_plugin_says_how_far_labels_tell_the_truth():
    assert (noise_name("swap"), noise_name("ring"), noise_name("unknown")) == (
        "Swapped pairs", "Ring (wide false)", "Unknown",
    )  # fmt: skip
    assert noise_order(["zzz", "swap", "mask", "as-is", "none"]) == ["none", "as-is", "mask", "swap", "zzz"]
    assert (identifiable("swap", 0.5), identifiable("swap", 0.7), identifiable("unknown", 0.7)) == (True, False, True)
    assert [identifiable("even", 0.7, classes) for classes in (0, 4, 3)] == [True, True, False]
    assert (identifiable("pull", 0.6, 9), identifiable("pull", 0.7, 9)) == (True, False)
    assert all(identifiable(f"pull[share={share}]", 0.7, 9) for share in ("0.2", "much", "-1", "nan"))
    assert identifiable("ring", 0.6)
    assert not identifiable("ring[more=1,wide=true]", 0.6)
    columns = [("none", 0.0), ("swap", 0.25), ("swap", 0.75)]
    usual, beyond = accuracy_tables(tidy(grid(columns=columns, oracle=False)))
    assert (len(usual.head), len(beyond.head)) == (2, 1)


def test_a_limit_belongs_to_a_kind_and_an_option_wherever_it_stands():
    """Before, names that began alike were taken for pairs, and pairs with a further option were not."""
    assert identifiable("asymmetric-plus", 0.7)
    assert not identifiable("replacement[on_top=true,pattern=pair]", 0.7)


@pytest.mark.usefixtures("theirs")
def test_a_plugin_stands_in_the_figure_of_its_family():
    methods = ("zero-shot", "coop", "gce-coop", "promptmae", "sce", "elr", "joapr", "dividemix", "nlprompt", "plot")
    frame = tidy(grid(methods=(*methods, "maple", "visprompt", "smooth-coop", "plain-coop"), seeds=(1,), epochs=1))
    seen = {suffix: set(rows["label"]) for suffix, _, rows in _families(frame)}
    assert "Smoothed CoOp" in seen["-losses"]
    assert "plain-coop" in seen["-others"]


def test_ours_have_a_family_a_look_of_their_own_and_a_title():
    rows = [row for row in METHODS.rows() if row.origin == BUILT_IN]
    assert all(row.title and row.family in FAMILIES and row.color and row.marker for row in rows)
    assert len({(row.color, row.marker) for row in rows}) == len(rows)
    assert all(row.title for row in NOISE.rows() if row.origin == BUILT_IN)
