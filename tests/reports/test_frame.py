from __future__ import annotations

import math

import pandas as pd
import pytest

from bench.execution.summary import summary_rows
from bench.records.parts import Curve
from bench.records.record import Record
from bench.reports.frame import anchored, curves, tidy, written
from bench.reports.names import noise_name
from bench.reports.tables.accuracy import accuracy_tables
from bench.reports.tables.averages import DatasetGroup, dataset_groups
from bench.reports.tables.summary import summarize
from bench.variants import variant_text
from tests.reports.factory import cell, changed, grid, record

NOISES = (("none", 0.0), ("symmetric", 0.5))


def test_units_and_excess():
    made = record(cell("coop", "symmetric", 0.5), last=0.55)
    row = tidy([made]).iloc[0]
    assert row["last"] == pytest.approx(55)
    memorized = made.curve.memorized
    assert row["memorized"] == pytest.approx(100 * float(memorized[-1] or 0))
    assert row["memorized_excess"] == pytest.approx(100 * (float(memorized[-1] or 0) - 0.05))
    assert row["steps"] == {"all": 250, "loss": 250}


def test_labels_show_options_that_differ_from_the_default_only():
    cells = [cell("gce-coop", options={"q": q, "context": 16}) for q in (0.5, 0.7)]
    frame = tidy([record(c) for c in cells], {"gce-coop": {"q": 0.7, "context": 16}})
    assert sorted(frame["label"]) == ["GCE-CoOp", "GCE-CoOp[q=0.5]"]
    alone = tidy([record(cells[0])], {"gce-coop": {"q": 0.7, "context": 16}})
    assert list(alone["label"]) == ["GCE-CoOp[q=0.5]"]


def test_labels_without_known_defaults_show_what_varies():
    cells = [cell("theirs", options={"q": q, "k": 3}) for q in (0.5, 0.7)]
    assert sorted(tidy([record(c) for c in cells])["label"]) == ["theirs[q=0.5]", "theirs[q=0.7]"]
    assert list(tidy([record(cells[0])])["label"]) == ["theirs"]


def test_variant_text_spells_booleans_as_on_the_command_line():
    assert variant_text("m", {"b": True, "a": 0.50, "c": "x"}) == "m[a=0.5,b=true,c=x]"


def test_settings_never_mix_protocols():
    records = [record(cell(seed=s, learning_rate=lr)) for s in (1, 2) for lr in (0.002, 0.01)]
    frame = tidy(records)
    assert frame["setting"].nunique() == 2
    assert frame.groupby("setting")["seed"].nunique().tolist() == [2, 2]


@pytest.mark.parametrize("folders", [("写真", "画像"), ("a-b", "a b")])
def test_data_sets_whose_names_no_file_name_tells_apart_are_not_mixed(folders: tuple[str, str]):
    frame = tidy([record(cell(dataset=f"folder:x/{name}", seed=s)) for s in (1, 2) for name in folders])
    assert frame.groupby("setting")["dataset"].nunique().tolist() == [1, 1]
    assert frame.groupby("setting")["seed"].nunique().tolist() == [2, 2]
    assert frame["setting"].str.fullmatch(r"[A-Za-z0-9_.-]+").all()


def test_options_that_a_paper_sets_by_rate_do_not_split_its_row():
    def joapr(rate: float, warmup: int) -> Record:
        return record(cell("joapr", "symmetric", rate, budget="paper", options={"warmup": warmup}))

    one = tidy([joapr(0.25, 20), joapr(0.5, 1)], {"joapr": {"warmup": 10}})
    assert set(one["variant"]) == {"joapr"}
    two = tidy([joapr(0.25, 20), joapr(0.5, 1), joapr(0.5, 7)], {"joapr": {"warmup": 10}})
    assert set(two["variant"]) == {"joapr[warmup=20]", "joapr[warmup=1]", "joapr[warmup=7]"}
    constant = tidy([joapr(0.25, 20), joapr(0.5, 20)], {"joapr": {"warmup": 10}})
    assert set(constant["variant"]) == {"joapr[warmup=20]"}


def test_options_of_one_seed_and_of_another_are_never_one_row_under_the_paper_budget():
    two = [
        record(cell("coop", seed=s, budget="paper", options={"context": c}), a)
        for s, c, a in ((1, 4, 0.9), (2, 16, 0.4))
    ]
    found = summarize(tidy(two, {"coop": {"context": 16}}))
    assert sorted(zip(found["label"], found["n"], strict=True)) == [("CoOp", 1), ("CoOp[context=4]", 1)]


def test_a_table_says_which_options_a_row_sets_by_noise():
    told = "Options that a row sets by noise: JoAPR: warmup."
    by_rate = [
        record(cell("joapr", "symmetric", r, budget="paper", options={"warmup": w})) for r, w in ((0.25, 20), (0.5, 1))
    ]
    (table,) = accuracy_tables(tidy(by_rate, {"joapr": {"warmup": 10}}))
    assert told in table.notes
    (table,) = accuracy_tables(tidy(by_rate[:1], {"joapr": {"warmup": 10}}))
    assert told not in table.notes


def test_under_the_paper_budget_methods_bring_their_own_epochs():
    records = [record(cell("coop", budget="paper")), record(cell("joapr", budget="paper", epochs=30))]
    assert len(set(tidy(records)["setting"])) == 1
    both = tidy([*records, record(cell("coop", budget="paper", epochs=5))])
    assert set(both["label"]) == {"CoOp[epochs=5]", "CoOp[epochs=50]", "JoAPR"}


