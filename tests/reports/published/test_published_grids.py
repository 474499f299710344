"""Grids that are a paper's table have a cell for every number of it, and the report says which are not there yet."""

from __future__ import annotations

import re
from collections import Counter

import pandas as pd
import pytest

from bench import dataset_name
from bench.grid.expansion import PlannedCell, expand
from bench.records.parts import Accuracy
from bench.records.record import Record
from bench.reports.build import option_defaults
from bench.reports.document import Code
from bench.reports.frame import tidy
from bench.reports.published.match import NEARLY, SAME, comparisons
from bench.reports.published.numbers import load, published_numbers
from bench.reports.published.runs import coverage
from bench.settings.schema import load_config

TABLES = {"nlprompt": {"nlprompt-main"}, "tecoprompt": {"tecoprompt-1", "tecoprompt-2", "tecoprompt-6"}}
KEY = ["sheet", "dataset", "published_as", "noise", "rate"]
EXPECTED = (
    r"(half|mixed) precision there, float32 here", r"precision not stated there \(float32 here\)",
    r"number of seeds not stated there", r"[a-z0-9_, ]+ of the method not stated there",
    r"epochs \(200 here\), batch size \(32 here\), .* not stated there",
    r"probably not at fixed hyper-parameters: .*", r"its text draws each flip with the rate as probability, .*",
)  # fmt: skip


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[PlannedCell, ...]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        return {name: expand(load_config(None), name).cells for name in TABLES}


@pytest.fixture(scope="module")
def lined_up(planned: dict[str, tuple[PlannedCell, ...]]) -> dict[str, pd.DataFrame]:
    """What is compared where every cell of a published grid has a record."""
    compared = {}
    for name, cells in planned.items():
        made = [
            Record(schema=1, key=one.key, status="done", cell=one.cell, accuracy=Accuracy(last=0.7)) for one in cells
        ]
        known = option_defaults({record.cell.method for record in made})
        rows = comparisons(tidy(made, known), made, load(), known)
        compared[name] = rows[rows["grade"].isin((SAME, NEARLY))]
    return compared


def test_every_published_table_with_a_grid_is_tested():
    found = {(x.sheet.grid, x.table) for x in published_numbers(load()) if x.sheet.grid}
    assert found == {(name, table) for name, tables in TABLES.items() for table in tables}


@pytest.mark.parametrize("name", TABLES)
def test_every_number_of_a_published_table_has_one_cell_of_its_grid(
    name: str, planned: dict[str, tuple[PlannedCell, ...]], lined_up: dict[str, pd.DataFrame]
):
    seeds = Counter((c.dataset, c.noise, c.rate, c.method) for c in (one.cell for one in planned[name]))
    assert set(seeds.values()) == {3}
    rows = dict(iter(lined_up[name].groupby(KEY)))
    numbers = [x for x in published_numbers(load()) if x.sheet.grid == name and x.comparable]
    assert len(numbers) == {"nlprompt": 319, "tecoprompt": 125}[name]
    for x in numbers:
        (row,) = rows[x.table, x.dataset, x.row.method, x.noise, x.rate or 0.0].to_dict("records")
        assert (row["ours_n"], row["published"], row["grade"]) == (3, x.accuracy, NEARLY)
        told = row["differences"].split("; ")
        assert [text for text in told if not any(re.fullmatch(form, text) for form in EXPECTED)] == []
        assert any("precision" in text for text in told)


def test_a_published_grid_has_no_cell_beside_those_of_its_tables(
    planned: dict[str, tuple[PlannedCell, ...]], lined_up: dict[str, pd.DataFrame]
):
    """Food101N's numbers stand in TecoPrompt's table, and a part of Caltech101's row is lost in the copy."""
    for name, cells in planned.items():
        asked = {
            (dataset_name.base(c.dataset), c.noise, c.rate, c.method) for c in (one.cell for one in cells)
            if c.method != "zero-shot"
        }  # fmt: skip
        rows = lined_up[name]
        theirs = rows[rows["sheet"].isin({*TABLES["nlprompt"], *TABLES["tecoprompt"]})]
        methods = {x.row.method: x.method for x in published_numbers(load())}
        there = {
            (row["dataset"], row["noise"], row["rate"], methods[row["published_as"]])
            for row in theirs.to_dict("records")
        }
        assert there <= asked
        assert {dataset for dataset, *_ in asked - there} == {"caltech101"}
    food = lined_up["nlprompt"].query("sheet == 'tecoprompt-2'")
    assert list(food["published_as"]) == ["CoOp", "GCE (CoOp+GCE)", "JoAPR", "NLPrompt"]


def test_what_a_published_table_lacks_here_is_said_with_the_command_that_makes_it(lined_up: dict[str, pd.DataFrame]):
    whole = lined_up["nlprompt"]
    food = (
        "TecoPrompt, Table 2: 4 of 5 numbers stand beside ours, and bench run --grid tecoprompt makes what has no "
        "finished record yet: TecoPrompt on food101n."
    )
    sentences = ["".join(words) for words in coverage(whole, load())]
    assert sentences == ["NLPrompt, main table: 319 of 319 numbers stand beside ours.", food]
    lost = (
        (whole["dataset"] == "dtd")
        | ((whole["dataset"] == "ucf101") & (whole["published_as"] == "JoAPR"))
        | ((whole["dataset"] == "flowers102") & (whole["published_as"] == "CoOp") & (whole["rate"] == 0.5))
    )
    words, _ = coverage(whole[~lost], load())
    assert "".join(words) == (
        "NLPrompt, main table: 257 of 319 numbers stand beside ours, and bench run --grid nlprompt makes what has no "
        "finished record yet: all of dtd; CoOp on flowers102 (Symmetric 50 %, Asymmetric 50 %); JoAPR on ucf101."
    )
    assert words[1] == Code("bench run --grid nlprompt")
    assert list(coverage(whole[whole["sheet"] == "nlprompt-rerun"], load())) == []
