from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bench.records.record import Record
from bench.reports.chapters.statistics import statistics_supplement
from bench.reports.document import Supplement, Table, TableEntry
from bench.reports.figures.folder import FigureFolder
from bench.reports.frame import tidy
from bench.reports.output.markdown import markdown_lines, markdown_table
from bench.reports.statistics.bootstrap import bootstrap_frame, bootstrap_tables
from bench.reports.statistics.friedman import (
    FEWEST,
    MEAN,
    friedman_test,
    ranking_frame,
    ranking_table,
    rankings,
    reason,
    verdict,
)
from bench.reports.statistics.paired import holm, paired_frame, paired_tables, sentence
from bench.reports.statistics.wilcoxon import signed_rank_p, signed_rank_table, signed_rank_words, signed_ranks
from bench.reports.tables.averages import DatasetGroup, average_tables, dataset_groups
from tests.reports.factory import GRID, cell, grid, record
from tests.reports.latex import compile_tables

SETS = ("digits", "letters", "a_b%")
# Demšar (2006, JMLR 7, table 6): AUC of C4.5, +m, +cf, +m+cf on 14 data sets
DEMSAR = [
    (0.763, 0.768, 0.771, 0.798), (0.599, 0.591, 0.590, 0.569), (0.954, 0.971, 0.968, 0.967),
    (0.628, 0.661, 0.654, 0.657), (0.882, 0.888, 0.886, 0.898), (0.936, 0.931, 0.916, 0.931),
    (0.661, 0.668, 0.609, 0.685), (0.583, 0.583, 0.563, 0.625), (0.775, 0.838, 0.866, 0.875),
    (1.000, 1.000, 1.000, 1.000), (0.940, 0.962, 0.965, 0.962), (0.619, 0.666, 0.614, 0.669),
    (0.972, 0.981, 0.9751, 0.975), (0.957, 0.978, 0.946, 0.970),
]  # fmt: skip


def several(count: int = 3, **changes: object) -> list[Record]:
    names = [*SETS, *(f"set{i}" for i in range(count))][:count]
    return [r for name in names for r in grid(dataset=name, seeds=(1, 2, 3), **changes)]  # type: ignore[arg-type]


def said(part: Supplement) -> str:
    return "\n".join(markdown_lines(part.chapters))


def group_of(records: list[Record]) -> DatasetGroup:
    (found,) = dataset_groups(tidy(records))
    return found


def entry(table: Table, label: str, section: int, column: int) -> TableEntry:
    (row,) = [row for row in table.sections[section].rows if row.label == label]
    return row.entries[column]


def plain(records: list[Record]) -> pd.DataFrame:
    return pd.DataFrame(
        [(r.cell.dataset, r.cell.method, r.cell.noise, r.cell.rate, r.cell.seed, 100 * float(r.accuracy.last or 0))
         for r in records if r.cell.subset == "all" and r.status == "done"],
        columns=["d", "m", "k", "r", "s", "a"],
    )  # fmt: skip


def test_averages_and_ranks_are_those_of_plain_pandas():
    records = several()
    (table,) = average_tables(group_of(records))
    numbers = plain(records)
    for column, (kind, rate) in enumerate(GRID):
        here = numbers[(numbers["k"] == kind) & (numbers["r"] == rate)]
        averages = here.groupby(["m", "s"])["a"].mean().groupby("m").agg(["mean", "std"])
        trained = here[here["m"] != "zero-shot"].groupby(["d", "m"])["a"].mean().unstack()  # noqa: PD010
        ranks = trained.rank(axis=1, ascending=False).mean()
        for method, label in (("coop", "CoOp"), ("visprompt", "VisPrompt")):
            found = entry(table, label, 1, column)
            assert (found.mean, found.sd, found.n) == (
                pytest.approx(averages.loc[method, "mean"]), pytest.approx(averages.loc[method, "std"]), 3,
            )  # fmt: skip
            assert entry(table, label, 3, column).text == f"{ranks[method]:.2f}"


