from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.records.store import Store
from bench.regression.baseline import write_baseline
from tests.reports.factory import cell, grid, record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three methods, five noises, two seeds; one cell has failed, one is a fold."""
    made = Store(tmp_path / "records")
    for one in grid(("zero-shot", "coop", "gce-coop"), seeds=(1, 2), oracle=False):
        made.publish(one, {})
    made.publish(record(cell("joapr", seed=1), status="failed", reason="it broke"), {})
    made.publish(record(cell("coop", seed=1, subset="fold1of4")), {})
    return made


def test_one_row_per_cell_with_what_its_record_says(store: Store) -> None:
    frame = bench.load(store.root).frame()
    records = {one.key: one for one in store.records() if one.cell.fold is None}
    assert sorted(frame["key"]) == sorted(records)
    for row in frame.to_dict("records"):
        one = records[row["key"]]
        told = (row["method"], row["noise"], row["rate"], row["seed"], row["status"])
        assert told == (one.cell.method, one.cell.noise, one.cell.rate, one.cell.seed, one.status)
        if one.status == "done":
            assert row["last"] == pytest.approx(100 * float(one.accuracy.last or 0))
    assert frame.loc[frame["status"] == "failed", "reason"].tolist() == ["it broke"]
    assert {"GCE-CoOp", "CoOp", "Zero-shot"} < {*frame["label"]}, "0.7, the default, is no part of a name"


def test_one_row_per_cell_and_epoch_with_what_its_record_says(store: Store) -> None:
    curves = bench.load(store.root).curves()
    assert not curves.duplicated(["key", "epoch"]).any()
    records = {one.key: one for one in store.records() if one.cell.fold is None and one.status == "done"}
    assert {*curves["key"]} == {*records}
    for key, rows in curves.groupby("key"):
        curve = records[str(key)].curve.columns
        last = dict(zip(curve["epoch"], curve["test_accuracy"], strict=True))  # of an epoch that stands twice the last
        assert rows["epoch"].tolist() == sorted(last)
        assert rows["test_accuracy"].tolist() == pytest.approx([100 * float(v or 0) for v in last.values()])
        memorized = curve["memorized"][-1]
        expected = math.nan if memorized is None else 100 * memorized
        assert rows["memorized"].iloc[-1] == pytest.approx(expected, nan_ok=True)


def test_tables_of_some_records_alone(store: Store) -> None:
    keys = [one.key for one in store.records() if one.cell.method == "coop" and one.cell.fold is None]
    some = bench.Results(store.root, keys)
    assert {*some.frame()["key"]} == {*some.curves()["key"]} == {*keys}
    assert len(list(some.records())) == len(list(store.records())), "as a store it is whole"


def test_a_store_without_records_and_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = bench.load(tmp_path / "empty")
    assert len(empty.frame()) == len(empty.curves()) == 0
    failed = Store(tmp_path / "failed")
    failed.publish(record(cell("coop"), status="failed", reason="no"), {})
    assert len(bench.load(failed.root).frame()) == 1
    assert len(bench.load(failed.root).curves()) == 0
    with pytest.raises(bench.BenchError, match=r"absent\" does not exist; give the folder"):
        bench.load(tmp_path / "absent")


def test_what_is_no_record_is_told(store: Store) -> None:
    (Path(store.root) / "0123456789abcdef.json").write_text("{", encoding="utf-8")
    results = bench.load(store.root)
    assert len(results.frame()) == 31
    assert list(results.problems) == ["0123456789abcdef"]


def test_a_report_beside_a_store_in_the_home_folder(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path(store.root).parent))
    monkeypatch.chdir(tmp_path)
    name = Path(store.root).name
    for out, place in ((None, f"{name}/report"), ("~/elsewhere", "elsewhere")):
        files = bench.report(f"~/{name}", out, formats=["markdown"], figures=0)
        assert files[0] == Path.home() / place / "report.md"
    assert not (tmp_path / "~").exists()


def test_a_report(store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = bench.report(store.root, tmp_path / "there", formats=["csv"], figures=0)
    assert files[0] == tmp_path / "there" / "report.md"
    assert len(pd.read_csv(tmp_path / "there" / "tables" / "records.csv")) == 31
    assert not list(tmp_path.rglob("*.html"))
    bench.report(bench.load(store.root), formats=["markdown"], figures=0)
    assert (Path(store.root) / "report" / "report.md").is_file()
    assert capfd.readouterr() == ("", "")
    with pytest.raises(bench.BenchError, match='unknown table format "pdf"'):
        bench.report(store.root, formats=["pdf"])  # type: ignore[list-item]
    with pytest.raises(bench.BenchError, match="name the folder of the report with out="):
        bench.report(Store("memory://somewhere"))


def test_a_comparison(store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    baseline = tmp_path / "baseline.json"
    write_baseline(store.records(), baseline)
    same = bench.compare(store.root, baseline)
    assert same.counts["same"] == 15
    assert {finding.verdict for finding in same.findings if finding.level == "method"} == {"same"}
    json.dumps(same.as_json())
    worse = Store(tmp_path / "worse")
    for one in store.records():
        if one.cell.method != "coop":
            worse.publish(one, {})
    assert bench.compare(worse, baseline).exit_code == 1
    assert bench.compare(worse, baseline, partial=True).exit_code == same.exit_code
    with pytest.raises(bench.BenchError, match="nothing compared"):
        bench.compare(worse, baseline, planned=bench.plan(store=worse.root, method="coop", seed=77))
    assert capfd.readouterr() == ("", "")
