from __future__ import annotations

import math

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.execution.summary import summary_rows
from bench.records.record import Record
from bench.reports.document import Table, TableEntry
from bench.reports.frame import tidy
from bench.reports.html.overview import overviews
from bench.reports.names import noise_name
from bench.reports.statistics.paired import paired_frame
from bench.reports.tables.accuracy import UNRANKED, accuracy_tables
from bench.reports.tables.averages import average_tables, dataset_groups
from bench.reports.tables.choice import Choice
from bench.reports.tables.columns import WIDEST, column_sets, head
from bench.reports.tables.cost import cost_frame, cost_tables
from bench.reports.tables.ties import judge, resolution
from bench.reports.tables.training import memorization_tables
from bench.standing import NEAR, Judged, identifiable
from bench.statistics import Spread
from tests.reports.factory import GRID, cell, changed, grid, record


def only(records: list[Record]) -> Table:
    (table,) = accuracy_tables(tidy(records))
    return table


def unranked(records: list[Record]) -> list[str]:
    return [note.removeprefix(UNRANKED)[:-1] for note in only(records).notes if note.startswith(UNRANKED)]


def entries(table: Table, label: str) -> tuple[TableEntry, ...]:
    (found,) = [row.entries for section in table.sections for row in section.rows if row.label == label]
    return found


def test_numbers_are_those_of_plain_pandas():
    records = grid(seeds=(1, 2, 3))
    rows = [(r.cell.method, r.cell.noise, r.cell.rate, r.accuracy.last) for r in records if r.cell.subset == "all"]
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
    symmetric, asymmetric, beyond = accuracy_tables(tidy(grid(methods=("coop",), columns=columns, oracle=False)))
    assert (symmetric.name.rpartition("-")[2], asymmetric.name.rpartition("-")[2]) == ("symmetric", "asymmetric")
    assert symmetric.head[0] == asymmetric.head[0] == ("", "Clean")
    assert (len(symmetric.head), len(asymmetric.head)) == (5, 4)
    assert beyond.head == (("Asymmetric", "75 %"),)


@pytest.mark.parametrize(
    ("kind", "rate", "known"),
    [
        ("asymmetric", 0.5, True),
        ("asymmetric", 0.75, False),
        ("superclass", 0.6, False),
        ("cifar10-map", 0.6, False),
        ("class-map[file=a.csv]", 0.6, False),
        ("replacement[pattern=pair]", 0.75, False),
        ("replacement", 0.75, True),
        ("symmetric", 0.75, True),
        ("instance[temperature=0.5]", 0.75, True),
        ("human[labels=worst]", 0.0, True),
    ],
)
def test_above_one_half_pairs_of_classes_cannot_be_told_apart(kind: str, rate: float, known: bool):
    assert identifiable(kind, rate) == known


@pytest.mark.parametrize(
    ("kind", "classes", "below", "beyond"),
    [
        ("symmetric", 2, 0.49, 0.5),
        ("symmetric", 3, 0.66, 2 / 3),
        ("symmetric[per_class=true]", 10, 0.89, 0.9),
        ("symmetric", 100, 0.98, 0.99),
        ("replacement", 2, 0.49, 0.5),
        ("replacement[pattern=pair]", 10, 0.5, 0.51),
        ("imbalanced", 10, 0.75, 0.9),
        ("imbalanced[shape=half]", 10, 0.45, 0.5),
        ("instance", 2, 0.4, 0.6),
        ("confusion", 10, 0.7, 0.75),
        ("confusion[by=zero-shot,top_share=0.6]", 10, 0.6, 0.65),
        ("asymmetric", 10, 0.5, 0.51),
        ("asymmetric", 2, 0.49, 0.5),  # of two classes it is what symmetric noise is
    ],
)
def test_the_limit_of_a_kind_is_where_a_wrong_label_is_as_common_as_the_true_one(kind, classes, below, beyond):
    assert (identifiable(kind, below, classes), identifiable(kind, beyond, classes)) == (True, False)