def test_nothing_is_averaged_over_fewer_data_sets():
    records = [
        r for r in several() if not (r.cell.dataset == "letters" and r.cell.method == "joapr" and r.cell.rate == 0.5)
    ]
    records.append(record(cell("joapr", "symmetric", 0.5, 1, dataset="letters"), status="diverged"))
    records = [r for r in records if not (r.cell.dataset == "digits" and r.cell.method == "coop" and r.cell.seed == 3)]
    (table,) = average_tables(group_of(records))
    gone = entry(table, "JoAPR", 1, 2)
    assert (gone.printed, gone.signs, gone.n) == ("–", "D", 0)
    assert entry(table, "JoAPR", 3, 2).printed == "–"
    short = entry(table, "CoOp", 1, 1)
    two = plain(records)
    two = two[(two["m"] == "coop") & (two["k"] == "symmetric") & (two["r"] == 0.25) & (two["s"] < 3)]
    assert (short.n, short.show_n, short.mean) == (2, True, pytest.approx(two["a"].mean()))
    assert any("without a seed with a number on every data set" in note for note in table.notes)


def test_data_sets_that_share_no_seed_are_not_said_to_lack_runs():
    records = [
        record(cell(m, dataset=name, seed=s))
        for m in ("coop", "joapr")
        for name, seeds in (("digits", (1, 2)), ("letters", (3, 4)))
        for s in seeds
    ]
    (table,) = average_tables(group_of(records))
    assert "No method has a seed with a number on every data set." in table.caption
    assert any("no average" in note for note in table.notes)
    assert not any("not been run" in note for note in table.notes)


def test_protocols_are_never_mixed():
    one = several(2)
    for other in (
        grid(dataset="other", shots=4),
        grid(dataset="other", backbone="large"),
        grid(dataset="other[mode=tv]"),
        grid(dataset="other", budget="paper"),
        grid(dataset="other", epochs=200),
        grid(dataset="other", learning_rate=0.01),
    ):
        assert group_of([*one, *other]).datasets == ("digits", "letters")
    assert list(dataset_groups(tidy(grid()))) == []
    paper = [*grid(dataset="a", budget="paper"), *grid(dataset="b", budget="paper", epochs=200)]
    assert group_of(paper).datasets == ("a", "b")


def test_columns_of_some_data_sets_alone_and_beyond_one_half_are_left_out_by_name():
    records = [*several(2), *grid(dataset="digits", columns=[("symmetric", 0.75)]), record(cell("coop", "human"))]
    records += [r for name in SETS[:2] for r in grid(dataset=name, columns=[("asymmetric", 0.75)])]
    (table,) = average_tables(group_of(records))
    assert len(table.head) == len(GRID)
    text = " ".join(table.notes)
    assert "not run on every data set: Symmetric 75 %, Human (labels worst)." in text
    assert "labels cannot identify the truth there: Asymmetric 75 %." in text


def test_paired_tests_are_those_of_scipy():
    records = several(1)
    tests = paired_frame(tidy(records)).set_index(["label", "noise", "rate"])
    numbers = plain(records).set_index(["m", "k", "r"]).sort_index()
    for method, label in (("gce-coop", "GCE-CoOp"), ("visprompt", "VisPrompt")):
        for kind, rate in GRID:
            ours, base = (numbers.loc[(m, kind, rate), "a"].to_numpy() for m in (method, "coop"))
            expected = stats.ttest_rel(ours, base)
            found, interval = tests.loc[(label, kind, rate)], expected.confidence_interval(0.95)
            assert (found["difference"], found["p"]) == (
                pytest.approx((ours - base).mean()),
                pytest.approx(expected.pvalue),
            )
            assert (found["low"], found["high"]) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert len(tests) == 4 * len(GRID)
    assert set(tests["against"]) == {"CoOp"}


