from __future__ import annotations

import math

import pandas as pd
import pytest

from bench.cell import Record
from reports.costs import cost_frame, cost_tables
from reports.frame import tidy
from reports.resolution import resolution
from reports.tables import (
    Entry,
    Table,
    accuracy_tables,
    memorization_tables,
    summarize,
)
from tests.reports.factory import GRID, cell, grid, record


def only(records: list[Record]) -> Table:
    (table,) = accuracy_tables(tidy(records))
    return table


def entries(table: Table, label: str) -> tuple[Entry, ...]:
    (found,) = [row.entries for section in table.sections for row in section.rows if row.label == label]
    return found


def test_numbers_are_those_of_plain_pandas():
    records = grid(seeds=(1, 2, 3))
    rows = [(r.cell.method, r.cell.noise, r.cell.rate, r.accuracy["last"]) for r in records if r.cell.subset == "all"]
    plain = pd.DataFrame(rows, columns=["m", "k", "r", "a"]).groupby(["m", "k", "r"])["a"].agg(["mean", "std"]) * 100
    for method, label in (("coop", "CoOp"), ("visprompt", "VisPrompt"), ("zero-shot", "Zero-shot")):
        for entry, (kind, rate) in zip(entries(only(records), label), [GRID[0], *GRID[1:]], strict=True):
            expected = plain.loc[(method, kind, rate)]
            assert (entry.mean, entry.sd) == (pytest.approx(expected["mean"]), pytest.approx(expected["std"], abs=1e-9))


def test_columns_and_sections():
    table = only(grid())
    assert table.head == (
        ("", "Clean"), ("Symmetric", "25 %"), ("Symmetric", "50 %"), ("Asymmetric", "25 %"), ("Asymmetric", "50 %"),
    )  # fmt: skip
    labels = [[row.label for row in section.rows] for section in table.sections]
    assert labels == [
        ["Zero-shot"],
        ["CoOp", "GCE-CoOp", "PromptMAE", "JoAPR", "VisPrompt"],
        ["CoOp (clean subset, oracle)†"],
    ]


def test_wide_tables_are_split_by_noise_kind_with_the_clean_column_in_each():
    columns = [("none", 0.0), *((k, r) for k in ("symmetric", "asymmetric") for r in (0.125, 0.25, 0.5, 0.75))]
    tables = accuracy_tables(tidy(grid(methods=("coop",), columns=columns, oracle=False)))
    assert [t.name.rpartition("-")[2] for t in tables] == ["symmetric", "asymmetric"]
    assert all(t.head[0] == ("", "Clean") and len(t.head) == 5 for t in tables)


def planted(accuracies: dict[str, float]) -> list[Record]:
    return [record(cell(method), last) for method, last in accuracies.items()]


def test_ties_to_the_printed_precision_share_the_mark():
    table = only(planted({"coop": 0.80001, "gce-coop": 0.79999, "joapr": 0.75, "promptmae": 0.75, "visprompt": 0.7}))
    marks = {row.label: row.entries[0].mark for row in table.sections[0].rows}
    assert marks == {"CoOp": "best", "GCE-CoOp": "best", "JoAPR": "second", "PromptMAE": "second", "VisPrompt": ""}


def test_reference_and_oracle_rows_are_never_ranked():
    records = [*planted({"zero-shot": 0.95, "coop": 0.8, "joapr": 0.7}), record(cell("coop", "symmetric", 0.5), 0.5)]
    records += [
        record(cell("joapr", "symmetric", 0.5), 0.4),
        record(cell("coop", "symmetric", 0.5, subset="clean"), 0.9),
    ]
    table = only(records)
    assert [e.mark for e in entries(table, "Zero-shot")] == ["", ""]
    assert [e.mark for e in entries(table, "CoOp (clean subset, oracle)†")] == ["", ""]
    assert [e.mark for e in entries(table, "CoOp")] == ["best", "best"]
    assert any(note == "No trained method is above zero-shot at: Clean." for note in table.notes)


def test_one_method_is_not_the_best_of_anything():
    table = only(grid(methods=("zero-shot", "coop"), oracle=False))
    assert {e.mark for e in entries(table, "CoOp")} == {""}
    assert not any("bold" in sentence for sentence in table.caption)


def test_missing_failed_and_short_cells_are_marked():
    records = grid(methods=("coop", "joapr"), seeds=(1, 2), columns=GRID[:3], oracle=False)
    records = [r for r in records if r.cell.method == "coop" or r.cell.noise == "none"]
    records.append(record(cell("joapr", "symmetric", 0.25, 1), status="diverged"))
    records.append(record(cell("joapr", "symmetric", 0.25, 2)))
    clean, quarter, half = entries(only(records), "JoAPR")
    assert (clean.n, clean.show_n, clean.signs) == (2, False, "")
    assert (quarter.n, quarter.show_n, quarter.signs, quarter.spread) == (1, True, "D", "")
    assert (half.n, half.printed, half.signs) == (0, "–", "")
    notes = " ".join(only(records).notes)
    assert all(text in notes for text in ("D: at least one seed diverged", "(n): number", "–: no number"))