@pytest.mark.parametrize("kind", ["symmetric-inclusive", "open-set", "none", "unknown"])
def test_kinds_under_which_true_labels_stay_the_commonest_have_no_limit(kind):
    assert identifiable(kind, 0.999, 2)


def test_of_two_classes_symmetric_noise_above_one_half_is_not_ranked():
    half = [("symmetric", 0.4), ("symmetric", 0.6)]
    records = [changed(r, data={"classes": 2}) for r in grid(columns=half, oracle=False)]
    records.append(record(cell("joapr", "symmetric", 0.6, 3), status="failed", reason="lost, and its classes with it"))
    usual, beyond = accuracy_tables(tidy(records))
    assert (usual.head, beyond.head) == ((("Symmetric", "40 %"),), (("Symmetric", "60 %"),))
    assert ranked(beyond) == set()
    assert ranked(usual)
    assert beyond.notes[-1].startswith("At Symmetric 60 % a wrong label is as common as the true one")
    assert set(paired_frame(tidy(records))["rate"]) == {0.4}
    assert [best.column for best in overviews(tidy(records))[0].best] == ["Symmetric 40 %"]
    columns, rows = summary_rows(records)
    place = columns.index("best")
    assert {row[1] for row in rows if row[place]} == {"symmetric 0.4"}


def test_an_average_leaves_out_what_no_label_tells_on_one_of_its_data_sets():
    records = [
        changed(r, data={"classes": classes})
        for name, classes in (("digits", 10), ("letters", 2))
        for r in grid(columns=[("symmetric", 0.25), ("symmetric", 0.6)], oracle=False, dataset=name)
    ]
    (group,) = dataset_groups(tidy(records))
    assert group.beyond == (("symmetric", 0.6),)
    assert set(group.averages["rate"]) == {0.25}


def test_the_caption_says_what_the_few_cells_of_more_seeds_show():
    records = [record(cell(m, seed=s)) for m in ("coop", "joapr", "elr") for s in (1, 2) if m == "coop" or s == 1]
    assert "One seed where no (n) stands, and mean" in " ".join(only(records).caption)
    assert "One seed, so no spread is known." in only([r for r in records if r.cell.seed == 1]).caption


def ranked(table: Table) -> set[str]:
    return {row.label for section in table.sections for row in section.rows for e in row.entries if e.mark or e.near}


def test_beyond_one_half_stands_apart_beside_zero_shot_and_is_not_ranked():
    columns = [("none", 0.0), ("asymmetric", 0.25), ("asymmetric", 0.75)]
    usual, beyond = accuracy_tables(tidy(grid(columns=columns, oracle=False, sd=0.001)))
    assert len(usual.head) == 2
    assert [row.label for row in beyond.sections[0].rows] == ["Zero-shot"]
    assert ranked(beyond) == set()
    assert ranked(usual)
    (alone,) = accuracy_tables(tidy(grid(methods=("coop",), columns=columns[2:], oracle=False)))
    assert "Zero-shot, the level to compare with, was not run." in alone.notes


def test_names_of_noise_with_options_are_words():
    assert noise_name("human[labels=worst]") == "Human (labels worst)"
    assert noise_name("theirs[a=1,file=/some/where/my_pairs.csv]") == "Theirs (a 1, file my_pairs.csv)"
    assert head([("human[labels=worst]", 0.0), ("given", 0.0), ("instance[temperature=0.5]", 0.25)]) == (
        ("Human", "labels worst"), ("", "Given"), ("Instance-dependent (temperature 0.5)", "25 %"),
    )  # fmt: skip


def test_other_budgets_stand_in_tables_of_their_own():
    first, second = accuracy_tables(tidy([record(cell("coop", epochs=e)) for e in (50, 200)]))
    assert first.notes == (f"Other budgets on the same data stand in tables of their own: {second.setting}.",)
    assert len(first.sections[0].rows) == 1
    for other in ({"precision": "tf32"}, {"validation": "clean"}):
        notes = accuracy_tables(tidy([record(cell("coop")), record(cell("coop", **other))]))[0].notes
        assert notes[-1].startswith("Other settings on the same data stand in tables of their own: digits-")