def test_pairs_need_the_same_seed_and_the_same_wrong_labels():
    records = [
        record(cell(m, seed=s), 0.5 + s / 100 + (m == "joapr") / 10) for m in ("coop", "joapr") for s in (1, 2, 3)
    ]
    records[5].noise.digest = "e" * 16
    records.append(record(cell("coop", seed=4), 0.9))
    (row,) = paired_frame(tidy(records)).to_dict("records")
    assert (row["n"], row["difference"], row["sd"]) == (2, pytest.approx(10), pytest.approx(0, abs=1e-9))
    assert row["p"] < 0.01


def test_holm_on_a_small_example():
    # 0.01 * 4, 0.03 * 2 after 0.02 * 3, 0.04 not below the one before it
    corrected = holm(np.array([0.04, math.nan, 0.01, 0.03, 0.02]))
    assert corrected.tolist() == pytest.approx([0.06, math.nan, 0.04, 0.06, 0.06], nan_ok=True)
    assert holm(np.array([])).tolist() == []


def test_equal_numbers_are_no_difference_and_constant_ones_are_not_certain():
    records = [record(cell(m, seed=s), 0.5 + g) for m, g in (("coop", 0), ("joapr", 0), ("elr", 0.25)) for s in (1, 2)]
    tests = paired_frame(tidy(records)).set_index("label")
    assert tests.loc["JoAPR", "p"] == 1
    # two seeds differ by the same number of test images now and then: a spread below 0.1 points is taken as 0.1
    assert tests.loc["ELR", "p"] == pytest.approx(2 * stats.t.sf(25 / (0.1 / math.sqrt(2)), 1))
    assert math.isnan(tests.loc["ELR", "high"])  # of two pairs no interval is given


def test_an_interval_is_given_from_three_pairs_on():
    levels = (("coop", (0.5, 0.5, 0.5)), ("joapr", (0.6, 0.61, 0.62)), ("elr", (0.6, 0.61)))
    records = [record(cell(m, seed=s + 1), a) for m, values in levels for s, a in enumerate(values)]
    tests = paired_frame(tidy(records)).set_index("label")
    assert tests["n"].to_dict() == {"JoAPR": 3, "ELR": 2}
    assert tests["high"].notna().to_dict() == {"JoAPR": True, "ELR": False}
    assert tests["p"].notna().all()


def test_few_seeds_are_said_to_be_few():
    close = [record(cell(m, seed=s), 0.5 + s / 100 * (m == "coop")) for m in ("coop", "joapr") for s in (1, 2, 3)]
    text = sentence(paired_frame(tidy(close)))
    # differences 1, 2, 3: s = 1, so 4.303 / sqrt 3 = 2.5 points
    assert text.startswith("None of the 1 differences from CoOp is apart. 3 seeds are few")
    assert "a difference of 2.5 points" in text
    single = tidy([record(cell(m)) for m in ("coop", "joapr")])
    assert "nothing can be tested" in sentence(paired_frame(single))
    assert paired_tables(single, paired_frame(single)) == []
    many = [record(cell(m, seed=s), 0.5 + s / 1000 + 0.1 * (m == "coop")) for m in ("coop", "joapr") for s in range(8)]
    assert (
        sentence(paired_frame(tidy(many))) == "1 of 1 differences from CoOp are apart (0 above, 1 below), over 8 seeds."
    )