def test_a_cell_that_failed_on_every_seed_has_its_sign_and_no_number():
    records = [record(cell("coop")), record(cell("joapr"), status="out_of_memory", reason="too large")]
    (entry,) = entries(only(records), "JoAPR")
    assert (entry.printed, entry.signs) == ("–", "M")


def test_a_single_seed_has_no_spread_and_says_so():
    table = only(grid(seeds=(1,)))
    assert {e.spread for section in table.sections for row in section.rows for e in row.entries} == {""}
    assert "One seed, so no spread is known." in table.caption
    assert any("cannot separate" in note for note in table.notes)


def test_non_finite_accuracies_do_not_reach_a_mean():
    records = [record(cell(seed=1), 0.5), record(cell(seed=2), math.nan), record(cell(seed=3), math.inf)]
    (entry,) = entries(only(records), "CoOp")
    assert (entry.mean, entry.n, entry.signs) == (pytest.approx(50), 1, "N")


def test_nothing_finished_is_still_a_table():
    table = only([record(cell(), status="failed", reason="x")])
    assert "No cell has finished." in table.caption
    assert memorization_tables(tidy([record(cell("coop", "symmetric", 0.5), status="failed")])) == []
    assert cost_tables(tidy([record(cell(), status="failed")]))[0].sections == ()


def test_many_methods():
    records = [record(cell(f"method_{i}%")) for i in range(400)]
    table = only(records)
    assert len(table.sections[0].rows) == 400


def test_seeds_resolve_large_differences_and_not_small_ones():
    def two(gap: float) -> pd.DataFrame:
        levels = {"coop": 0.7, "joapr": 0.7 - gap}
        return summarize(
            tidy([record(cell(m, seed=s), a + 0.01 * (s - 2)) for m, a in levels.items() for s in (1, 2, 3)])
        )

    # s = 1 with 4 degrees of freedom: t = 2.776, so 2.776 * sqrt(2/3) = 2.27 points
    assert "less than 2.3 points" in resolution(two(0.02), 3)[0]
    assert "too few to separate" in resolution(two(0.02), 3)[0]
    assert "further apart" in resolution(two(0.03), 3)[0]


def test_memorization_table_has_the_share_the_excess_and_the_recovered():
    records = grid(methods=("zero-shot", "coop"), seeds=(1, 2), oracle=False)
    (table,) = memorization_tables(tidy(records))
    assert table.head[0] == ("Symmetric", "25 %")
    shares = [100 * float(r.curve["memorized"][-1] or 0) for r in records if r.cell.method == "coop" and r.cell.rate]
    memorized, excess, recovered = (section.rows[1] for section in table.sections)
    assert memorized.entries[0].mean == pytest.approx(sum(shares[:2]) / 2)
    assert excess.entries[0].mean == pytest.approx(sum(shares[:2]) / 2 - 5)
    assert recovered.label == "CoOp"
    assert {e.mark for section in table.sections for row in section.rows for e in row.entries} == {""}


def test_cost_averages_and_common_columns():
    records = grid(methods=("coop", "joapr"), oracle=False)
    records = [r for r in records if not (r.cell.method == "joapr" and r.cell.rate == 0.5)]
    records[0].cost["seconds"] = 13.1
    costs = cost_frame(tidy(records)).set_index("label")
    assert costs.loc["CoOp", "seconds"] == pytest.approx(3.1 + 10 / 10)
    assert costs.loc["JoAPR", "records"] == 6
    assert set(costs["common_columns"]) == {3}
    kept = [100 * float(r.accuracy["last"] or 0) for r in records if r.cell.method == "coop" and r.cell.rate < 0.5]
    assert costs.loc["CoOp", "accuracy"] == pytest.approx(sum(kept) / len(kept))


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ({"all": 250, "ce": 250, "gce": 180}, "250 (gce 180)"),
        ({"all": 250, "ce": 250}, "250"),
        ({"all": 300, "ce": 100, "mae": 200}, "300 (mae 200, ce 100)"),
        ({"all": 300, "a": 10, "b": 20, "c": 30}, "300 (c 30, b 20, ...)"),
        ({}, "0"),
    ],
)
def test_cost_lists_the_loss_terms_that_are_not_in_every_step(steps: dict[str, int], text: str):
    made = record(cell("visprompt"))
    made.cost["optimizer_steps"] = steps
    (table,) = cost_tables(tidy([made]))
    assert table.sections[0].rows[0].entries[2].text == text