@pytest.mark.parametrize(("budget", "found"), [("equal", 2), ("tuned", 2), ("paper", 1)])
def test_views_are_part_of_the_setting_except_where_each_method_brings_its_own(budget: str, found: int):
    records = [record(cell(method, budget=budget, views=views)) for method, views in (("coop", 0), ("gce-coop", 8))]
    assert tidy(records)["setting"].nunique() == found
    assert len({row[0] for row in summary_rows(records)[1]}) == found, "as `bench table` does"
    captions = [table.caption[0] for table in accuracy_tables(tidy(records))]
    assert len(captions) == found
    assert sum("50 epochs, 8 augmented views, " in caption for caption in captions) == found - 1


def test_data_sets_with_other_views_are_not_averaged():
    def over_two(views: int) -> list[DatasetGroup]:
        cells = [cell(m, dataset=d, views=v) for m in ("coop", "elr") for d, v in (("digits", 0), ("letters", views))]
        return list(dataset_groups(tidy(map(record, cells))))

    assert [group.datasets for group in over_two(0)] == [("digits", "letters")]
    assert over_two(8) == []


def test_oracles_are_marked_and_get_the_clean_column():
    frame = tidy(grid(methods=("coop",)))
    oracle = frame[frame["section"] == "oracle"]
    assert set(oracle["label"]) == {"CoOp (clean subset, oracle)†"}
    full = anchored(frame)
    clean = full[(full["section"] == "oracle") & (full["noise"] == "none")]
    own = frame[(frame["section"] == "method") & (frame["noise"] == "none")]
    assert sorted(clean["last"]) == sorted(own["last"])
    assert len(full) == len(frame) + len(own)


def test_a_method_that_is_told_a_secret_is_an_oracle_at_every_rate():
    told = record(cell("theirs", "symmetric", 0.5)).model_copy(update={"oracle": ["noise_rate"]})
    frame = tidy([told, record(cell("theirs"))])
    assert set(frame["section"]) == {"oracle"}


def test_a_method_that_is_told_a_secret_in_one_setting_is_no_oracle_in_another():
    def under(validation: str) -> list[Record]:
        told = ["clean_validation"] if validation == "clean" else []
        cells = [cell(method, seed=s, validation=validation) for method in ("coop", "gce-coop") for s in (1, 2)]
        return [changed(record(one), oracle=told if one.method == "gce-coop" else []) for one in cells]

    frame = tidy([*under("noisy"), *under("clean")])
    found = {str(v): set(part["label"]) for v, part in frame.groupby("validation")}
    assert found == {"noisy": {"CoOp", "GCE-CoOp"}, "clean": {"CoOp", "GCE-CoOp (oracle)†"}}
    columns, rows = summary_rows([*under("noisy"), *under("clean")])
    ranked = {(row[0], row[2]) for row in rows if row[columns.index("best")]}
    assert ranked == {("digits · validation noisy", "coop"), ("digits · validation noisy", "gce-coop")}


def test_bench_table_takes_an_oracle_for_one_at_every_rate_too():
    cells = [cell(m, *noise, s) for m in ("coop", "elr", "sce") for noise in NOISES for s in (1, 2)]
    records = [record(one) for one in cells]
    told = [changed(r, oracle=["noise_rate"] if r.cell.method == "sce" and r.cell.rate else []) for r in records]
    columns, rows = summary_rows(told)
    assert {row[2] for row in rows if row[columns.index("best")]} == {"coop", "elr"}


def test_non_finite_numbers_are_absent():
    broken = record(cell(), last=math.nan)
    row = tidy([broken]).iloc[0]
    assert row["status"] == "no_number"
    assert math.isnan(row["last"])
    assert tidy([]).empty
    empty = tidy([record(cell(), last=math.inf), changed(record(cell(seed=2)), curve={}, cost={})])
    assert empty["seconds"].isna().sum() == 1


def test_the_newest_of_two_versions_stands():
    old, new = record(cell(), 0.5, versions={"method": 1}), record(cell(), 0.6, versions={"method": 2})
    old.provenance.finished, new.provenance.finished = "2030-01-01", "2031-01-01"
    assert tidy([new, old])["last"].tolist() == pytest.approx([60])


def test_curves_are_long_and_keep_the_row_after_finalize():
    made = record(cell("coop", "symmetric", 0.5, epochs=3), last=0.5)
    made.curve = Curve(epoch=[0, 1, 1], test_accuracy=[0.6, 0.7, 0.8], loss_clean=[1.0, None, 2.0])
    long = curves([made, record(cell(seed=2), status="failed")], tidy([made, record(cell(seed=2), status="failed")]))
    accuracy = long[long["quantity"] == "test_accuracy"]
    assert accuracy[["epoch", "value"]].to_numpy().tolist() == [[0, 60], [1, pytest.approx(80)]]
    assert long.loc[long["quantity"] == "loss_clean", "value"].tolist() == [1, 2]
    assert set(long["seed"]) == {1}


def test_the_order_of_records_does_not_matter():
    records = grid(seeds=(1, 2))
    pd.testing.assert_frame_equal(tidy(records), tidy(records[::-1]))


def test_a_plugin_that_is_called_as_a_method_is_shown_does_not_stand_in_its_row():
    (table,) = accuracy_tables(tidy([record(cell("coop"), 0.9), record(cell("CoOp"), 0.1)]))
    rows = {row.label: row.entries[0].printed for section in table.sections for row in section.rows}
    assert rows == {"CoOp": "90.0", "CoOp (plugin)": "10.0"}
    assert {noise_name("symmetric"), noise_name("Symmetric")} == {"Symmetric", "Symmetric (plugin)"}


def test_counts_are_written_to_the_last_digit_and_other_numbers_with_six():
    assert [written(value) for value in (2637824.0, 1 / 3, 93.50649, 0.005, 1e-8, 1e300, -2.0)] == [
        "2637824", "0.333333", "93.5065", "0.005", "1e-08", "1e+300", "-2",
    ]  # fmt: skip