def test_friedman_and_nemenyi_on_demsars_example():
    values = pd.DataFrame(DEMSAR, columns=["C4.5", "+m", "+cf", "+m+cf"])
    found = friedman_test(values)
    assert dict(found.ranks) == pytest.approx({"C4.5": 3.143, "+m": 2.0, "+cf": 2.893, "+m+cf": 1.964}, abs=1e-3)
    assert found.statistic == pytest.approx(stats.friedmanchisquare(*values.to_numpy().T).statistic)
    assert found.difference == pytest.approx(1.25, abs=0.01)  # the paper's: 2.569 * sqrt(4 * 5 / (6 * 14))
    scale = math.sqrt(4 * 5 / (6 * 14))
    by_hand = stats.studentized_range.sf((3.142857 - 1.964286) / scale * math.sqrt(2), 4, np.inf)
    assert found.pairs.loc["C4.5", "+m+cf"] == pytest.approx(by_hand, abs=1e-5)
    level = friedman_test(pd.DataFrame(np.ones((12, 3)), columns=list("abc")))
    assert (level.statistic, level.p, level.apart) == (0, 1, 0)
    assert verdict(level).startswith("Friedman's test finds no difference between methods (3 methods on 12 data sets")


def test_tests_over_data_sets_need_more_than_ten_and_are_recomputed():
    assert rankings(group_of(several(FEWEST - 1, columns=GRID[:2], oracle=False))) == []
    records = several(FEWEST, columns=GRID[:3], oracle=False)
    group = group_of(records)
    overall, clean, *_ = found = rankings(group)
    numbers = plain(records)
    wide = numbers[(numbers["m"] != "zero-shot") & (numbers["k"] != "none")]
    means = wide.groupby(["d", "m"])["a"].mean().unstack()  # noqa: PD010
    assert overall.statistic == pytest.approx(stats.friedmanchisquare(*means.to_numpy().T).statistic)
    assert overall.ranks["VisPrompt"] == pytest.approx(means.rank(axis=1, ascending=False).mean()["visprompt"])
    assert (clean.column, len(found), clean.datasets) == (("none", 0.0), 4, FEWEST)
    pairs = ranking_frame("g", found)
    assert len(pairs) == 4 * 10
    (first,) = ranking_table(group, found).sections
    assert first.rows[0].entries[4].text == f"{overall.apart} of 10"


def test_a_method_that_lacks_a_data_set_is_left_out_of_the_tests_and_named():
    records = several(FEWEST, columns=GRID[:2], oracle=False)
    group = group_of([r for r in records if (r.cell.method, r.cell.dataset) != ("joapr", "digits")])
    found = rankings(group)
    assert {one.left_out for one in found} == {("JoAPR",)}
    assert all("JoAPR" not in one.ranks for one in found)
    assert "Left out where they lack a data set or a column: JoAPR." in ranking_table(group, found).notes
    (table,) = signed_rank_table(group, signed_ranks(group))
    assert "Left out where they lack a data set or a column: JoAPR." in table.notes
    (intervals,) = bootstrap_tables(group, bootstrap_frame(group))
    assert "Left out where they lack a data set or a column: JoAPR." in intervals.notes


def test_signed_ranks_over_data_sets_are_those_of_scipy():
    assert signed_ranks(group_of(several(5, columns=GRID[:2]))).empty
    records = several(8, columns=GRID[:3], oracle=False)
    group = group_of(records)
    found = signed_ranks(group)
    assert list(found["noise"].iloc[:1]) == [MEAN[0]]
    numbers = plain(records)
    values = numbers[numbers["k"] == "none"].groupby(["d", "m"])["a"].mean().unstack()  # noqa: PD010
    clean = found[found["noise"] == "none"].set_index(["first", "second"])
    mine = clean.loc[("VisPrompt", "CoOp")]
    difference = values["visprompt"] - values["coop"]
    assert mine["p"] == pytest.approx(stats.wilcoxon(difference).pvalue)
    assert mine["difference"] == pytest.approx(difference.mean())
    assert (mine["above"], mine["below"]) == ((difference > 0).sum(), (difference < 0).sum())
    assert clean["p_holm"].tolist() == pytest.approx(multipletests(clean["p"], method="holm")[1].tolist())
    against = clean[clean["p_holm_baseline"].notna()]
    assert set(against.index.get_level_values("second")) == {"CoOp"}
    assert against["p_holm_baseline"].tolist() == pytest.approx(multipletests(against["p"], method="holm")[1].tolist())
    assert (clean["p_holm"] >= clean["p"]).all()


