"""Names that stood for different things are told apart wherever records are grouped by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.execution.summary import summary_rows
from bench.records.naming import Content, made_with, mixture, newest
from bench.records.parts import Accuracy, Data, Provenance
from bench.records.record import Record
from bench.records.store import Store
from bench.regression.baseline import CountedRecords, read_baseline
from bench.regression.comparison import compare, write_baseline
from bench.regression.findings import GateRules
from bench.regression.stored import write_store as write_baseline_of
from bench.reports.frame import tidy
from bench.reports.names import column_name
from bench.reports.tables.accuracy import accuracy_tables
from bench.reports.tables.averages import average_tables, dataset_groups
from bench.reports.tables.summary import summarize
from bench.schedulers.work import lost_record
from bench.settings.schema import load_config
from bench.suspects.groups import label_sets
from bench.suspects.score import rank
from tests.reports.factory import cell, record, write_store

SEEDS = (1, 2, 3, 4)


def made(seed: int, last: float, **origin: Any) -> Record:
    """A record of CoOp under a mask, and what its names stood for: data, weights, file, version, code, engine."""
    told = {"data": "d" * 64, "weights": "w" * 64, "file": "f" * 64, "version": 1, "code": "c" * 12, "engine": "e" * 12}
    told |= {"dataset": "digits", "templates": "{}", "reader": "b" * 12, "tower": "t" * 12, "under": {}} | origin
    versions = {"noise": told["file"], "dataset": told["data"], "backbone": told["weights"], "method": told["version"]}
    versions |= told["under"]
    one = record(cell("coop", "mask[file=a.csv]", 0.0, seed, dataset=told["dataset"]), last, versions=versions)
    one.noise.truth = True
    one.data = Data(digest=told["data"], class_names=["a", "b"], templates=[told["templates"]])
    noted = {
        "resolved": {
            "method": told["version"],
            "noise": {"kind": "mask", "version": 1, "options": {"file": f"sha256:{told['file']}"}},
            "dataset": "digits 1",
            "backbone": f"sha256:{told['weights']}",
            **told["under"],
        },
        "sources": {
            "engine": told["engine"],
            "method": told["code"],
            "noise": "a" * 12,
            "dataset": told["reader"],
            "backbone": told["tower"],
        },
        "finished": f"2026-01-01T00:00:0{seed}",
    }
    one.provenance = Provenance.model_validate(noted)
    return one


CHANGES: dict[str, Any] = {
    "data": "1" * 64, "weights": "2" * 64, "file": "3" * 64, "version": 2, "code": "4" * 12, "templates": "a {}",
    "tower": "5" * 12, "under": {"alpha=some": 2},
}  # fmt: skip
different = pytest.mark.parametrize("what", CHANGES)


def two(what: str) -> list[Record]:
    """Two seeds at 91 %, and then two at 10 % of something else behind the same name."""
    return [made(s, 0.91) for s in SEEDS[:2]] + [made(s, 0.10, **{what: CHANGES[what]}) for s in SEEDS[2:]]


@different
def test_no_table_averages_two_experiments(what: str) -> None:
    frame = tidy(two(what))
    places = frame[["setting", "variant", "noise"]].drop_duplicates()
    assert len(places) == 2, "a row, a column or a table of its own"
    found = summarize(frame)
    assert sorted(zip(found["n"], found["mean"].round(), strict=True)) == [(2, 10.0), (2, 91.0)]


@different
def test_the_table_at_the_end_of_a_run_does_not_either(what: str) -> None:
    _, rows = summary_rows(two(what))
    assert sorted(row[3:5] for row in rows) == [["2", "10.0"], ["2", "91.0"]]
    assert len({tuple(row[:3]) for row in rows}) == 2, "rows that differ in number differ in name"


@pytest.mark.parametrize(
    ("what", "where", "name"),
    [
        ("data", "dataset", "digits (111111)"), ("weights", "backbone", "tiny (222222)"),
        ("version", "label", "CoOp[version=2]"), ("code", "label", "CoOp[code=444444]"),
        ("tower", "backbone", "tiny (code 555555)"), ("under", "label", "CoOp[alpha=some version=1]"),
    ],
)  # fmt: skip
def test_what_differs_is_named_by_the_digest_in_the_record(what: str, where: str, name: str) -> None:
    assert name in set(tidy(two(what))[where])


def test_a_column_names_the_file_by_its_content() -> None:
    columns = {column_name(noise, rate) for noise, rate in tidy(two("file"))[["noise", "rate"]].to_numpy()}
    assert len(columns) == 2
    assert all(name.startswith("Mask (file a.csv, content ") for name in columns)


def test_files_of_one_name_in_two_folders_are_two_columns_by_name_too() -> None:
    both = [made(1, 0.9), made(1, 0.9, file="3" * 64)]
    both = [
        one.model_copy(update={"cell": one.cell.model_copy(update={"noise": f"mask[file={folder}/a.csv]"})})
        for one, folder in zip(both, "xy", strict=True)
    ]
    columns = {column_name(noise, rate) for noise, rate in tidy(both)[["noise", "rate"]].to_numpy()}
    assert len(columns) == 2


def test_seeds_that_are_rerun_supersede_those_of_an_older_version_and_others_stay_apart() -> None:
    old, new = [made(s, 0.2) for s in SEEDS[:3]], [made(s, 0.9, version=2) for s in SEEDS[:2]]
    for one in new:
        one.provenance.finished = "2026-02-01"
    found = summarize(tidy([*old, *new]))
    assert sorted(zip(found["label"], found["n"], strict=True)) == [("CoOp[version=1]", 1), ("CoOp[version=2]", 2)]
    assert newest([*old[:2], *new]) == sorted(new, key=lambda one: one.key)


def test_a_version_under_a_condition_is_told_of_cells_that_meet_it_alone() -> None:
    old, new, others = (
        [made(s, last, **origin) for s in SEEDS[:2]]
        for last, origin in ((0.9, {}), (0.8, {"under": {"depth=2": 2}}), (0.7, {}))
    )
    for number, one in enumerate([*old, *new, *others]):
        one.cell = one.cell.model_copy(update={"options": {"depth": 1 + (number < 4)}, "seed": number})
    labels = set(tidy([*old, *new, *others])["label"])
    assert labels == {"CoOp[depth=1]", "CoOp[depth=2,depth=2 version=1]", "CoOp[depth=2,depth=2 version=2]"}
    assert set(tidy([*new, *others])["label"]) == {"CoOp[depth=1]", "CoOp[depth=2]"}


def versions(**change: Any) -> list[Record]:
    """CoOp of version 1 with three seeds, and of version 2, later and lower, with two; the third was lost."""
    later = change or {"version": 2}
    old, new = [made(s, 0.9) for s in SEEDS[:3]], [made(s, 0.8, **later) for s in SEEDS[:2]]
    for one in new:
        one.provenance.finished = "2026-02-01"
    return [*old, *new]


@pytest.mark.parametrize("key", ["0" * 16, "f" * 16])
def test_a_lost_cell_supersedes_its_older_versions_and_goes_with_the_newest(key: str) -> None:
    lost = lost_record(key, cell("coop", "mask[file=a.csv]", 0.0, 3), "failed", "died")
    assert {one.key for one in newest([*versions(), lost])} == {key, *(one.key for one in versions()[3:])}
    found = summarize(tidy([*versions(), lost]))
    assert found[["label", "n", "signs"]].to_numpy().tolist() == [["CoOp", 2, "F"]]
    assert round(found["mean"][0], 6) == 80
    columns, rows = summary_rows([*versions(), lost])
    unfinished = {row[2]: row[columns.index("unfinished")] for row in rows}
    assert unfinished == {"coop (version 1)": "", "coop (version 2)": "1"}


def test_a_lost_cell_goes_with_the_newest_version_under_a_condition_too() -> None:
    lost = lost_record("0" * 16, cell("coop", "mask[file=a.csv]", 0.0, 3), "failed", "died")
    records = versions(under={"faithful": 2})
    found = summarize(tidy([*records[:2], *records[3:], lost]))
    assert found[["label", "n", "signs"]].to_numpy().tolist() == [["CoOp", 2, "F"]]
    columns, rows = summary_rows([*records, lost])
    unfinished = {row[2]: row[columns.index("unfinished")] for row in rows}
    assert unfinished == {"coop (faithful version 1)": "", "coop (faithful version 2)": "1"}


def test_a_lost_cell_is_superseded_by_whatever_came_later() -> None:
    lost = lost_record("0" * 16, cell("coop", "mask[file=a.csv]", 0.0, 1), "failed", "died")
    lost.provenance.finished = "2026-01-15"
    both = [made(1, 0.9), made(1, 0.5, data="1" * 64)]
    both[1].provenance.finished = "2026-02-01"
    assert sorted(one.key for one in newest([lost, *both])) == sorted(one.key for one in both)


def test_a_lost_cell_supersedes_the_last_of_other_contents_alone() -> None:
    lost = lost_record("0" * 16, cell("coop", "mask[file=a.csv]", 0.0, 1), "failed", "died")
    first, second = made(1, 0.9), made(1, 0.5, data="1" * 64)
    second.provenance.finished = "2026-02-01"
    assert newest([first, second, lost]) == [lost, first]


@pytest.mark.parametrize("change", [{"version": 2}, {"under": {"faithful": 2}}], ids=str)
def test_no_group_of_a_baseline_mixes_versions(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    assert write_baseline(versions(**change), path) == 1
    (group,) = read_baseline(path).groups.values()
    assert group.accuracy == {1: 80, 2: 80}
    assert set(group.keys.values()) == {one.key for one in versions(**change)[3:]}
    store = Store(write_store(tmp_path / "store", versions(**change)))
    notes = write_baseline_of(store, load_config(None), path).notes
    assert [note for note in notes if "plugin version than" in note] == [
        "seeds of an earlier plugin version than others of their cells do not count: 1 of the records; `bench run` "
        "makes them anew."
    ]
    lost = lost_record("f" * 16, cell("coop", "mask[file=a.csv]", 0.0, 3), "failed", "died")
    (group,) = CountedRecords.of([*versions(**change), lost]).groups.values()
    assert (group.accuracy, group.failed) == ({1: 80, 2: 80}, {3: "died"})


def test_contents_are_not_superseded() -> None:
    records = [made(1, 0.2), made(1, 0.9, data="1" * 64)]
    assert len(newest(records)) == 2, "another data set is another experiment, whichever came later"


def test_a_record_that_did_not_finish_goes_with_the_others_of_its_name() -> None:
    broken = record(cell("coop", "mask[file=a.csv]", 0.0, 9), status="failed", reason="it broke")
    assert len(tidy([*two("data"), broken])["setting"].unique()) == 2, "no table of its own for a cell without data"


def test_old_records_without_origin_are_one_with_those_that_have_it_unless_these_differ() -> None:
    plain = made(5, 0.9)
    plain.provenance = Provenance()
    assert set(tidy([plain, made(1, 0.9)])["label"]) == {"CoOp"}
    assert set(tidy([plain, *two("code")])["label"]) == {
        "CoOp[code=unrecorded]", "CoOp[code=cccccc]", "CoOp[code=444444]",
    }  # fmt: skip
    assert set(tidy([plain, *two("under")])["label"]) == {
        f"CoOp[alpha=some version={told}]" for told in ("unrecorded", 1, 2)
    }


def test_digests_that_begin_alike_are_still_told_apart() -> None:
    alike = [made(1, 0.9, data="a" * 63 + "0"), made(2, 0.1, data="a" * 63 + "1")]
    assert len(set(tidy(alike)["dataset"])) == 2


def test_tables_say_which_records_were_not_made_alike() -> None:
    records = [made(1, 0.9), made(2, 0.9, engine="9" * 12)]
    records[0].provenance.versions = {"torch": "2.8.0"}
    records[1].provenance.versions = {"torch": "2.11.0"}
    told = "Not all records were made alike: engine 999999 (1), eeeeee (1); torch 2.11.0 (1), 2.8.0 (1)."
    assert mixture(map(made_with, records)) == told
    (table,) = accuracy_tables(tidy(records))
    assert told in table.notes
    assert mixture(map(made_with, records[:1])) == ""


def test_other_code_of_a_data_set_is_said() -> None:
    records = [made(1, 0.9), made(2, 0.9, reader="8" * 12), made(3, 0.9, reader="7" * 12, dataset="letters")]
    told = "Not all records were made alike: code of digits 888888 (1), bbbbbb (1)."
    assert mixture(map(made_with, records)) == told


def over_two(**origin: Any) -> tuple[list[str], tuple[str, ...]]:
    """Labels of averages over data sets that have a number, and the notes, of records of two; the second's origin."""
    second = {"dataset": "letters", "data": "1" * 64, **origin}
    frame = tidy([*(made(s, 0.9) for s in SEEDS), *(made(s, 0.5, **second) for s in SEEDS)])
    found = list(dataset_groups(frame))
    tables = [table for group in found for table in average_tables(group)]
    labels = [label for group in found for label in group.averages.query("n > 0")["label"]]
    return labels, tuple(note for table in tables for note in table.notes)


