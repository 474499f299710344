"""`bench status` counts what is in a store, whatever grid it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.cli import status
from bench.cli.main import invoke
from bench.grid.expansion import expand
from bench.records.record import Record
from bench.records.store import Store
from bench.settings.schema import load_config
from tests.reports.factory import cell, grid, record

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def filled(records: list[Record], root: str = "results") -> Store:
    store = Store(root)
    for one in records:
        store.publish(one, {})
    return store


def counted(capsys: Output, *arguments: str) -> dict[str, Any]:
    assert invoke(["status", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def of_no_grid() -> list[Record]:
    return [
        *(record(cell("coop", "symmetric", 0.5, seed)) for seed in (1, 2, 3)),
        record(cell("coop", "symmetric", 0.5, 4), status="timeout", reason="out of time"),
        record(cell("gce-coop", options={"q": 0.5}, dataset="dtd"), status="failed", reason="as ordered"),
        record(cell("coop", "given", dataset="folder:my photos", subset="clean"), status="skipped", reason="no truth"),
        record(cell("of-a-plugin", "of-another", 0.5, dataset="of-a-third")),
    ]


def test_records_of_no_grid_are_counted(capsys: Output) -> None:
    filled(of_no_grid(), "a store")
    total = counted(capsys, "--store", "a store")
    names = ("records", "cells", "done", "failed", "skipped", "todo", "estimate_seconds", "grids")
    assert [total[name] for name in names] == [7, 7, 4, 2, 1, 0, 0, []]
    assert total["by_status"] == {"done": 4, "failed": 1, "skipped": 1, "timeout": 1}
    groups = {(g["dataset"], g["noise"], g["method"]): g for g in total["groups"]}
    assert groups["digits", "symmetric 0.5", "coop"] == {
        "dataset": "digits", "noise": "symmetric 0.5", "method": "coop",
        "records": 4, "done": 3, "failed": 1, "skipped": 0, "seeds": [1, 2, 3, 4],
    }  # fmt: skip
    assert groups["dtd", "none", "gce-coop[q=0.5]"]["failed"] == 1
    assert groups["folder:my photos", "given", "coop@clean"]["skipped"] == 1
    assert len(groups) == 4
    assert invoke(["status", "--store", "a store"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a store: 7 records: 4 done, 1 failed, 1 skipped, 1 timeout."
    assert lines[1].split() == ["dataset", "noise", "method", "records", "done", "failed", "skipped", "seeds"]
    (coop,) = [line.split() for line in lines if line.split()[:4] == ["digits", "symmetric", "0.5", "coop"]]
    assert coop[-4:] == ["4", "3", "1", "4"]
    assert any(line.endswith("gce-coop · seed 1: failed: as ordered") for line in lines)
    assert lines[-1].startswith("one of them in full: bench show ")
    assert lines[-1].endswith(" --store 'a store'")


def test_a_grid_that_was_begun_stands_below_and_one_that_is_named_stands_alone(capsys: Output) -> None:
    ci = expand(load_config(), "ci").cells
    made = [record(planned.cell).model_copy(update={"key": planned.key}) for planned in ci[:5]]
    filled([*made, *of_no_grid()])
    total = counted(capsys)
    assert [total[name] for name in ("records", "done", "todo", "cells")] == [12, 9, len(ci) - 5, len(ci) + 7]
    assert [(one["grid"], one["done"], one["todo"]) for one in total["grids"]] == [("ci", 5, len(ci) - 5)]
    alone = counted(capsys, "--grid", "ci")
    assert [alone[name] for name in ("records", "done", "failed", "cells")] == [5, 5, 0, len(ci)]
    other = counted(capsys, "--grid", "quick")
    assert [other[name] for name in ("records", "done", "groups")] == [0, 0, []]
    assert invoke(["status"]) == 0
    assert "\n\ngrid  cells  done  failed  todo\nci " in capsys.readouterr().out


def test_a_large_store_is_told_by_each_name_alone_and_read_once(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [*grid(seeds=range(1, 4), epochs=2), *grid(seeds=(1,), epochs=2, dataset="letters")]
    filled(records)
    asked: list[str] = []
    plain = Store.read_many
    monkeypatch.setattr(Store, "read_many", lambda self, keys: asked.extend(keys) or plain(self, keys))
    assert invoke(["status"]) == 0
    assert sorted(asked) == sorted(record.key for record in records)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < status.MOST
    assert ["dataset", "records", "done", "seeds"] in [line.split() for line in lines]
    per_set = len(records) // 4
    assert ["digits", str(3 * per_set), str(3 * per_set), "3"] in [line.split() for line in lines]
    assert ["coop@clean", str(4 * 4), str(4 * 4), "3"] in [line.split() for line in lines]
    assert lines[-1] == "by data set, noise and method together: bench table"


def test_each_record_is_named_with_its_key_on_request(capsys: Output) -> None:
    records = of_no_grid()
    filled(records)
    assert invoke(["status", "--cells"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["key", "cell", "status"] in lines
    assert {(line[0], line[-1]) for line in lines if line} >= {(one.key, one.status) for one in records}
    named = counted(capsys, "--cells")["recorded"]
    assert sorted(one["key"] for one in named) == sorted(one.key for one in records)


def test_an_empty_store_and_files_that_are_no_records(capsys: Output) -> None:
    Path("results").mkdir()
    assert invoke(["status"]) == 0
    assert capsys.readouterr().out == "results: 0 records.\n"
    Path("results/torn.json").write_text("{")
    assert invoke(["status"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "results: 0 records.\n"
    assert printed.err.startswith("note: results/torn.json ")
