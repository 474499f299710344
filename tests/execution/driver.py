"""A driver of a run of its own, for tests in which several share a store; it prints what it is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from bench.execution import execute
from bench.execution.execute import Request, Setup, execute_plan
from bench.execution.observer import Observer
from bench.execution.plan import Plan, make_plan
from bench.execution.progress import Listener
from bench.grid.expansion import Grid, PlannedCell
from bench.records.store import Store
from bench.schedulers.work import Work
from bench.settings.schema import load_config
from tests import ROOT
from tests.schedulers.fakes import packs, scheduler


class Speaker(Observer):
    """Prints outcomes and notes, a line of JSON each."""

    def training(self, plan: Plan) -> AbstractContextManager[Listener]:
        return nullcontext(lambda outcome, _: self._say([outcome.key, outcome.status, outcome.elsewhere]))

    def note(self, text: str) -> None:
        self._say(["note", text])

    @staticmethod
    def _say(what: list[str]) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


def start(store: Path | str, log: Path, name: str, **order: Any) -> subprocess.Popen[str]:
    """Start a driver; `order` holds scheduler, count, size, mishaps."""
    text = json.dumps({"store": str(store), "log": str(log), "name": name, **order})
    command = [sys.executable, "-m", "tests.execution.driver", text]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def plan_of(store: str, count: int, datasets: Sequence[str] = ("digits",)) -> Plan:
    cells = [one for pack in packs(count, datasets=datasets) for one in pack]
    return make_plan(Grid("quick", tuple(PlannedCell(*one) for one in cells)), Store(store))


def main(order: dict[str, Any]) -> None:
    settings = {"mishaps": order.get("mishaps", {}), "device": "cpu", **order}
    work = Work(order["store"], settings, "tests.schedulers.fakes:run_pack", "builtins:dict")
    execute._work = lambda *_: work
    datasets = order.get("datasets", ["digits"])
    plan = plan_of(order["store"], order["count"], datasets)
    todo = tuple(packs(order["count"], order.get("size", 1), datasets))
    setup = Setup(scheduler(order.get("scheduler", "local")), "local", order.get("workers", 1), "cpu", todo)
    execute_plan(plan, Store(order["store"]), load_config(), setup, Request(address=order.get("address")), Speaker())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