@pytest.mark.parametrize("what", ["version", "code"])
def test_averages_over_data_sets_do_not_mix_code(what: str) -> None:
    assert over_two()[0] == ["CoOp"]
    assert over_two(**{what: CHANGES[what]})[0] == [], "neither has a number on every data set"


def test_averages_over_data_sets_say_what_was_not_made_alike() -> None:
    assert "Not all records were made alike: engine 999999 (4), eeeeee (4)." in over_two(engine="9" * 12)[1]
    assert not any("made alike" in note for note in over_two()[1])


def test_two_contents_of_a_data_set_are_no_two_data_sets() -> None:
    assert over_two(dataset="digits") == ([], ())
    third = [made(s, 0.2, dataset="theirs", data="3" * 64) for s in SEEDS]
    both = [
        made(s, last, dataset=name, data=data * 64)
        for s in SEEDS
        for name, data, last in (("digits", "d", 0.9), ("digits", "1", 0.1), ("letters", "2", 0.5))
    ]
    (group,) = dataset_groups(tidy([*third, *both]))
    assert group.datasets == ("letters", "theirs")
    (table,) = average_tables(group)
    assert "Left out, because one data set counts once: digits (111111), digits (dddddd)." in table.notes


def test_rows_of_the_summary_differ_in_every_field_that_a_cell_has() -> None:
    records = [record(cell(seed=s, learning_rate=rate), rate * 100) for s in (1, 2) for rate in (0.001, 0.005)]
    _, rows = summary_rows(records)
    assert sorted(row[:1] + row[3:5] for row in rows) == [
        ["digits · learning rate 0.001", "2", "10.0"], ["digits · learning rate 0.005", "2", "50.0"],
    ]  # fmt: skip