def test_signed_ranks_mark_what_is_certain_and_take_equal_numbers():
    sure = [
        record(cell(m, seed=s, dataset=f"set{d}"), 0.5 + gain + d / 100 + s / 1000)
        for m, gain in (("coop", 0.0), ("gce-coop", 0.0), ("visprompt", 0.1))
        for s in (1, 2)
        for d in range(9)
    ]
    group = group_of(sure)
    (table,) = signed_rank_table(group, signed_ranks(group))
    marks = {row.label: (row.entries[0].text, row.entries[0].signs) for row in table.sections[0].rows}
    words = signed_rank_words(signed_ranks(group))
    assert words.endswith("tell 1 of 2 methods apart from CoOp at Clean (1 above, 0 below).")
    assert marks == {"GCE-CoOp": ("0.0 (0/0)", ""), "VisPrompt": ("+10.0 (9/0)", "*")}


def test_means_that_differ_by_the_order_of_a_sum_alone_are_equal():
    """Of 8 data sets with equal means one was called better: ranks 1.56 and 1.44, better on one."""
    rows = [(5 * d + 3, 5 * d + 200, 5 * d + 301) for d in range(30)]
    moved = [(a + 3, b - 5, c + 2) for a, b, c in rows]  # the same sum
    means = [[float(np.mean([100 * (hits / 450) for hits in row])) for row in side] for side in (rows, moved)]
    assert means[0] != means[1]  # floats: some differ by 1e-14
    records = [
        record(cell(m, "symmetric", 0.5, s + 1, dataset=f"set{d}", epochs=1), hits[s] / 450)
        for m, side in (("coop", rows), ("gce-coop", moved))
        for d, hits in enumerate(side)
        for s in range(3)
    ]
    group = group_of(records)
    assert group.ranks["rank"].tolist() == [1.5, 1.5]
    (test,) = signed_ranks(group).to_dict("records")
    assert (test["above"], test["below"], test["p"], test["difference"]) == (0, 0, 1, 0)
    noise = np.array([[1e-14, -2e-14, 0, 1e-14, 0, 3e-14], [1, 1 + 1e-14, -1, 2, 3, 4]])
    assert signed_rank_p(noise).tolist() == signed_rank_p(np.array([[0.0] * 6, [1, 1, -1, 2, 3, 4]])).tolist()
    values = pd.DataFrame({"a": means[0], "b": means[1], "c": [90.0] * 30})
    assert dict(friedman_test(values).ranks) == {"c": 1, "a": 2.5, "b": 2.5}


def test_many_methods_are_tested_against_the_baseline_alone():
    records = [
        record(cell(m, dataset=f"set{d}", epochs=1))
        for m in ("coop", *(f"m_{i}%" for i in range(40)))
        for d in range(6)
    ]
    found = signed_ranks(group_of(records))
    assert set(found["second"]) == {"CoOp"}
    assert len(found) == 40


def test_bootstrap_intervals_hold_the_average_and_are_the_same_every_time():
    records = several(6, columns=GRID[:2])
    group = group_of(records)
    one, two = bootstrap_frame(group), bootstrap_frame(group)
    pd.testing.assert_frame_equal(one, two)
    assert ((one["low"] <= one["average"] + 1e-9) & (one["average"] <= one["high"] + 1e-9)).all()
    averages = group.averages.set_index(["label", "noise", "rate"])["mean"]
    for row in one.to_dict("records"):
        assert row["average"] == pytest.approx(averages[row["label"], row["noise"], row["rate"]])
    (table,) = bootstrap_tables(group, one)
    row = one[one["label"] == "CoOp"].iloc[0]
    text = f"{row['average']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
    assert text in [entry.text for r in table.sections[0].rows if r.label == "CoOp" for entry in r.entries]
    values = plain(records)
    values = values[(values["m"] == "coop") & (values["k"] == "none")].groupby("d")["a"].mean().to_numpy()
    by_hand = np.percentile(np.random.default_rng(0).choice(values, (4000, 6)).mean(axis=1), [2.5, 97.5])
    assert (row["low"], row["high"]) == (pytest.approx(by_hand[0], abs=0.2), pytest.approx(by_hand[1], abs=0.2))
    assert bootstrap_frame(group_of(several(4, columns=GRID[:2]))).empty


