"""A store in which files are damaged, foreign or malicious: each is named, and the rest goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.cli.main import invoke
from bench.grid.expansion import expand
from bench.grid.overrides import override
from bench.records.parts import Data
from bench.records.store import Store
from bench.regression.baseline import write_baseline
from bench.settings.schema import load_config
from tests.records.test_store import of_these, outcomes
from tests.reports.factory import grid, record
from tests.schedulers.fakes import fake_trials

KEYS = ["torn", "nan", "newer", "fifo", "folder"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Twenty sound records, one with a sidecar that is cut short and one with a lying one, and five files beside."""
    monkeypatch.chdir(tmp_path)
    store = Store("results")
    records = grid(methods=("coop", "zero-shot"), oracle=False)
    for one in records:
        one.noise = of_these().noise.model_copy(update={"truth": True})
        one.accuracy.last = of_these().accuracy.last
        one.data = Data(class_names=["a", "b", "c"], digest="d" * 64)
        store.publish(one, outcomes())
    text = records[0].to_json()
    folder = Path("results")
    (folder / "torn.json").write_text(text[:200])
    (folder / "nan.json").write_text(
        text.replace(records[0].key, "nan").replace('"seconds": ', '"seconds": NaN, "x": ')
    )
    (folder / "newer.json").write_text(text.replace(records[0].key, "newer").replace('"schema": 1', '"schema": 7'))
    os.mkfifo(folder / "fifo.json")
    (folder / "folder.json").mkdir()
    sidecars = sorted(folder.glob("*.safetensors"))
    sidecars[0].write_bytes(sidecars[0].read_bytes()[:-9])
    sidecars[1].write_bytes((2**50).to_bytes(8, "little") + b"{}" * 50)
    write_baseline(records, Path("baseline.json"))
    return store


@pytest.mark.parametrize(
    ("arguments", "sidecars"),
    [
        (["report", "--markdown", "--csv", "--html", "--figures", "0"], 0),
        (["report", "--markdown", "--figures", "60"], 2),
        (["suspects"], 2),
        (["status"], 0),
        (["compare", "--baseline", "baseline.json"], 0),
        (["compare", "--baseline", "new.json", "--write"], 0),
        (["table"], 0),
        (["plan"], 0),
    ],
)
def test_every_reader_names_them_and_goes_on(
    here: Store, arguments: list[str], sidecars: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(arguments) == 0
    told = capsys.readouterr().err
    assert "Traceback" not in told
    if arguments != ["plan"]:  # which looks at its own cells alone, and for an estimate at all
        assert [key for key in KEYS if f"{key}.json is not a record" not in told] == []
    assert told.count("holds no outcomes of this record") == sidecars
    if arguments[0] == "report":
        page = Path("results/report/report.md").read_text().replace("\\", "")
        assert page.count("holds no outcomes of this record") == sidecars
        assert all(f"{key}.json is not a record" in page for key in KEYS)


def test_a_run_sets_aside_what_stands_in_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fake_trials(monkeypatch)
    small = ["--set", "method=coop", "--set", "noise=none", "--set", "seed=1", "--scheduler", "local"]
    (planned,) = expand(override(load_config(), "quick", [text for text in small if "=" in text]), "quick").cells
    Path("results").mkdir()
    other = record(planned.cell).to_json().replace('"schema": 1', '"schema": 7')
    Path(f"results/{planned.key}.json").write_text(other)
    assert invoke(["run", *small]) == 0
    assert f"is kept as {planned.key}.json.1.aside" in capsys.readouterr().err
    assert Path(f"results/{planned.key}.json.1.aside").read_text() == other
    found = Store("results").read(planned.key)
    assert found is not None
    assert found.status == "done"


def test_the_table_of_a_run_says_which_records_were_not_made_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fake_trials(monkeypatch)
    small = ["--set", "method=coop", "--set", "noise=none", "--set", "seed=1,2", "--scheduler", "local"]
    first, _ = expand(override(load_config(), "quick", [text for text in small if "=" in text]), "quick").cells
    one = record(first.cell).model_copy(update={"key": first.key})
    one.provenance.sources = {"engine": "e" * 12}
    Store("results").publish(one, {})
    assert invoke(["run", *small]) == 0
    assert "Not all records were made alike: engine eeeeee (1), unrecorded (1)" in capsys.readouterr().out
