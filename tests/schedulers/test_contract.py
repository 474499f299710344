"""What every scheduler must do, asked of a driver program of its own, so that Ctrl-C and death can be tried on it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.records.store import Store
from tests import ROOT
from tests.schedulers.fakes import packs

MANY = [("local", 2), ("ray", 2)]
KEYS = [pack[0][0] for pack in packs(9)]


def start(scheduler: str, workers: int, store: Path, **order: Any) -> subprocess.Popen[str]:
    text = json.dumps({"scheduler": scheduler, "workers": workers, "store": str(store), **order})
    command = [sys.executable, "-m", "tests.schedulers.fakes", text]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def drive(scheduler: str, workers: int, store: Path, **order: Any) -> dict[str, tuple[str, str | None, bool]]:
    process = start(scheduler, workers, store, **order)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]  # anything else on the output is a failure
    assert len({key for key, *_ in rows}) == len(rows)
    return {key: (status, reason, lost) for key, status, reason, lost in rows}


def numbers(store: Path) -> dict[str, Any]:
    return {r.key: (r.curve, r.accuracy, r.status) for r in Store(store).records()}


def test_one_worker_is_a_process_of_its_own_and_goes_on(tmp_path: Path) -> None:
    mishaps = {"1": "raise", "2": "silent", "3": "fail"}
    outcomes = drive("local", 1, tmp_path, count=5, mishaps=mishaps)
    assert list(outcomes) == KEYS[:5]
    assert outcomes[KEYS[0]] == ("failed", "OSError: no space left", True)
    assert outcomes[KEYS[1]] == ("failed", "the trial ended without a record", True)
    assert outcomes[KEYS[2]] == ("failed", "as ordered", False)
    assert outcomes[KEYS[3]] == outcomes[KEYS[4]] == ("done", None, False)
    first, second = (record.noise for record in Store(tmp_path).records(KEYS[3:5]))
    assert first.pid == second.pid


def test_whatever_ends_a_cell_costs_that_cell_alone(tmp_path: Path) -> None:
    mishaps = {"1": "exit", "2": "exit at once", "3": "crash", "4": "interrupt", "5": "end the generator"}
    outcomes = drive("local", 1, tmp_path, count=7, mishaps=mishaps)
    assert [outcomes[key][::2] for key in KEYS[:5]] == [("failed", True)] * 5
    assert [outcomes[key] for key in KEYS[5:7]] == [("done", None, False)] * 2
    reasons = [outcomes[key][1] or "" for key in KEYS[:5]]
    assert re.fullmatch(r"fakes\.py, line \d+, called sys\.exit\(0\)", reasons[0])
    assert reasons[1] == "the worker ended with exit code 0 before it left a record"
    assert reasons[2] == "the worker was ended by signal 11 (SIGSEGV) before it left a record"
    assert reasons[3].endswith(", raised KeyboardInterrupt")
    assert reasons[4].endswith(", raised GeneratorExit")


def test_a_copy_that_a_cell_forks_of_its_worker_has_no_say(tmp_path: Path) -> None:
    outcomes = drive("local", 1, tmp_path, count=6, mishaps={"1": "fork", "2": "fork", "4": "say nothing"})
    assert list(outcomes) == KEYS[:6]
    assert outcomes.pop(KEYS[3])[1] == "fakes.py, line N, raised Speechless".replace("N", str(raising_line()))
    assert set(outcomes.values()) == {("done", None, False)}
    assert [len(record.attempts) for record in Store(tmp_path).records()] == [0] * 5


def raising_line() -> int:
    lines = (ROOT / "tests" / "schedulers" / "fakes.py").read_text(encoding="utf-8").splitlines()
    return lines.index("    raise error") + 1


def test_a_worker_that_hangs_is_ended_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    mishaps = {"1": "hold", "2": "stop", "3": "hang", "4": "leave a child and hang"}
    outcomes = drive("local", 1, tmp_path, count=5, mishaps=mishaps, timeout=1.0, grace=1.0)
    assert [outcomes[key] for key in KEYS[:4]] == [("timeout", "no step ended within 1 s", True)] * 4
    assert outcomes[KEYS[4]] == ("done", None, False)
    left = Store(tmp_path).read(KEYS[3])
    assert left is not None
    assert not runs(int(left.reason or 0))


def test_a_worker_that_a_cell_has_changed_is_not_used_again(tmp_path: Path) -> None:
    outcomes = drive("local", 1, tmp_path, count=3, mishaps={"2": "leave the folder"})
    assert [outcomes[key] for key in KEYS[:3]] == [("done", None, False)] * 3
    first, second, third = Store(tmp_path).records(KEYS[:3])
    assert "changed_state" not in first.provenance.model_fields_set
    assert second.provenance.changed_state == ["working directory"]
    assert first.noise.pid != third.noise.pid


def test_ray_runs_its_packs_in_workers_of_the_same_kind(tmp_path: Path) -> None:
    mishaps = {"1": "hold", "2": "stop", "3": "hang", "4": "exit at once", "5": "crash", "6": "leave the folder"}
    outcomes = drive("ray", 1, tmp_path, count=8, mishaps=mishaps, timeout=1.0, grace=1.0)
    assert [outcomes[key] for key in KEYS[:3]] == [("timeout", "no step ended within 1 s", True)] * 3
    how = ["ended with exit code 0", "was ended by signal 11 (SIGSEGV)"]
    reasons = [f"the worker {text} before it left a record" for text in how]
    assert [outcomes[key] for key in KEYS[3:5]] == [("failed", reason, True) for reason in reasons]
    assert [outcomes[key] for key in KEYS[5:8]] == [("done", None, False)] * 3
    changed, *after = Store(tmp_path).records(KEYS[5:8])
    assert changed.provenance.changed_state == ["working directory"]
    assert changed.noise.pid != after[0].noise.pid == after[1].noise.pid


def test_a_process_of_rays_that_dies_costs_the_pack_in_hand_alone(tmp_path: Path) -> None:
    """It has the first three packs; the third is begun by another."""
    outcomes = drive("ray", 1, tmp_path, count=12, mishaps={"2": "end the parent"})
    keys = [pack[0][0] for pack in packs(12)]
    assert outcomes.pop(keys[1]) == ("failed", "the worker died before it left a record", True)
    assert outcomes == dict.fromkeys([keys[0], *keys[2:]], ("done", None, False))


@pytest.mark.parametrize(("scheduler", "workers"), MANY)
def test_every_pack_once_quietly_and_a_mishap_costs_its_pack_alone(
    scheduler: str, workers: int, tmp_path: Path
) -> None:
    scratch = set(Path(tempfile.gettempdir()).glob("noisy-prompt-bench-*"))
    mishaps = {"2": "die", "3": "fail", "4": "raise", "5": "hang"}
    outcomes = drive(scheduler, workers, tmp_path / "a", count=8, mishaps=mishaps, timeout=8.0, grace=1.0)
    assert set(outcomes) == set(KEYS[:8])
    assert {KEYS[index]: ("done", None, False) for index in (0, 5, 6, 7)}.items() <= outcomes.items()
    status, reason, lost = outcomes[KEYS[1]]
    assert (status, lost, "before it left a record" in (reason or "")) == ("failed", True, True)
    assert outcomes[KEYS[2]] == ("failed", "as ordered", False)
    assert outcomes[KEYS[3]] == ("failed", "OSError: no space left", True)
    assert outcomes[KEYS[4]] == ("timeout", "no step ended within 8 s", True)

    drive("local", 1, tmp_path / "b", count=8, step=-1)
    many, one = numbers(tmp_path / "a"), numbers(tmp_path / "b")
    assert {key: many[key] for key in (KEYS[0], *KEYS[5:8])}.items() <= one.items()
    workers_said = {(r.noise.omp, r.noise.cuda) for r in Store(tmp_path / "a").records([KEYS[0], KEYS[7]])}
    assert workers_said == {("1", "")}
    assert list(Store(tmp_path / "a").outcomes(KEYS[0])) == ["positions"]
    assert set(Path(tempfile.gettempdir()).glob("noisy-prompt-bench-*")) <= scratch


@pytest.mark.parametrize(("scheduler", "workers"), [("local", 1), *MANY])
def test_stops_when_the_driver_has_had_enough(scheduler: str, workers: int, tmp_path: Path) -> None:
    mishaps = {"9": "hang"} if workers > 1 else {}
    outcomes = drive(scheduler, workers, tmp_path, count=9, step=-1, stop_after=2, mishaps=mishaps)
    assert 2 <= len(outcomes) < 9


@pytest.mark.parametrize(("scheduler", "workers"), MANY)
def test_ctrl_c_ends_the_workers_and_keeps_the_records(scheduler: str, workers: int, tmp_path: Path) -> None:
    process, children = busy(scheduler, workers, tmp_path)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert gone(children)
    assert set(Store(tmp_path).statuses()) == {KEYS[0], KEYS[2]}


@pytest.mark.parametrize(("scheduler", "workers"), MANY)
def test_workers_stop_when_their_driver_is_killed(scheduler: str, workers: int, tmp_path: Path) -> None:
    process, children = busy(scheduler, workers, tmp_path)
    titles = {child: " ".join(child.cmdline()) for child in children}
    own = [c for c, title in titles.items() if "multiprocessing.spawn" in title]
    assert len(own) == workers
    ours = [*own, *(c for c, title in titles.items() if "ray::" in title and "Agent" not in title)]
    process.kill()
    process.communicate(timeout=60)
    stopped = gone(ours)
    gone([child for child in children if child not in ours], within=0)  # Ray's own agents stay for a minute
    assert stopped


def busy(scheduler: str, workers: int, store: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A driver of which two packs are done and two hang, and the processes under it."""
    process = start(scheduler, workers, store, count=4, mishaps={"2": "hold", "4": "stop"})
    assert process.stdout is not None
    for _ in range(2):
        process.stdout.readline()
    time.sleep(1)
    return process, psutil.Process(process.pid).children(recursive=True)


def gone(processes: list[psutil.Process], within: float = 30) -> bool:
    """Whether these processes end by themselves; what is left over is killed."""
    _, alive = psutil.wait_procs(processes, timeout=within)
    for process in alive:
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            process.kill()
    return not alive


def runs(number: int) -> bool:
    """Whether there is such a process; one that has ended and waits to be asked for its exit code is none."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