def test_the_part_of_a_report(tmp_path: Path):
    part, drawn = statistics_supplement(
        tidy(several(FEWEST, columns=GRID[:3], oracle=False, sd=0.003)), FigureFolder(tmp_path)
    )
    files = {"statistics", "averages", "statistics-datasets", "statistics-pairs", "statistics-averages"}
    assert set(part.files) == files
    (figure,) = drawn
    assert sorted(path.suffix for path in figure.files) == [".csv", ".pdf", ".png", ".svg"]
    assert "critical difference of" in figure.caption
    text = said(part)
    assert f"(figures/{figure.name}.png)" in text
    assert all(markdown_table(table) in text for table in part.tables)
    names = [table.name for table in part.tables]
    assert len(names) == len(set(names))


def test_few_data_sets_and_methods_get_sentences(tmp_path: Path):
    part, drawn = statistics_supplement(tidy(several(2)), FigureFolder(tmp_path))
    assert drawn == []
    assert "2 data sets are too few for a Friedman test of methods, which needs more than 10" in said(part)
    part, _ = statistics_supplement(tidy(grid(methods=("zero-shot", "coop"))), FigureFolder(tmp_path))
    assert "Fewer than two trained methods have numbers to compare." in said(part)
    part, _ = statistics_supplement(
        tidy([record(cell(m), status="failed", reason="x") for m in ("coop", "joapr")]), None
    )
    assert part.tables == ()


def test_one_or_two_methods_have_no_test_over_data_sets():
    two, one = (
        group_of([record(cell(m, dataset=f"set{d}", epochs=1)) for m in methods for d in range(FEWEST)])
        for methods in (("coop", "elr"), ("coop",))
    )
    assert reason(two, 2) == "A Friedman test needs three trained methods or more."
    assert signed_ranks(one).empty


def test_a_column_without_a_pair_is_explained():
    records = [record(cell(m, seed=s)) for m in ("coop", "joapr", "elr") for s in (1, 2)]
    frame = tidy([*records, *(record(cell(m, "symmetric", 0.25, s)) for m in ("coop", "joapr") for s in (1, 2))])
    (table,) = paired_tables(frame, paired_frame(frame))
    assert "–: no pair of one seed and the same wrong labels." in table.notes


def test_data_sets_without_a_common_column_are_said_to_have_none(tmp_path: Path):
    apart = [*grid(columns=GRID[1:2], dataset="digits"), *grid(columns=GRID[3:4], dataset="letters")]
    part, _ = statistics_supplement(tidy(apart), FigureFolder(tmp_path))
    assert "No noise column was run on every one of digits, letters, so nothing is averaged" in said(part)
    assert "too few for a Friedman test" not in said(part)


def test_many_methods_are_averaged_and_not_tested(tmp_path: Path):
    records = [
        record(cell(f"m_{i}%", seed=s, dataset=f"set{d}", epochs=1))
        for i in range(100)
        for s in (1, 2)
        for d in range(11)
    ]
    part, drawn = statistics_supplement(tidy(records), FigureFolder(tmp_path))
    assert drawn == []
    assert "100 methods are too many" in said(part)
    assert len(group_of(records).ranks) == 100


def test_tables_compile_with_booktabs_alone(tmp_path: Path):
    kinds = [*GRID[:2], ("human[labels=worst_%]", 0.0), ("replacement[pattern=pair]", 0.25)]
    part, _ = statistics_supplement(tidy(several(FEWEST, columns=kinds, oracle=False)), None)
    compile_tables(tmp_path, part.tables)