def planted(accuracies: dict[str, float]) -> list[Record]:
    return [record(cell(method), last) for method, last in accuracies.items()]


def shown(records: list[Record]) -> dict[str, tuple[str, str]]:
    """Mark, and what is said of the distance from the best, of each row in the first column."""
    rows = only(records).sections[0].rows
    return {row.label: (row.entries[0].mark, NEAR * row.entries[0].near + row.entries[0].signs) for row in rows}


def test_what_is_printed_alike_shares_a_mark_and_two_that_are_best_leave_no_second():
    records = planted({"coop": 0.80001, "gce-coop": 0.79999, "joapr": 0.75, "visprompt": 0.7})
    assert shown(records) == {
        "CoOp": ("best", ""), "GCE-CoOp": ("best", ""), "JoAPR": ("", ""), "VisPrompt": ("", ""),
    }  # fmt: skip
    records = planted({"coop": 0.81, "gce-coop": 0.75, "joapr": 0.75, "visprompt": 0.7})
    assert shown(records) == {
        "CoOp": ("best", ""), "GCE-CoOp": ("second", ""), "JoAPR": ("second", ""), "VisPrompt": ("", ""),
    }  # fmt: skip
    assert shown(planted({"coop": 0.8, "joapr": 0.8})) == {"CoOp": ("best", ""), "JoAPR": ("best", "")}


def seeded(levels: dict[str, tuple[float, ...]]) -> list[Record]:
    return [record(cell(m, seed=i + 1), a) for m, values in levels.items() for i, a in enumerate(values)]


def test_what_the_seeds_do_not_tell_from_the_best_is_shown_lightly():
    # paired differences 2, 4, 6: t = 4 / (2 / sqrt 3) = 3.46 with 2 degrees of freedom, p = 0.074
    near = seeded({"coop": (0.70, 0.72, 0.71), "joapr": (0.68, 0.68, 0.65)})
    assert stats.ttest_rel((0.70, 0.72, 0.71), (0.68, 0.68, 0.65)).pvalue == pytest.approx(0.0742, abs=1e-4)
    assert shown(near) == {"CoOp": ("best", ""), "JoAPR": ("second", "·")}
    assert "·: the seeds do not tell it from the best." in only(near).caption
    # differences 4, 4.1, 3.9 while the seeds themselves differ by 20 points: paired, they are far apart
    far = seeded({"coop": (0.60, 0.70, 0.80), "joapr": (0.56, 0.659, 0.761)})
    assert shown(far) == {"CoOp": ("best", ""), "JoAPR": ("second", "")}


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.integers(30, 90), min_size=3, max_size=3), min_size=2, max_size=2),
)
def test_of_two_methods_the_rule_is_the_paired_t_test(values: list[list[int]]):
    one, other = (np.array(row, dtype=float) for row in values)
    off = one - other
    hypothesis.assume(off.std() > 0)
    rows = pd.DataFrame(
        {"label": ["a"] * 3 + ["b"] * 3, "seed": [1, 2, 3] * 2, "last": [*one, *other], "mask": "", "noise": "none",
         "rate": 0.0, "section": "method", "status": "done"}
    )  # fmt: skip
    (judged,) = judge(rows).values()
    assert judged.apart(0, 1) == (stats.ttest_rel(one, other).pvalue <= 0.05)


def test_rows_of_other_seeds_or_wrong_labels_are_not_ranked():
    records = seeded({"coop": (0.7, 0.7, 0.71), "joapr": (0.6, 0.6, 0.61), "visprompt": (0.9, 0.9)})
    assert shown(records) == {"CoOp": ("best", ""), "JoAPR": ("second", ""), "VisPrompt": ("", "")}
    for one in records[3:6]:
        one.noise.digest = "e" * 16
    records = records[:6] + seeded({"promptmae": (0.65, 0.65, 0.66)})
    assert shown(records) == {"CoOp": ("best", ""), "JoAPR": ("", ""), "PromptMAE": ("second", "")}