def test_rates_that_begin_alike_are_rows_and_columns_of_their_own() -> None:
    records = [record(cell("coop", "symmetric", rate), last) for rate, last in ((0.5, 0.9), (0.50001, 0.1))]
    _, rows = summary_rows(records)
    assert sorted(row[1:5:2] for row in rows) == [["symmetric 0.5", "1"], ["symmetric 0.50001", "1"]]
    assert [column_name("symmetric", rate) for rate in (0.5, 0.125, 1 / 3, 0.50001)] == [
        "Symmetric 50 %", "Symmetric 12.5 %", "Symmetric 33.333333333333 %", "Symmetric 50.001 %",
    ]  # fmt: skip


@pytest.mark.parametrize("what", ["data", "weights", "file"])
def test_the_gate_never_holds_one_experiment_against_another(what: str, tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    assert write_baseline([made(s, 0.91) for s in SEEDS], file) == 1
    both = [made(s, 0.91) for s in SEEDS] + [made(s, 0.10, **{what: CHANGES[what]}) for s in SEEDS]
    assert len(CountedRecords.of(both).groups) == 2
    found = compare(both, file)
    assert (found.counts["same"], found.counts["new"], found.exit_code) == (1, 1, 0)
    other = [record(cell("zero-shot", seed=s)) for s in SEEDS]
    write_baseline([*other, *(made(s, 0.91) for s in SEEDS)], file)
    changed = [made(s, 0.91, **{what: CHANGES[what]}) for s in SEEDS]
    found = compare([*other, *changed], file)
    assert (found.counts["missing"], found.counts["new"], found.exit_code) == (1, 1, 1)
    (note,) = [finding.note for finding in found.of("missing")]
    assert "digest of" in note, "the line names both"


def test_the_average_of_a_method_is_over_noise_and_not_over_contents(tmp_path: Path) -> None:
    file, both = (
        tmp_path / "baseline.json",
        [made(s, a, data=d * 64) for s in SEEDS for d, a in (("1", 0.9), ("2", 0.5))],
    )
    write_baseline(both, file)
    found = compare(both, file)
    assert (found.counts["same"], [one for one in found.findings if one.level == "method"]) == (2, [])


def test_a_skipped_cell_is_missing_with_its_reason_whatever_its_contents(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    write_baseline([made(s, 0.91) for s in SEEDS] + [record(cell("zero-shot", seed=s)) for s in SEEDS], file)
    skipped = [made(s, 0.9).model_copy(update={"status": "skipped", "reason": "no truth"}) for s in SEEDS]
    (missing,) = compare([*skipped, *(record(cell("zero-shot", seed=s)) for s in SEEDS)], file).of("missing")
    assert missing.note == "skipped now: no truth"


@pytest.mark.parametrize("partial", [True, False])
def test_a_seed_that_fails_before_it_says_its_contents_is_a_seed_of_the_baseline_that_fails(
    partial: bool, tmp_path: Path
) -> None:
    file = tmp_path / "baseline.json"
    write_baseline([made(s, 0.91) for s in SEEDS], file)
    broken = made(1, 0.91).model_copy(
        update={"status": "failed", "reason": "boom", "data": Data(), "accuracy": Accuracy()}
    )
    found = compare([broken, *(made(s, 0.91) for s in SEEDS[1:])], file, GateRules(partial=partial))
    assert (found.counts["failed"], found.counts["new"], found.exit_code) == (1, 0, 1)
    assert "seed 1: boom" in found.of("failed")[0].note


def test_a_baseline_that_does_not_say_its_contents_is_compared_by_name(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    write_baseline([made(s, 0.91) for s in SEEDS], file)
    text = file.read_text()
    start, end = text.index('"content"'), text.index('"keys"')
    file.write_text(text[:start] + text[end:])
    assert compare([made(s, 0.91) for s in SEEDS], file).counts["same"] == 1


def test_contents_agree_where_nothing_known_of_both_differs() -> None:
    assert Content("a", "b").may_be(Content("a", "", "c"))
    assert not Content("a").may_be(Content("b"))


def outcomes(_: str) -> dict[str, np.ndarray[Any, Any]]:
    labels = np.array([0, 1, 0, 1])
    return {
        "positions": np.arange(4), "true": labels, "observed": labels, "visible": np.arange(4),
        "losses": np.ones((2, 4), np.float32), "predictions": np.zeros((2, 4), np.int16),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("what", "sets"), [("data", 2), ("file", 2), ("templates", 2), ("weights", 1), ("code", 1), ("tower", 1)]
)
def test_suspects_pool_only_what_saw_the_same_labels(what: str, sets: int) -> None:
    found = label_sets(two(what), outcomes)
    assert len(found) == len({(one.dataset, one.noise) for one in found}) == sets
    if sets == 1:
        assert rank(found[0]).table["methods"].max() == 2, "other weights or code are another method"


def test_suspects_pool_records_that_do_not_say_their_code_with_those_that_do() -> None:
    old = [made(s, 0.9) for s in SEEDS[:2]]
    for one in old:
        one.provenance = Provenance()
    (one,) = label_sets([*old, *(made(s, 0.9) for s in SEEDS[2:])], outcomes)
    assert (len(one.members), rank(one).table["methods"].max()) == (4, 1)
