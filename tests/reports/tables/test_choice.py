from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.reports.build import build_report
from bench.reports.document import Table
from bench.reports.frame import anchored, tidy
from bench.reports.paper import PaperForm
from bench.reports.tables.accuracy import BEYOND_HALF, accuracy_tables
from bench.reports.tables.choice import Choice
from bench.reports.tables.cost import cost_tables
from bench.reports.tables.training import memorization_tables
from tests.reports.factory import GRID, cell, grid, record

FRAME = tidy(
    [*grid(), *(record(cell("gce-coop", seed=s, options={"q": 0.5})) for s in (1, 2))], {"gce-coop": {"q": 0.7}}
)


def labels(table: Table) -> list[list[str]]:
    return [[row.label for row in section.rows] for section in table.sections]


def test_rows_and_columns_are_those_asked_for_in_their_order():
    choice = Choice(("visprompt", "zero-shot", "coop", "coop@clean"), ("asymmetric", "none", "Symmetric 50 %"))
    frame = choice.of(FRAME)
    (table,) = accuracy_tables(frame, choice)
    assert table.head == (("Asymmetric", "25 %"), ("Asymmetric", "50 %"), ("", "Clean"), ("Symmetric", "50 %"))
    assert labels(table) == [["VisPrompt"], ["Zero-shot"], ["CoOp"], ["CoOp (clean subset, oracle)†"]]
    usual = {row.label: row.entries for section in accuracy_tables(FRAME)[0].sections for row in section.rows}
    mean = {row.label: [e.mean for e in row.entries] for section in table.sections for row in section.rows}
    for label, found in mean.items():
        assert found == [usual[label][place].mean for place in (3, 4, 0, 2)]
    (memorized,) = memorization_tables(frame, choice)
    assert [row.label for row in memorized.sections[0].rows] == [label for (label,) in labels(table)]
    assert labels(cost_tables(frame, choice)[0]) == labels(table)


ORACLE, CLEAN_FIRST = "CoOp (clean subset, oracle)†", ("coop@clean", "coop", "gce-coop")


@pytest.mark.parametrize(
    ("methods", "sections"),
    [
        (CLEAN_FIRST, [[ORACLE], ["CoOp", "GCE-CoOp"]]),
        (("coop", "coop@clean", "gce-coop"), [["CoOp"], [ORACLE], ["GCE-CoOp"]]),
        (("coop@clean", "gce-coop"), [[ORACLE], ["GCE-CoOp"]]),
    ],
)
@pytest.mark.parametrize("columns", [(), ("none",)])
def test_an_oracle_row_is_one_row_with_its_clean_entry_wherever_it_stands(
    methods: tuple[str, ...], sections: list[list[str]], columns: tuple[str, ...]
):
    choice = Choice(methods, columns)
    (table,) = accuracy_tables(choice.of(FRAME), choice)
    assert labels(table) == sections
    found = {row.label: row.entries[0].mean for section in table.sections for row in section.rows}
    usual = {row.label: row.entries[0].mean for section in accuracy_tables(FRAME)[0].sections for row in section.rows}
    assert found == {label: usual[label] for label in found}
    assert not any("has not been run" in note for note in table.notes)


def test_no_record_is_counted_twice_where_its_row_and_an_oracle_row_are_asked_for():
    assert not Choice(CLEAN_FIRST).of(FRAME)["key"].duplicated().any()
    assert anchored(anchored(FRAME)).equals(anchored(FRAME))


@pytest.mark.parametrize("methods", [CLEAN_FIRST, ("coop@clean", "gce-coop")])
def test_a_report_of_an_oracle_row_is_whole(methods: tuple[str, ...], tmp_path: Path):
    for columns in ((), ("none",)):
        form = PaperForm(choice=Choice(methods, columns))
        build_report(grid(columns=GRID[:3]), tmp_path / str(columns), figures=0, paper=form, published=True)
        page = (tmp_path / str(columns) / "report.md").read_text(encoding="utf-8")
        assert "not been run" not in page
        assert "no record" not in page


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gce-coop", ["GCE-CoOp"]),
        ("gce-coop[q=0.5]", ["GCE-CoOp[q=0.5]"]),
        ("GCE-CoOp", ["GCE-CoOp"]),
        ("CoOp (clean subset, oracle)", ["CoOp (clean subset, oracle)†"]),
    ],
)
def test_a_row_is_named_as_on_the_command_line_or_by_its_title(name: str, found: list[str]):
    assert list(dict.fromkeys(Choice((name,)).of(FRAME)["label"])) == found


def test_a_method_stands_for_its_variants_where_it_has_no_row_of_its_own():
    variants = FRAME[FRAME["label"] != "GCE-CoOp"]
    assert set(Choice(("gce-coop",)).of(variants)["label"]) == {"GCE-CoOp[q=0.5]"}


def test_best_and_second_are_those_of_the_rows_shown():
    choice = Choice(("coop", "joapr"), ("symmetric@0.5",))
    (table,) = accuracy_tables(choice.of(FRAME), choice)
    assert sorted(row.entries[0].mark for section in table.sections for row in section.rows) == ["best", "second"]


@pytest.mark.parametrize(("digits", "printed"), [(0, "81"), (2, "80.55"), (3, "80.550")])
def test_digits_are_those_asked_for_and_decide_what_is_printed_alike(digits: int, printed: str):
    frame = tidy([record(cell("coop"), 0.8055), record(cell("joapr"), 0.8054)])
    (table,) = accuracy_tables(frame, Choice(digits=digits))
    first, second = (row.entries[0] for row in table.sections[0].rows)
    assert first.printed == printed
    assert second.mark == ("best" if digits == 0 else "second")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(("visprompd",)), '--methods: no record has "visprompd"; did you mean "visprompt"?'),
        (Choice(columns=("symetric@0.5",)), '--columns: no record has "symetric@0.5"; did you mean "symmetric@0.5"?'),
        (Choice(columns=("symmetric@0.9",)), '--columns: no record has "symmetric@0.9"; did you mean "symmetric@0.5"?'),
        (Choice(digits=9), "--digits 9: expected 0 to 6 decimals."),
    ],
)
def test_a_name_that_no_record_has_is_one_line_with_the_nearest(choice: Choice, message: str):
    with pytest.raises(BenchError) as told:
        choice.of(FRAME)
    assert str(told.value) == message


def test_a_column_beyond_one_half_stands_in_the_one_table_and_is_not_ranked():
    frame = tidy(grid(columns=[("none", 0.0), ("asymmetric", 0.75)], oracle=False))
    choice = Choice(columns=("asymmetric", "none"))
    (table,) = accuracy_tables(choice.of(frame), choice)
    marks = [{row.entries[place].mark for section in table.sections for row in section.rows} for place in (0, 1)]
    assert marks == [{""}, {"", "best", "second"}]
    assert BEYOND_HALF.format("Asymmetric 75 %") in table.notes