def test_rows_that_are_not_ranked_are_named_with_their_columns_whatever_their_number_of_seeds():
    def of(method: str, seeds: tuple[int, ...], noise: tuple[str, float], level: float) -> list[Record]:
        return [record(cell(method, *noise, seed), level + 0.01 * seed) for seed in seeds]

    records = [one for noise in GRID[:2] for m, a in (("coop", 0.8), ("joapr", 0.7)) for one in of(m, (1, 2), noise, a)]
    assert unranked(records) == []
    late = of("promptmae", (2, 3), GRID[0], 0.95)
    assert unranked([*records, *late]) == ["PromptMAE (Clean)"]
    assert [entry.mark for entry in entries(only([*records, *late]), "PromptMAE")] == ["", ""]
    late += of("promptmae", (2, 3), GRID[1], 0.95)
    for one in (others := of("elr", (1, 2), GRID[1], 0.9)):
        one.noise.digest = "e" * 16
    assert unranked([*records, *late, *others]) == ["PromptMAE; ELR (Symmetric 25 %)"]
    assert unranked([*records[:2], *late[:2]]) == ["CoOp; PromptMAE"], "neither is ranked"


def test_averages_name_the_rows_that_are_not_ranked():
    seeds = {"coop": (1, 2), "gce-coop": (1, 2), "promptmae": (2, 3)}
    cells = [cell(m, seed=s, dataset=d) for m, found in seeds.items() for s in found for d in ("digits", "letters")]
    (group,) = dataset_groups(tidy(map(record, cells)))
    (table,) = average_tables(group)
    assert f"{UNRANKED}PromptMAE." in table.notes


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


def test_a_note_speaks_of_the_columns_that_were_tested_and_no_others():
    """Before, "in every column" was said beside columns of one seed, and of a best that two rows share."""
    half = [record(cell(m, "symmetric", 0.5, s), b + s / 1000) for m, b in (("coop", 0.8), ("joapr", 0.9)) for s in
            (1, 2, 3)]  # fmt: skip
    clean = planted({"coop": 0.90, "joapr": 0.9011})
    texts = only([*half, *clean]).notes
    assert "Best and second are apart at Symmetric 50 % (a paired t-test over 3 seeds" in texts[0]
    assert texts[1].startswith("One seed cannot separate methods at Clean: no spread is known")
    near = [record(cell(m, "asymmetric", 0.5, s), 0.8 + s * d) for m, d in (("coop", 0.01), ("joapr", 0.02)) for s in
            (1, 2)]  # fmt: skip
    first = only([*half, *clean, *near]).notes[0]
    assert "apart at Symmetric 50 %, not at Asymmetric 50 % (a paired t-test over 2 to 3 seeds" in first
    assert ": 2 seeds are too few" in first
    alike = seeded({"coop": (0.9461, 0.9466, 0.9471), "joapr": (0.9511, 0.9516, 0.9521)})
    (coarse,) = accuracy_tables(tidy(alike), Choice(digits=0))
    assert [row.entries[0].mark for row in coarse.sections[0].rows] == ["best", "best"]
    assert not any("Best and second" in note for note in coarse.notes)
    assert "apart in every column" in only(alike).notes[0]


def test_seeds_resolve_large_differences_and_not_small_ones():
    def two(gap: float) -> str:
        noise = (0.01, 0.0, -0.01)
        levels = {"coop": (0.7, 0.7, 0.7), "joapr": tuple(0.7 - gap + x for x in noise)}
        (text,) = resolution(judge(tidy(seeded(levels))))
        return text

    # differences with a standard deviation of 1 over 3 seeds: t = 4.303 with 2 degrees of freedom, / sqrt 3 = 2.48
    assert two(0.02) == (
        "Best and second are apart in no column (a paired t-test over 3 seeds with the same wrong labels, two-sided "
        "5 %): 3 seeds are too few, and would need differences of 2.5 points there."
    )
    assert two(0.03).startswith("Best and second are apart in every column")


