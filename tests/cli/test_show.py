"""`bench show` and `bench table`: what a store holds, seen again."""

from __future__ import annotations

import itertools
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import invoke
from bench.cli.record_text import ROWS, curve, facts
from bench.execution.summary import summary_rows
from bench.grid.expansion import expand
from bench.grid.overrides import override
from bench.records.record import Record
from bench.records.store import Store
from bench.settings.schema import load_config
from tests.reports.factory import cell, grid, record

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def published(one: Record, root: str = "results") -> Record:
    Store(root).publish(one, {})
    return one


def shown(capsys: Output, *arguments: str) -> list[str]:
    assert invoke(["show", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def said(lines: list[str], name: str) -> str:
    """What a record's text says of a part."""
    (found,) = [line for line in lines if line.startswith(f"{name} ")]
    return found.removeprefix(name).strip()


def test_a_record_of_a_real_run_in_words_and_how_to_make_it_again(capsys: Output) -> None:
    small = ["--set", "method=gce-coop[q=0.5]", "--set", "noise=symmetric", "--set", "rate=0.5", "--set", "seed=1",
             "--set", "shots=2", "--set", "epochs=2", "--scheduler", "local"]  # fmt: skip
    assert invoke(["run", *small, "--store", "my store"]) == 0
    (made,) = Store("my store").records()
    capsys.readouterr()
    lines = shown(capsys, made.key[:6], "--store", "my store")
    assert said(lines, "record") == made.key
    assert said(lines, "cell") == "digits, 2 shots per class, symmetric 0.5, gce-coop, tiny, seed 1"
    assert said(lines, "training").startswith("2 epochs of the equal budget, sgd in batches of 32, learning rate 0.005")
    assert said(lines, "options") == "q = 0.5 (default 0.7)"
    assert said(lines, "status") == "done"
    assert said(lines, "accuracy").startswith(f"{100 * (made.accuracy.last or 0):.1f} % after the last epoch, ")
    memorized, recovered = (100 * (made.curve.columns[name][-1] or 0) for name in ("memorized", "recovered"))
    assert f"{memorized:.1f} % predicted as given (memorized), {recovered:.1f} % as true" in said(lines, "mislabeled")
    assert said(lines, "labels").startswith("50.0 % wrong, 10 samples, classes from ")
    assert made.noise.digest[:12] in said(lines, "labels")
    assert made.noise.validation.digest[:12] in said(lines, "validation")
    assert said(lines, "data").startswith("10 classes, 20 train, 20 validation, 539 test, digest ")
    assert "trained parameters" in said(lines, "cost")
    assert "torch " in said(lines, "with")
    assert said(lines, "resolved").startswith("method 1, noise kind symmetric")
    assert not any("makes another record" in line for line in lines)
    table = lines[lines.index("") + 1 :]
    assert table[0].split()[:3] == ["epoch", "test", "%"]
    assert [row.split()[0] for row in table[1:3]] == ["0", "2"]
    run, compare = (line.partition(": ")[2].strip() for line in lines[-2:])
    assert compare == f"bench reproduce {made.key} --store 'my store'"
    words = shlex.split(run)
    assert words[-2:] == ["--store", "OTHER"]
    sets = [text for word, text in itertools.pairwise(words) if word == "--set"]
    assert [one.key for one in expand(override(load_config(), "quick", sets), "quick").cells] == [made.key]
    assert invoke(["show", made.key, "--store", "my store", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(Path("my store", f"{made.key}.json").read_text())


def test_what_did_not_finish_says_why_what_was_tried_and_how_to_retry(capsys: Output) -> None:
    made = cell("coop", "symmetric", 0.5, subset="clean")
    first = published(record(made, status="failed", reason="no space left"))
    published(record(made, status="out_of_memory", reason="too large"))
    Path("mine.toml").write_text("")
    lines = shown(capsys, first.key, "--config", "mine.toml")
    assert said(lines, "status") == "out of memory: too large"
    assert said(lines, "earlier") == "failed: no space left"
    assert said(lines, "oracle") == "clean subset"
    assert "trained on: clean" in said(lines, "cell")
    assert not any(line.startswith("accuracy") for line in lines)
    assert lines[-3].endswith("--set eval_every=1 --set learning_rate=0.002 --retry out_of_memory --config mine.toml")


def test_old_records_and_those_of_what_is_not_here_are_shown(capsys: Output) -> None:
    bare: dict[str, Any] = {"schema": 1, "key": "0" * 16, "status": "done", "cell": cell("gone").model_dump()}
    published(Record.model_validate(bare))
    lines = shown(capsys, "000")
    assert [line.split()[0] for line in lines if line] == ["record", "cell", "training", "status", "in", "this", "to"]
    assert lines[-2].startswith('  this may be another cell here: unknown method "gone"')
    odd = bare | {
        "key": "1" * 16, "cell": cell("gone", options={"of": "it"}).model_dump(), "attempts": [{}],
        "noise": {"realised_rate": None, "per_class_rate": "?", "validation": None, "mislabeled": []},
        "data": {"classes": "ten", "notes": "none", "classes_short_of_shots": [], "digest": 3},
        "curve": {"epoch": [0, 1], "test_accuracy": [None]}, "cost": {"seconds": "long", "optimizer_steps": 3},
        "provenance": {"versions": [], "code": None, "started": None, "resolved": "no"},
    }  # fmt: skip
    Path("results", f"{odd['key']}.json").write_text(json.dumps(odd))
    assert invoke(["show", "111"]) == 2, "no run writes such types, and none is read"
    assert "is not a record of this store" in capsys.readouterr().err
    told = dict(facts(Record.model_validate({**bare, "cell": odd["cell"], "attempts": [{}]})))
    assert told["options"] == "of = it, gone is not known here, so these may be its defaults"
    assert invoke(["table"]) == 0
    assert "gone" in capsys.readouterr().out


def test_a_command_that_makes_another_record_by_now_says_so(capsys: Output) -> None:
    Path("mask.csv").write_text("path,label\n")
    sets = ["method=coop", "noise=mask[file=mask.csv]", "seed=1"]
    (planned,) = expand(override(load_config(), "quick", sets), "quick").cells
    one = record(planned.cell).model_copy(update={"key": planned.key})
    published(one)
    told = "  this makes another record here: files or versions behind its names have changed"
    assert told not in shown(capsys, one.key)
    Path("mask.csv").write_text("path,label\n1,one\n")
    assert told in shown(capsys, one.key)


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    columns, rows = curve(record(cell("coop", "symmetric", 0.5, epochs=200)))
    assert columns[:2] == ["epoch", "test %"]
    assert "memorized %" in columns
    assert len(rows) == ROWS
    assert (rows[0][0], rows[-1][0]) == ("0", "200")
    columns, rows = curve(record(cell("zero-shot")))
    assert [row[0] for row in rows] == ["0"]
    assert "memorized %" not in columns, "of what is clean nothing is memorized"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "abc"], 'has no record "abc"'),
        (["show", "abc", "--store", "none"], 'store "none" does not exist'),
        (["show"], "Missing argument"),
        (["table", "--store", "none"], 'store "none" does not exist'),
        (["table", "--set", "method=elr"], "among its 2 records there are method zero-shot, coop."),
        (["table", "--grid", "quik"], 'unknown grid "quik"; did you mean "quick"?'),
        (["table", "--grid", "ci"], 'store "results" has no record of a cell of grid ci'),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, capsys: Output) -> None:
    for method in ("zero-shot", "coop"):
        published(record(cell(method)))
    assert invoke(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_the_table_is_the_summary_of_a_run_in_the_order_of_a_grid(capsys: Output) -> None:
    records = grid(("coop", "gce-coop"), (1, 2), (("none", 0.0), ("symmetric", 0.5)), epochs=2)
    for one in sorted(records, key=lambda one: one.key):
        published(one)
    assert invoke(["table"]) == 0
    lines = capsys.readouterr().out.splitlines()
    columns, rows = summary_rows(records)
    assert lines[0].split() == " ".join(columns).split()
    assert sorted(line.split() for line in lines[1:]) == sorted(" ".join(row).split() for row in rows)
    names = [" ".join(line.split()[1:4]) for line in lines[1:]]
    assert names[0].startswith("none coop")
    assert names[-2:] == ["symmetric 0.5 coop@clean", "symmetric 0.5 gce-coop"]
    assert invoke(["table", "--set", "method=gce,copo", "--set", "rate=0.5"]) == 0
    told = capsys.readouterr()
    assert "has no record with method=copo" in told.err
    lines = told.out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [["digits", "symmetric", "0.5", "gce-coop"]]


def test_a_grid_limits_the_table_to_its_cells(capsys: Output) -> None:
    (planned, *_) = expand(load_config(), "ci").cells
    published(record(planned.cell).model_copy(update={"key": planned.key}))
    published(record(cell("elr")))
    assert invoke(["table", "--grid", "ci"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
