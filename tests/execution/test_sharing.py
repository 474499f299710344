"""Several drivers at work in one store: no cell is trained twice, and what a dead one has left is taken over."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench.execution import execute
from bench.execution.execute import Request, Setup, execute_plan
from bench.execution.observer import Observer
from bench.records.store import Store
from bench.schedulers.claims import FOLDER
from bench.schedulers.work import Work
from bench.settings.schema import load_config
from tests.execution.driver import plan_of, start
from tests.schedulers.fakes import in_this_process, packs

KEYS = [pack[0][0] for pack in packs(8)]
COMPANY = {"1": "wait for company", "2": "wait for company"}


def ended(process: subprocess.Popen[str]) -> tuple[dict[str, str], list[str]]:
    """Where each cell was trained as the driver counts it, and its notes, once it has ended well."""
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    told = [row for row in rows if row[0] != "note"]
    assert {row[1] for row in told} == {"done"}
    assert len({row[0] for row in told}) == len(told)
    return {row[0]: row[2] for row in told}, [row[1] for row in rows if row[0] == "note"]


def trained(log: Path) -> Counter[str]:
    return Counter(line.split()[1] for line in log.read_text(encoding="utf-8").splitlines())


def hanging(store: Path, log: Path, count: int, scheduler: str = "local") -> subprocess.Popen[str]:
    """A driver that has cell 1 in hand and gets no further."""
    process = start(store, log, "a", count=count, mishaps={"1": "hang"}, scheduler=scheduler)
    while not log.exists():
        assert process.poll() is None
        time.sleep(0.02)
    return process


def tidy(store: Path) -> bool:
    return {file.name for file in store.iterdir() if not file.name.endswith((".json", ".safetensors"))} <= {".lock.tmp"}


@pytest.mark.parametrize(("scheduler", "size"), [("local", 1), ("ray", 1)])
def test_two_drivers_share_the_work(scheduler: str, size: int, tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    order = {"scheduler": scheduler, "count": 8, "size": size, "mishaps": COMPANY}
    both = [ended(one) for one in [start(store, log, name, **order) for name in ("a", "b")]]
    assert trained(log) == Counter({str(seed): 1 for seed in range(1, 9)})
    here = [{key for key, elsewhere in told.items() if not elsewhere} for told, _ in both]
    assert all(set(told) == set(KEYS) for told, _ in both), "each driver counts all cells"
    assert all(here)
    assert not here[0] & here[1]
    assert here[0] | here[1] == set(KEYS)
    assert tidy(store)


def test_a_pack_is_run_without_the_cells_that_another_driver_has(tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    both = [
        ended(one) for one in [start(store, log, f"{size}", count=8, size=size, mishaps=COMPANY | {
            str(seed): "wait for company" for seed in range(1, 9)}) for size in (1, 4)]
    ]  # fmt: skip
    assert trained(log) == Counter({str(seed): 1 for seed in range(1, 9)})
    assert all(set(told) == set(KEYS) for told, _ in both)
    assert tidy(store)


@pytest.mark.parametrize("scheduler", ["local", pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.long])])
def test_what_a_killed_driver_had_is_taken_over_by_the_one_that_waits(scheduler: str, tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    first = hanging(store, log, 4, scheduler)
    second = start(store, log, "b", count=4, scheduler=scheduler)
    assert second.stdout is not None
    said: list[str] = []
    while not said or "waiting" not in said[-1]:
        said.append(second.stdout.readline())
        assert said[-1]
    assert re.search(r"waiting for 1 cell that another run has \(.*, process \d+\)", said[-1])
    assert str(first.pid) in said[-1]
    first.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert "another run (" in second.stdout.readline()
    assert time.monotonic() - killed < 60
    first.communicate()
    told, _ = ended(second)
    assert told == {KEYS[0]: ""}
    assert trained(log) == Counter({"1": 2, "2": 1, "3": 1, "4": 1})
    assert len(Store(store).statuses()) == 4
    assert tidy(store)


def test_the_next_run_cleans_up_after_a_killed_one(tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    first = hanging(store, log, 2)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert {file.suffix for file in (store / FOLDER).iterdir()} >= {".claim", ".driver"}
    told, notes = ended(start(store, log, "b", count=2))
    assert set(told.values()) == {""}
    assert len(notes) == 1
    assert tidy(store)


def test_where_nothing_is_left_to_do_what_a_killed_run_left_is_cleaned_too(tmp_path: Path) -> None:
    """Its workers may have published the last records after its end."""
    store, log = tmp_path / "store", tmp_path / "log"
    first = hanging(store, log, 1)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not tidy(store)
    execute.tidy(Store(store))
    assert tidy(store)
    execute.tidy(Store(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_ctrl_c_gives_free_what_a_driver_had(tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    process = hanging(store, log, 2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert tidy(store)


class Here:
    """A scheduler that runs packs in this process, as one of several threads."""

    run = in_this_process


def test_two_drivers_share_a_store_behind_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """memory:// is one process's own, so that its two drivers are threads of it."""
    store, log = f"memory://{tmp_path.name}", tmp_path / "log"
    chosen: dict[str, Any] = {"mishaps": COMPANY, "log": str(log), "device": "cpu"}
    counts: dict[str, Counter[str]] = {}

    def work(*_: object) -> Work:
        named = {**chosen, "name": threading.current_thread().name}
        return Work(store, named, "tests.schedulers.fakes:run_pack", "builtins:dict")

    def run() -> None:
        setup = Setup(Here(), "local", 1, "cpu", tuple(packs(6)))
        progress = execute_plan(plan_of(store, 6), Store(store), load_config(), setup, Request(), Observer())
        counts[threading.current_thread().name] = Counter(outcome.elsewhere for outcome in progress.done)

    monkeypatch.setattr(execute, "_work", work)
    threads = [threading.Thread(target=run, name=name) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert trained(log) == Counter({str(seed): 1 for seed in range(1, 7)})
    assert [sum(counts[name].values()) for name in ("a", "b")] == [6, 6]
    assert counts["a"][""] + counts["b"][""] == 6
    assert min(counts["a"][""], counts["b"][""]) > 0