def test_one_unstable_method_is_no_tie_where_the_others_agree_on_the_noise():
    wave = (0.008, -0.012, 0.004, 0.011, -0.007, 0.009, -0.01, 0.006, 0.012, -0.004, 0.007)
    steady = {f"m{i}": tuple(0.9 - i / 1000 + x for x in wave[i : i + 3]) for i in range(1, 9)}
    records = seeded({**steady, "joapr": (0.76, 0.85, 0.81)})
    ((_, judged),) = judge(tidy(records)).items()
    high, low = (judged.values[i] for i in (0, -1))  # noqa: PD011 - no frame
    assert judged.labels[-1] == "JoAPR"
    assert stats.ttest_rel(high, low).pvalue > 0.05
    assert judged.apart(0, len(judged.labels) - 1)
    assert shown(records)["JoAPR"] == ("", "")
    d0, own = judged.spread.df0, float(np.var(high - low, ddof=1))
    sd = math.sqrt((d0 * judged.spread.variance0 + 2 * own) / (d0 + 2))
    needed = stats.t.ppf(0.975, min(d0 + 2, 8 * 2)) * sd / math.sqrt(3)
    assert judged.needed(0, len(judged.labels) - 1) == pytest.approx(needed)


def test_one_unstable_method_is_not_near_the_best_because_its_own_seeds_differ():
    steady = {"coop": (0.91, 0.92, 0.93), "sce": (0.92, 0.91, 0.92), "elr": (0.91, 0.92, 0.91)}
    wild = {"joapr": (0.95, 0.92, 0.60)}
    # alone with the best, no test could tell 82.3 ± 19.4 from 92.0
    assert shown(seeded({"coop": steady["coop"], **wild})) == {"CoOp": ("best", ""), "JoAPR": ("second", "U")}
    assert shown(seeded({**steady, **wild}))["JoAPR"] in {("", "U"), ("", "")}
    assert (
        "U: unstable, its seeds spread at least 3 times as far as the others'."
        in only(seeded({"coop": steady["coop"], **wild})).caption
    )


@pytest.mark.parametrize(
    ("spread", "others", "unstable"),
    [(2.9, (0.1, 0.9), False), (3.1, (0.1, 0.9), True), (5.9, (2.0, 2.0), False), (6.1, (2.0, 2.0), True)],
)
def test_unstable_is_a_spread_of_three_times_the_median_of_the_others(
    spread: float, others: tuple[float, float], unstable: bool
):
    wave = np.array([-1.0, 0.0, 1.0])  # of sample standard deviation 1
    values = np.array([90 + spread * wave, *(80 + sd * wave for sd in others)])
    judged = Judged(("a", "b", "c"), values, Spread.fitted([]))
    assert [judged.unstable(place) for place in range(3)] == [unstable, False, False]
    one = Judged(("a", "b"), values[:2, :1], Spread.fitted([]))
    assert not one.unstable(0)


def test_an_unstable_best_is_said_to_be_unstable():
    records = seeded({"coop": (0.99, 0.95, 0.70), "joapr": (0.80, 0.81, 0.80), "sce": (0.79, 0.80, 0.80)})
    assert shown(records)["CoOp"] == ("best", "U")


def test_one_unstable_method_does_not_hide_the_order_of_the_others():
    records = seeded({"coop": (0.9, 0.91), "joapr": (0.5, 0.51), "elr": (0.1, 0.85), "sce": (0.905, 0.902)})
    # ELR's own seeds differ by 75 points, but its mean lies below that of JoAPR, which is apart from the best
    assert shown(records) == {
        "CoOp": ("best", ""), "SCE": ("second", "·"), "JoAPR": ("", ""), "ELR": ("", ""),
    }  # fmt: skip


def test_memorization_table_has_the_share_the_excess_and_the_recovered():
    records = grid(methods=("zero-shot", "coop"), seeds=(1, 2), oracle=False)
    (table,) = memorization_tables(tidy(records))
    assert table.head[0] == ("Symmetric", "25 %")
    shares = [100 * float(r.curve.memorized[-1] or 0) for r in records if r.cell.method == "coop" and r.cell.rate]
    memorized, excess, recovered = (section.rows[1] for section in table.sections)
    assert memorized.entries[0].mean == pytest.approx(sum(shares[:2]) / 2)
    assert excess.entries[0].mean == pytest.approx(sum(shares[:2]) / 2 - 5)
    assert recovered.label == "CoOp"
    assert {e.mark for section in table.sections for row in section.rows for e in row.entries} == {""}


