from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import invoke
from bench.records.store import Store
from tests import ROOT
from tests.schedulers.fakes import fake_trials

SMALL = ["--set", "method=coop,gce-coop", "--set", "seed=1,2", "--set", "noise=none,symmetric", "--workers", "1"]
CELLS = 2 * 2 * 3


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mishaps(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What goes wrong, by seed; the trial is replaced by the fake one."""
    ordered: dict[str, str] = {}

    fake_trials(monkeypatch, ordered)
    return ordered


def test_run_trains_what_is_missing_and_then_nothing(
    mishaps: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["run", *SMALL]) == 0
    out = capsys.readouterr().out
    assert f"grid quick: {CELLS} of {CELLS} cells to run, 1 worker (local, cpu)" in out
    assert "next: bench report\n" in out
    assert out.count(f"of {CELLS} cells, ") == 11  # the first and one per tenth
    assert "digits   symmetric 0.25  gce-coop      2" in out
    assert len(Store("results").keys()) == CELLS
    before = {file.name: file.stat().st_mtime_ns for file in Path("results").iterdir()}
    assert invoke(["run", *SMALL]) == 0
    assert "nothing left to do, 12 of 12 done" in capsys.readouterr().out
    assert {file.name: file.stat().st_mtime_ns for file in Path("results").iterdir()} == before
    assert invoke(["run", *SMALL, "--set", "epochs=3"]) == 0
    assert len(Store("results").keys()) == 2 * CELLS


def test_cells_that_fail_never_stop_the_grid_and_are_retried_when_asked(
    mishaps: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    mishaps["2"] = "fail"
    assert invoke(["run", *SMALL, "--store", "s"]) == 4
    out = capsys.readouterr().out
    assert "6 of 12 cells did not finish" in out
    assert "digits · none · coop · seed 2: failed: as ordered" in out
    assert "--retry all --store s" in out
    assert sorted(Store("s").statuses().values()) == ["done"] * 6 + ["failed"] * 6

    mishaps.clear()
    assert invoke(["run", *SMALL, "--store", "s"]) == 4  # a plain run lists them and names --retry
    out = capsys.readouterr().out
    assert "nothing left to do, 6 of 12 done" in out
    assert "as ordered" in out
    assert invoke(["run", *SMALL, "--store", "s", "--retry", "timeout"]) == 4
    assert invoke(["run", *SMALL, "--store", "s", "--retry", "failed"]) == 0
    retried = [record for record in Store("s").records() if record.attempts]
    assert [record.attempts for record in retried] == [[{"status": "failed", "reason": "as ordered"}]] * 6


def test_what_a_worker_could_not_publish_the_driver_does(mishaps: dict[str, str]) -> None:
    mishaps.update({"1": "raise", "2": "silent"})
    assert invoke(["run", *SMALL]) == 4
    reasons = {record.reason for record in Store("results").records() if record.status == "failed"}
    assert reasons == {"OSError: no space left", "the trial ended without a record"}


def test_a_record_published_before_its_worker_died_counts(
    mishaps: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mishaps["2"] = "publish and die"
    small = ["run", "--set", "method=coop", "--set", "noise=none", "--set", "seed=1,2,3", "--scheduler", "local"]
    assert invoke([*small, "--workers", "2"]) == 0
    assert set(Store("results").statuses().values()) == {"done"}


def test_fail_fast_stops_at_the_first(mishaps: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    mishaps["1"] = "fail"
    assert invoke(["run", *SMALL, "--fail-fast", "--pack", "1"]) == 4
    assert len(Store("results").keys()) == 1
    out = capsys.readouterr().out
    assert out.count(": not run") == CELLS - 1


def test_fail_fast_stops_after_the_pack_of_the_first(
    mishaps: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    mishaps["1"] = "fail"
    assert invoke(["run", *SMALL, "--fail-fast", "--pack", "6"]) == 4
    assert sorted(Store("results").statuses().values()) == ["done"] * 3 + ["failed"] * 3
    assert "12 cells to run, 1 worker (local, cpu), about " in (out := capsys.readouterr().out)
    assert out.splitlines()[0].endswith(", in 2 packs.")
    assert out.count(": not run") == CELLS - 6
    assert invoke(["run", *SMALL, "--pack", "6", "--set", "pack=6"]) == 2
    assert "--set pack is given twice" in capsys.readouterr().err


def test_a_cell_that_crashes_takes_no_other_with_it(
    mishaps: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    mishaps["1"] = "die"
    assert invoke(["run", *SMALL, "--pack", "6"]) == 4
    records = list(Store("results").records())
    assert {record.cell.seed: record.status for record in records} == {1: "failed", 2: "done"}
    assert {record.reason for record in records} == {None, "the worker ended with exit code 7 before it left a record"}
    assert {record.provenance.resolved is not None for record in records if record.status == "failed"} == {True}


def test_auto_is_ray_where_more_than_one_worker_fits(
    mishaps: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.schedulers.ray_tune import RayTune

    asked = []
    monkeypatch.setattr(RayTune, "run", lambda self, packs, work, workers, report, stop: asked.append((self, workers)))
    assert invoke(["run", *SMALL[:-1], "2"]) == 4  # nothing was run
    assert asked == [(RayTune(), 2)]
    assert invoke(["run", *SMALL[:-1], "2", "--address", "host:1"]) == 4
    assert asked[1] == (RayTune(address="host:1"), 2)


def test_a_cluster_that_may_be_used_whole_is_estimated_by_the_room_it_has(
    mishaps: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.schedulers.contract import CellOutcome
    from bench.schedulers.ray_tune import RayTune

    def run(self: RayTune, packs: Any, work: Any, workers: int, report: Any, stop: Any) -> None:
        for room, ((key, _),) in zip((2, 4), packs, strict=False):
            self.tell(["node"] * room, room)
            report(CellOutcome(key, "skipped"))

    monkeypatch.setattr(RayTune, "run", run)
    assert invoke(["run", *SMALL[:-2], "--address", "host:1", "--pack", "1"]) == 4
    out = capsys.readouterr().out
    assert "cells to run, as many workers as the cluster has room for (ray, cpu), about " in out
    left = [line.rpartition("about ")[2] for line in out.splitlines() if line.endswith(" left")]
    whole = out.partition("cpu), about ")[2].partition(" of one worker")[0]
    assert (whole, *left) == ("11 s", "5 s left", "3 s left")


def test_plan_and_status_count_as_scripts_expect(mishaps: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    def asked(*arguments: str) -> dict[str, Any]:
        assert invoke([*arguments, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    counts = asked("plan")
    assert (counts["grid"], counts["cells"], counts["todo"], counts["reference"]) == ("quick", 170, 170, 20)
    assert counts["estimate_seconds"] > 0
    assert 0 < counts["packs"] < 170
    assert (asked("plan", "--pack", "1")["packs"], asked("plan", "--set", "pack=1")["packs"]) == (170, 170)
    assert not Path("results").exists()
    mishaps["2"] = "fail"
    invoke(["run", "--set", "method=coop", "--workers", "1"])
    capsys.readouterr()
    counts = asked("plan")
    assert [counts[name] for name in ("cells", "done", "failed", "todo")] == [170, 20, 5, 145]
    assert asked("plan", "--retry", "all")["todo"] == 150
    total = asked("status")
    assert [total[name] for name in ("cells", "done", "failed", "todo")] == [170, 20, 5, 145]
    assert [grid["grid"] for grid in total["grids"]] == ["quick"]
    assert asked("status", "--grid", "ci")["done"] == 0
    assert invoke(["plan"]) == 0
    assert "170 cells (20 of them reference rows), 20 done, 5 failed, 145 to do in " in capsys.readouterr().out
    assert invoke(["status"]) == 0
    assert "as ordered" in capsys.readouterr().out


def test_a_plan_cell_by_cell(mishaps: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--set", "method=coop,gce-coop[q=0.5]", "--set", "noise=none", "--set", "shots=1,2", "--cells"]
    mishaps["2"] = "fail"
    assert invoke(["run", *small[:-3], "--set", "shots=1", "--workers", "1"]) == 4
    capsys.readouterr()
    assert invoke(["plan", *small, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["label"]: row["status"] for row in found["planned"]}
    assert found["cells"] == len(rows) == len({row["key"] for row in found["planned"]}) == 20
    assert rows["digits · none · coop · seed 1 · shots 1"] in ("done", "stale")
    assert rows["digits · none · gce-coop[q=0.5] · seed 2 · shots 1"] == "failed"
    assert rows["digits · none · coop · seed 2 · shots 2"] == "to do"
    assert found["planned"][0]["cell"]["shots"] in (1, 2)
    assert invoke(["plan", *small, "--retry", "all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith(found["planned"][0]["key"])]) == 1
    assert len([line for line in lines if line.endswith("to do")]) == 12
    assert invoke(["plan", *small[:-1], "--json"]) == 0
    assert "planned" not in json.loads(capsys.readouterr().out)


def test_a_run_for_a_program(mishaps: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    mishaps["2"] = "fail"
    for ran, said in ((CELLS, "ran 12 cells in "), (0, "nothing left to do, 6 of 12 done")):
        assert invoke(["run", *SMALL, "--store", "s", "--json"]) == 4
        printed = capsys.readouterr()
        found = json.loads(printed.out)
        assert said in printed.err
        assert "6 of 12 cells did not finish:" in printed.err
        counts = ("store", "grid", "cells", "done", "failed", "todo", "ran")
        assert [found[name] for name in counts] == ["s", "quick", CELLS, 6, 6, 0, ran]
        outcomes = {one["label"]: one for one in found["outcomes"]}
        assert len(outcomes) == CELLS
        failed = outcomes["digits · none · coop · seed 2"]
        assert (failed["status"], failed["reason"], failed["accuracy"]) == ("failed", "as ordered", None)
        done = outcomes["digits · none · coop · seed 1"]
        assert (done["status"], done["accuracy"]) == ("done", Store("s").read(done["key"]).accuracy.last)  # type: ignore[union-attr]


@pytest.mark.parametrize("front", [True, False])
def test_a_quiet_run_says_only_what_went_wrong(
    front: bool, mishaps: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(*verb: str) -> list[str]:
        return ["--quiet", *verb] if front else [*verb, "--quiet"]

    mishaps["2"] = "fail"
    assert invoke(asked("run", *SMALL)) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[0] == "6 of 12 cells did not finish:"
    assert printed.err.count("as ordered") == 6
    mishaps.clear()
    assert invoke(asked("run", *SMALL, "--retry", "all")) == 0
    assert invoke(asked("table")) == 0
    assert capsys.readouterr() == ("", "")
    assert invoke(asked("status", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["done"] == CELLS
    assert invoke(["table"]) == 0  # nothing of it is left for the next command
    assert "gce-coop" in capsys.readouterr().out
    assert invoke(["--verbose", *asked("table")]) == 2
    assert capsys.readouterr().err == "error: --quiet says less and --verbose says more; leave out one of the two.\n"


def test_a_verbose_run_tells_where_all_comes_from_and_every_cell(
    mishaps: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    mishaps["2"] = "fail"
    Path("bench.toml").write_text("[paths]\nstore = 'mine'\n")
    assert invoke(["run", *SMALL, "--verbose"]) == 4
    printed = capsys.readouterr()
    settings, store = printed.err.splitlines()
    assert settings.startswith("settings: packaged (")
    assert settings.endswith("bench.toml), then bench.toml, then --set")
    assert store == "store: mine (paths.store, bench.toml)"
    assert len([line for line in printed.out.splitlines() if line.startswith("done: digits · ")]) == 6
    assert len([line for line in printed.out.splitlines() if line.startswith("failed: digits · ")]) == 6
    assert invoke(["--verbose", "table", "--store", "mine"]) == 0
    assert capsys.readouterr().err.endswith("store: mine (--store)\n")


def test_list_gives_rows_of_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    for what, name in (
        ("methods", "coop"),
        ("noise", "symmetric"),
        ("datasets", "digits"),
        ("backbones", "tiny"),
        ("losses", "gce"),
        ("splits", "ot"),
        ("grids", "quick"),
    ):
        assert invoke(["list", what, "--json"]) == 0
        rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
        assert rows[name]["summary"]
        assert rows[name]["origin"] in ("built-in", "packaged")
        assert invoke(["list", what]) == 0
        assert name in capsys.readouterr().out


def test_list_says_which_methods_are_never_trained_in_lockstep(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["list", "methods", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["coop"]["alone"], rows["plot"]["alone_when"]) == ("", "faithful=true")
    assert invoke(["list", "methods"]) == 0
    said = f"trained cell by cell, never in lockstep: {rows['plot']['alone']}"
    assert [said in line for line in capsys.readouterr().out.splitlines() if "plot[faithful=true]" in line] == [True]


def test_list_imports_nothing_heavy() -> None:
    program = (
        "import sys; from bench.cli.main import invoke\n"
        "codes = [invoke(['list', what]) for what in ('methods', 'noise', 'datasets', 'backbones', 'grids')]\n"
        "heavy = {'torch', 'ray', 'pandas', 'numpy', 'rich', 'bench.settings.schema'} & set(sys.modules)\n"
        "sys.exit(repr((codes, heavy)) if any(codes) or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_with_nothing_left_to_do_does_not_import_ray(mishaps: dict[str, str]) -> None:
    assert invoke(["run", *SMALL]) == 0
    program = (
        "import sys; from bench.cli.main import invoke\n"
        f"code = invoke(['run', *{SMALL!r}])\n"
        "sys.exit(repr((code, {'ray', 'matplotlib'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "(0, set())"


def test_config_shows_every_value_and_its_origin(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bench.toml").write_text("[protocol]\nepochs = 5\n")
    assert invoke(["config", "--json", "--set", "shots=4"]) == 0
    rows = {row["key"]: (row["value"], row["origin"]) for row in json.loads(capsys.readouterr().out)}
    assert rows["protocol.epochs"] == (5, "bench.toml")
    assert rows["protocol.batch_size"] == (32, "packaged")
    assert rows["grid.quick.shots"] == ([4], "--set")
    assert invoke(["config"]) == 0
    assert "protocol.budget" in capsys.readouterr().out


def test_a_terminal_gets_a_bar_and_a_table(mishaps: dict[str, str], tmp_path: Path) -> None:
    import pty

    program = (
        "import sys; from bench.execution import execute; from bench.cli.main import invoke\n"
        "from bench.schedulers.work import Work\n"
        "execute._work = lambda plan, store, *_: Work("
        "store.root, {'mishaps': {'2': 'fail'}}, 'tests.schedulers.fakes:run_pack', 'builtins:dict')\n"
        f"sys.exit(invoke(['run', *{SMALL!r}]))"
    )
    leader, follower = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen([sys.executable, "-c", program], stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(leader)
    assert process.wait() == 4
    text = shown.decode()
    assert "━" in text
    assert "memorized %" in text
    assert "failed: digits · none · coop · seed 2: as ordered" in text


@pytest.mark.slow
def test_local_processes_order_and_resumption_change_no_bit_of_the_real_trial() -> None:
    grid = ["run", "--set", "method=zero-shot,coop", "--set", "noise=none,symmetric", "--set", "rate=0.5",
            "--set", "epochs=2", "--scheduler", "local"]  # fmt: skip

    assert invoke([*grid, "--set", "seed=1", "--store", "one", "--workers", "1"]) == 0  # goes on after an interruption
    assert invoke([*grid, "--set", "seed=1,2", "--store", "one", "--workers", "1"]) == 0
    assert invoke([*grid, "--set", "seed=2,1", "--store", "two", "--workers", "2"]) == 0
    one, two = ({r.key: r for r in Store(root).records()} for root in ("one", "two"))
    assert (len(one), one.keys()) == (8, two.keys())
    for key in one:
        for part in ("curve", "accuracy", "noise"):
            assert getattr(one[key], part).model_dump_json() == getattr(two[key], part).model_dump_json(), (
                one[key].cell.label(),
                part,
            )
