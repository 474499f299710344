"""The table at the end of a run, with and without a known truth."""

from __future__ import annotations

from bench.execution.summary import summary_rows
from bench.records.record import Record
from tests.reports.factory import cell, changed, record
from tests.reports.tables.test_unknown import unknown

SHARED = ["dataset", "noise", "method", "seeds", "accuracy %"]


def known() -> Record:
    made = record(cell("coop", "symmetric", 0.5), 0.75)
    made.noise.truth = True
    return made


def test_memorization_where_the_truth_is_known() -> None:
    columns, (row,) = summary_rows([known()])
    assert columns == [*SHARED, "memorized %", "seconds", "unfinished"]
    assert row[:5] == ["digits", "symmetric 0.5", "coop", "1", "75.0"]
    assert row[-1] == ""


def test_agreement_where_it_is_not_and_what_was_skipped() -> None:
    columns, rows = summary_rows(unknown(("given",), test_truth=False))
    assert columns == [*SHARED, "±", "best", "agrees with given %", "seconds", "unfinished", "skipped"]
    assert rows[0][0] == "folder:photos · agreement with given test labels"
    assert [row[2] for row in rows] == ["coop", "nlprompt", "coop@clean"]
    assert [row[7] for row in rows] == ["70.0", "50.0", "–"]
    assert [row[-2:] for row in rows] == [["", ""], ["", ""], ["", "2"]], "skipped is not unfinished"


def test_both_beside_each_other() -> None:
    columns, rows = summary_rows([known(), *unknown(("given",))[:1]])
    assert columns == [*SHARED, "memorized %", "agrees with given %", "seconds", "unfinished"]
    assert rows[1][5] == "–"


def test_folders_are_told_apart_by_content_and_named_without_their_path() -> None:
    two = [*unknown(("given",)), *unknown(("given",), "folder:other/photos", digest="f" * 64)]
    assert {row[0] for row in summary_rows(two)[1]} == {"folder:photos (abcdef)", "folder:photos (ffffff)"}


def test_a_seed_without_an_accuracy_is_none_of_those_that_are_averaged() -> None:
    without = changed(known(), accuracy={"last": None})
    without = without.model_copy(update={"cell": without.cell.model_copy(update={"seed": 2})})
    columns, (row,) = summary_rows([known(), without])
    told = dict(zip(columns, row, strict=True))
    assert (told["seeds"], told["accuracy %"], told["unfinished"]) == ("1", "75.0", "1")


def test_best_second_and_what_seeds_do_not_tell_apart_stand_in_a_column_of_their_own() -> None:
    levels = {
        "zero-shot": (0.99, 0.99, 0.99), "coop": (0.91, 0.92, 0.93), "sce": (0.92, 0.91, 0.92),
        "elr": (0.90, 0.91, 0.91), "joapr": (0.95, 0.93, 0.55), "gce-coop": (0.50, 0.51, 0.50),
    }  # fmt: skip
    records = [record(cell(m, seed=seed), value) for m, values in levels.items() for seed, value in enumerate(values)]
    columns, rows = summary_rows(records)
    told = {row[2]: dict(zip(columns, row, strict=True)) for row in rows}
    assert columns[4:7] == ["accuracy %", "±", "best"]
    assert [told[name]["best"] for name in ("zero-shot", "coop", "sce", "elr")] == ["", "best", "second ·", "·"]
    assert told["gce-coop"]["best"] == ""
    assert (told["joapr"]["±"], told["joapr"]["best"] in {"", "U"}) == ("22.5", True)
    late = [record(cell("promptmae", seed=seed), 0.99) for seed in (1, 2, 3)]
    _, rows = summary_rows([*records, *late])
    assert {row[2]: row[6] for row in rows} == {name: told[name]["best"] for name in told} | {"promptmae": "not ranked"}
    one, _ = summary_rows([r for r in records if r.cell.seed == 1])
    assert "best" not in one and "±" not in one  # noqa: PT018
