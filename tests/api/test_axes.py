from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench
from bench.api.axes import Axes, PlanOptions, RunOptions, _text, axes_of, laid_over
from bench.grid.overrides import assigned
from bench.records.cell import Cell
from bench.settings.schema import GridTable, Protocol

NUMBERS = st.one_of(st.integers(0, 10**6), st.floats(0, 1e6), st.booleans())


def table(**options: Any) -> GridTable:
    return laid_over("quick", options).settings.grid["quick"]


def test_every_key_of_a_grid_is_an_axis_and_no_option_is() -> None:
    assert {*Axes.__annotations__} == {*Protocol.model_fields}
    own = (RunOptions.__annotations__.keys() | PlanOptions.__annotations__.keys()) - Axes.__annotations__.keys()
    assert own == {"config", "retry", "rerun", "scheduler", "address", "fail_fast"}
    assert axes_of({"rate": 0.5, "retry": "all", "typo": 1}) == {"rate": 0.5, "typo": 1}


@given(st.lists(NUMBERS, min_size=1))
def test_numbers_are_what_set_makes_of_them(values: list[Any]) -> None:
    found = assigned([f"rate={_text(values)}"], ["rate"])["rate"]
    assert found == values
    assert [isinstance(one, bool) for one in found] == [isinstance(one, bool) for one in values]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1), min_size=1))
def test_names_arrive_whole_with_commas_brackets_and_quotes(values: list[str]) -> None:
    assert assigned([f"method={_text(values)}"], ["method"])["method"] == values


def test_one_value_a_list_a_range_and_numpys_numbers() -> None:
    assert table(seed=3).seed == table(seed=[3]).seed == table(seed=np.int64(3)).seed == [3]
    assert table(seed=range(1, 4)).seed == table(seed=np.arange(1, 4)).seed == [1, 2, 3]
    assert table(noise="symmetric", rate=np.linspace(0, 0.5, 3)).rate == [0, 0.25, 0.5]
    assert table(method=("coop", "gce-coop[q=0.5,context=4]")).method == ["coop", "gce-coop[q=0.5,context=4]"]
    assert table(keep_prompts=True, timeout=float("inf")).keep_prompts
    assert table(reference=[], method="coop").reference == []


def test_a_folder_as_a_path(tmp_path: Path) -> None:
    assert table(backbone=tmp_path / "a,b.pt").backbone == [str(tmp_path / "a,b.pt")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metod": "coop"}, 'unknown axis "metod"; did you mean "method"'),
        ({"rate": 1.5}, "rate = 1.5: expected"),
        ({"rate": []}, "rate= has an empty value"),
        ({"seed": None}, "seed = 'None': expected"),
        ({"method": "copp"}, 'unknown method "copp"; did you mean "coop"'),
        ({"shots": [1, "two"]}, "shots = 'two': expected"),
        ({"optimizer": ["sgd", "adam"]}, "optimizer is no axis and takes one"),
        ({"config": "no.toml"}, 'settings file "no.toml" does not exist'),
        ({"retry": "everything"}, "retry everything"),
    ],
)
def test_what_cannot_be_is_one_line(options: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(bench.BenchError, match=message.replace("[", r"\[")) as caught:
        bench.plan(store=tmp_path, **options)
    assert "\n" not in str(caught.value)


def test_axes_of_a_cell_are_told_from_settings_of_a_run(tmp_path: Path) -> None:
    cells = bench.plan(store=tmp_path, method="coop", seed=1).todo[:1]
    for axis in {*Cell.model_fields, "reference"} & {*Protocol.model_fields}:
        with pytest.raises(bench.BenchError, match=rf"{axis}= cannot change cells that are given"):
            bench.run(cells, store=tmp_path, **{axis: 1})  # type: ignore[misc]
