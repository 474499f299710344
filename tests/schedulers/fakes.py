"""A stand-in for the trial, quick and with mishaps on order, and a driver program that runs it."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.records.cell import Cell
from bench.records.record import Record
from bench.records.store import Store
from bench.schedulers.contract import CellOutcome, Pack, Report, Scheduler
from bench.schedulers.local import Local
from bench.schedulers.work import Work

VERSIONS = {"method": 1}
NO_ROOM = {"status": "out_of_memory", "reason": "no room"}


def cell(seed: int = 1, **changes: Any) -> Cell:
    """A cell; `seed` tells the mishaps apart."""
    values: dict[str, Any] = {
        "dataset": "digits", "shots": 16, "noise": "symmetric", "rate": 0.5, "method": "coop",
        "options": {"context": 16}, "backbone": "tiny", "seed": seed, "epochs": 2, "batch_size": 32,
        "learning_rate": 0.002, "momentum": 0.9, "weight_decay": 5e-4, "warmup_epochs": 1,
        "warmup_learning_rate": 1e-5, "views": 0, "eval_every": 1,
    }  # fmt: skip
    return Cell(**(values | changes))


def packs(count: int, size: int = 1, datasets: Sequence[str] = ("digits",)) -> list[Pack]:
    """Packs of so many cells, with seeds 1 … count in all, of these data sets in turn."""
    cells = [cell(seed, dataset=datasets[(seed - 1) % len(datasets)]) for seed in range(1, count + 1)]
    found = [(one.key(VERSIONS), one) for one in cells]
    return [tuple(found[start : start + size]) for start in range(0, count, size)]


def record(key: str, of: Cell, **changes: Any) -> Record:
    """A record whose numbers depend on the key alone."""
    accuracy = int(hashlib.sha256(key.encode()).hexdigest()[:4], 16) / 65536
    values: dict[str, Any] = {
        "schema": 1, "key": key, "status": "done", "cell": of, "accuracy": {"last": accuracy},
        "curve": {"epoch": [0, 1], "test_accuracy": [0.5, accuracy], "memorized": [0.1, 1 - accuracy]},
        "cost": {"seconds": 0.25},
    }  # fmt: skip
    return Record(**(values | changes))


class Speechless(BaseException):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def _raise(error: BaseException) -> None:
    raise error


# What a cell does instead of publishing a record.
MISHAPS: dict[str, Callable[[], object]] = {
    "die": lambda: os._exit(7),
    "exit": lambda: sys.exit(0),
    "exit at once": lambda: os._exit(0),
    "crash": lambda: ctypes.string_at(0),
    "raise a lack of memory": lambda: _raise(MemoryError("no room")),
    "say nothing": lambda: _raise(Speechless()),
    "raise": lambda: _raise(OSError("no space\nleft")),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "end the generator": lambda: _raise(GeneratorExit()),
    "hang": lambda: time.sleep(600),
    "hold": lambda: ctypes.PyDLL(None).sleep(600),  # with the interpreter lock: no other thread of the process runs
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "end the parent": lambda: (os.kill(os.getppid(), signal.SIGKILL), time.sleep(600)),
    "silent": lambda: None,
}


def _await(happened: Callable[[], bool]) -> None:
    late = time.monotonic() + 120
    while not happened() and time.monotonic() < late:
        time.sleep(0.05)


def _before(seed: int, mishap: str | None, settings: Mapping[str, Any]) -> None:
    """Note that a cell begins, and wait where that is asked for."""
    if "log" in settings:
        with Path(settings["log"]).open("a", encoding="utf-8") as file:
            file.write(f"{settings['name']} {seed}\n")
    if mishap == "wait for a record":
        while not Store(settings["store"]).keys():
            time.sleep(0.05)
    if mishap == "wait for company":
        _await(lambda: len({line.split()[0] for line in Path(settings["log"]).read_text("utf-8").splitlines()}) > 1)


def run_pack(pack: Pack, publish: Callable[[Record, Mapping[str, Any]], None], settings: Mapping[str, Any]) -> None:
    """Publish a record per cell; settings["mishaps"] names by seed what goes wrong instead, or beside it."""
    for key, one in pack:
        mishap = settings.get("mishaps", {}).get(str(one.seed))
        _before(one.seed, mishap, settings)
        if mishap in MISHAPS:
            MISHAPS[mishap]()
            continue
        threads, node = os.environ.get("OMP_NUM_THREADS", ""), os.environ.get("RAY_RAYLET_PID", "")
        worker = {"pid": os.getpid(), "omp": threads, "cuda": os.environ.get("CUDA_VISIBLE_DEVICES"), "node": node}
        match mishap:
            case "die in company" if len(pack) > 1:
                os._exit(7)
            case "die once" | "die once and run short" if not (
                before := Path(settings["store"], f"{one.seed}.died")
            ).exists():
                before.write_text(node)
                os._exit(7)
            case "lose permission":
                subprocess.run(["mount", "-o", "remount,ro", settings["store"]], check=True)
                publish(record(key, one), {})
            case "fail" | "run short" | "run short in company" | "die once and run short" if (
                mishap != "run short in company" or len(pack) > 2
            ):
                how = {"status": "failed", "reason": "as ordered"} if mishap == "fail" else NO_ROOM
                publish(record(key, one, accuracy={}, curve={}, **how), {})
            case "publish and die":
                publish(record(key, one), {})
                os._exit(7)
            case "leave a child and hang":
                child = subprocess.Popen(["sleep", "600"])
                publish(record(key, one, status="failed", reason=str(child.pid)), {})
                time.sleep(600)
            case "fork":  # the copy goes on as if it were the worker
                os.fork()
                publish(record(key, one, noise=worker), {})
            case "leave the folder":
                os.chdir("/")
                publish(record(key, one, noise=worker), {})
            case _:
                publish(record(key, one, noise=worker), {"positions": np.arange(3)})


def scheduler(name: str) -> Scheduler:
    """By the name on the command line."""
    if name == "ray":
        from bench.schedulers.ray_tune import RayTune

        return RayTune()
    return Local()


def in_this_process(
    scheduler: object, packs: Sequence[Pack], work: Work, workers: int, report: Report, stop: Callable[[], bool]
) -> None:
    """Stands in for `Local.run` where a test has changed what no other process knows of."""
    for pack in packs:
        for outcome in work(pack)[0]:
            report(outcome)


def fake_trials(monkeypatch: pytest.MonkeyPatch, mishaps: Mapping[str, str] | None = None) -> None:
    """Let local workers run the trials above, with what goes wrong by seed."""
    real, changes = Local.run, {"run_pack": f"{__name__}:run_pack", "settings_type": "builtins:dict"}

    def run(self: Local, packs: Sequence[Pack], work: Work, *rest: Any) -> None:
        real(self, packs, replace(work, settings={"mishaps": mishaps or {}}, **changes), *rest)

    monkeypatch.setattr(Local, "run", run)


def main(order: dict[str, Any]) -> None:
    """Run `order`: scheduler, workers, store, count, size, mishaps, timeout, stop_after; print outcomes as JSON."""
    settings = {"mishaps": order.get("mishaps", {}), "timeout": order.get("timeout"), "device": "cpu"}
    grace = order.get("grace", 30.0)
    work = Work(order["store"], settings, "tests.schedulers.fakes:run_pack", "builtins:dict", grace=grace)
    outcomes: list[CellOutcome] = []

    def report(outcome: CellOutcome) -> None:
        outcomes.append(outcome)
        sys.stdout.write(json.dumps([outcome.key, outcome.status, outcome.reason, outcome.lost]) + "\n")
        sys.stdout.flush()

    def stop() -> bool:
        return len(outcomes) >= order.get("stop_after", 10**9)

    chosen = packs(order["count"], order.get("size", 1))[:: order.get("step", 1)]
    scheduler(order["scheduler"]).run(chosen, work, order["workers"], report, stop)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