def test_cost_averages_and_common_columns():
    records = grid(methods=("coop", "joapr"), oracle=False)
    records = [r for r in records if not (r.cell.method == "joapr" and r.cell.rate == 0.5)]
    records[0].cost.seconds = 13.1
    costs = cost_frame(tidy(records)).set_index("label")
    assert costs.loc["CoOp", "seconds"] == pytest.approx(3.1 + 10 / 10)
    assert costs.loc["JoAPR", "records"] == 6
    assert set(costs["common_columns"]) == {3}
    kept = [100 * float(r.accuracy.last or 0) for r in records if r.cell.method == "coop" and r.cell.rate < 0.5]
    assert costs.loc["CoOp", "accuracy"] == pytest.approx(sum(kept) / len(kept))


def test_peak_memory_has_a_column_where_it_is_known():
    made = record(cell())
    made.cost.peak_memory_bytes = 3 * 2**20
    (table,) = cost_tables(tidy([made, record(cell("joapr"))]))
    assert table.head[-1] == ("", "Peak memory (MiB)")
    assert [row.entries[-1].text for row in table.sections[0].rows] == ["3", "–"]


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ({"all": 250, "ce": 250, "gce": 180}, "250 (gce 180)"),
        ({"all": 218, "soft_ce": 168}, "218 (soft ce 168)"),
        ({"all": 250, "ce": 250}, "250"),
        ({"all": 300, "ce": 100, "mae": 200}, "300 (mae 200, ce 100)"),
        ({"all": 300, "a": 10, "b": 20, "c": 30}, "300 (c 30, b 20, ...)"),
        ({}, "0"),
    ],
)
def test_cost_lists_the_loss_terms_that_are_not_in_every_step(steps: dict[str, int], text: str):
    made = record(cell("visprompt"))
    made.cost.optimizer_steps = steps
    (table,) = cost_tables(tidy([made]))
    assert table.sections[0].rows[0].entries[2].text == text


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([1] * 6, {"": 7}),
        ([1] * 7, {"-kinds-1": 5, "-kinds-2": 4}),
        ([1] * 10, {"-kinds-1": 6, "-kinds-2": 6}),
        ([3, 3, 1], {"-k0": 4, "-k1": 4, "-k2": 2}),
        ([6, 1, 1], {"-k0": 7, "-kinds": 3}),
    ],
)
def test_kinds_of_one_rate_each_share_tables(rates: list[int], expected: dict[str, int]):
    columns = [("none", 0.0), *((f"k{i}", 0.1 * (r + 1)) for i, count in enumerate(rates) for r in range(count))]
    sets = column_sets(pd.DataFrame(columns, columns=["noise", "rate"]))
    assert {suffix: len(found) for suffix, found in sets} == expected
    assert all(found[0] == ("none", 0.0) and len(found) <= WIDEST for _, found in sets)
    shown = [column for _, found in sets for column in found[1:]]
    assert sorted(shown) == sorted(columns[1:])


def test_what_of_the_training_is_equal_is_said_in_captions_and_beside_the_costs():
    (equal,) = cost_tables(tidy(grid()))
    assert "50 epochs, the same optimizer for all (sgd, batch 32, learning rate 0.002)." in equal.caption[0]
    assert equal.notes[0] == (
        "The same for all: epochs, optimizer, learning rate, batch size, the epoch that counts (the last). "
        "Each method's own: steps, passes."
    )
    assert {"Steps", "Passes"} <= {name for _, name in equal.head}
    own = [
        record(cell(method, epochs=epochs, optimizer=optimizer, budget="paper"))
        for method, epochs, optimizer in (("zero-shot", 9, "sgd"), ("coop", 200, "sgd"), ("gce-coop", 50, "adam"))
    ]
    (paper,) = cost_tables(tidy(own))
    assert paper.notes[0] == (
        "The same for all: learning rate, batch size, the epoch that counts (the last). "
        "Each method's own: epochs, optimizer, steps, passes."
    )
