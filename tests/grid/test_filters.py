"""`bench table --set`: the spellings of `run`, as filters of records."""

from __future__ import annotations

import pytest

from bench.errors import BenchError
from bench.grid.filters import filtered, unmatched
from bench.records.record import Record
from tests.reports.factory import cell, record

WHERE = 'store "s"'
RECORDS = [
    record(made)
    for made in (
        cell("coop"),
        cell("coop", "symmetric", 0.25),
        cell("coop", "symmetric", 0.25, subset="clean"),
        cell("coop", "symmetric[per_class=true]", 0.5, seed=2),
        cell("gce-coop", "symmetric", 0.5),
        cell("gce-coop", "symmetric", 0.5, options={"q": 0.5}),
        cell("coop", "symmetric", 0.5, subset="fold2of4"),
        cell("gce-coop", "asymmetric", 0.5, dataset="dtd", backbone="ViT-B-16/openai"),
        cell("coop", dataset="caltech101"),
        cell("coop", dataset="caltech101[mode=tv]", learning_rate=0.005),
        cell("coop", "given", dataset="folder:some/photos"),
        cell("of-a-plugin", "of-another", 0.5, dataset="of-a-third", backbone="of-a-fourth"),
    )
]


def found(*sets: str) -> list[int]:
    return [RECORDS.index(one) for one in filtered(RECORDS, sets, WHERE)]


@pytest.mark.parametrize(
    ("sets", "places"),
    [
        ((), list(range(12))),
        (("method=coop",), [0, 1, 3, 8, 9, 10]),
        (("method=coop@clean",), [0, 2, 8, 9]),
        (("method=coop@folds4",), [6]),
        (("method=coop@fold1of4,coop@fold2of4",), [6]),
        (("method=gce",), [4, 5, 7]),
        (("method=gce-coop[q=0.7]",), [4, 7]),
        (("method=gce-coop[q=0.5],coop@clean",), [0, 2, 5, 8, 9]),
        (("method=of-a-plugin",), [11]),
        (("noise=sym",), [1, 2, 3, 4, 5, 6]),
        (("noise=symmetric[per_class=true]",), [3]),
        (("noise=symmetric[per_class=false]",), [1, 2, 4, 5, 6]),
        (("noise=clean,given",), [0, 8, 9, 10]),
        (("rate=0.5", "noise=symmetric"), [3, 4, 5, 6]),
        (("rate=0,0.25", "seed=1", "dataset=digits"), [0, 1, 2]),
        (("dataset=describabletextures",), [7]),
        (("dataset=caltech101",), [8, 9]),
        (("dataset=caltech101[mode=coop]",), [8]),
        (("dataset=caltech101[mode=tv]",), [9]),
        (("dataset=folder:photos",), [10]),
        (("dataset=folder:some/photos",), [10]),
        (("dataset=folder:some/../some/photos",), [10]),
        (("backbone=ViT-B-16/openai",), [7]),
        (("backbone=of-a-fourth,nowhere.pt",), [11]),
        (("learning_rate=0.005",), [9]),
        (("subset=clean",), [2]),
        (("budget=equal", "epochs=50", "shots=16", "seed=2"), [3]),
    ],
)
def test_what_each_spelling_finds(sets: tuple[str, ...], places: list[int]) -> None:
    assert found(*sets) == places


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (("seed=3",), 'store "s" has no record with seed=3; among its 12 records there are seed 1, 2.'),
        (("method=elr",), "there are method coop, coop@clean, gce-coop, gce-coop[q=0.5], coop@folds4, of-a-plugin."),
        (
            ("rate=0.25", "method=gce"),
            "no record with rate=0.25 method=gce; among its 12 records there are rate 0, 0.25",
        ),
        (
            ("dataset=folder:other",),
            "there are dataset digits, dtd, caltech101, caltech101[mode=tv], folder:photos, of-a",
        ),
        (("methd=coop",), 'unknown axis "methd"; did you mean "method"?'),
        (("device=cpu",), 'unknown axis "device"'),
        (("seed=",), "empty value"),
        (("method=coop[",), "is not of the form"),
    ],
)
def test_nothing_found_says_what_there_is(sets: tuple[str, ...], message: str) -> None:
    with pytest.raises(BenchError) as caught:
        found(*sets)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_long_list_of_values_is_cut() -> None:
    many: list[Record] = [record(cell(seed=seed)) for seed in range(30)]
    with pytest.raises(BenchError, match=r"there are seed 0, 1, .*, 19 and 10 more"):
        filtered(many, ["seed=99"], WHERE)


def test_a_value_that_no_record_has_is_told_where_others_of_its_key_are_found() -> None:
    sets = ("method=coop,gce_coop", "seed=1,9", "rate=0.25")
    lines = unmatched(RECORDS, sets, WHERE)
    assert found(*sets) == [1]
    assert [line.partition(";")[0] for line in lines] == [
        'store "s" has no record with method=gce_coop', 'store "s" has no record with seed=9',
    ]  # fmt: skip
    assert "gce-coop" in lines[0].partition(";")[2]
