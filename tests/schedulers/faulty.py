"""A plugin file with faults, and a driver program that runs cells of it between cells of CoOp."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import bench
from bench.execution import execute
from bench.execution.execute import Request, Setup, execute_plan
from bench.execution.observer import Observer
from bench.execution.plan import make_plan
from bench.grid.expansion import Grid, PlannedCell
from bench.records.cell import Cell
from bench.records.store import Store
from bench.schedulers.work import Work
from bench.settings.schema import load_config
from tests.cells import make_cell
from tests.schedulers.fakes import VERSIONS, scheduler
from tests.schedulers.faults import FAULTS, Faulty, FaultyNoise


def key_of(one: Cell) -> str:
    """The key of a cell; its noise counts too."""
    return one.key({**VERSIONS, "noise": one.noise})


EVERY = 6  # so many faults, and then a neighbour


def coop(**changes: Any) -> Cell:
    """A short cell of CoOp."""
    return make_cell(
        **{"dataset": "digits", "backbone": "tiny", "method": "coop", "shots": 1, "noise": "symmetric", "rate": 0.5,
           "epochs": 1, "batch_size": 32, "options": bench.CoOp.Options(context=4).model_dump(), **changes}
    )  # fmt: skip


def faulty(name: str) -> Cell:
    """The cell of a fault."""
    if FAULTS[name].hook == "noise":
        return coop(noise=f"faulty-noise[fault={name.replace(' ', '_')}]")
    return coop(method="faulty", options=Faulty.Options(context=4, fault=name).model_dump())


def cells(names: list[str]) -> list[tuple[str, Cell]]:
    """Cells by name: faults with a neighbour before, after, and among them."""
    found = []
    for number, name in enumerate(names):
        if number % EVERY == 0:
            found.append(neighbour(number // EVERY))
        found.append((name, faulty(name)))
    return [*found, neighbour(math.ceil(len(names) / EVERY))]


def neighbour(number: int) -> tuple[str, Cell]:
    """A cell without a fault."""
    return f"coop {number}", coop(seed=number + 1)


def main(order: dict[str, Any]) -> None:
    """Run `order`: scheduler, workers, store, cache, faults, timeout, grace; neighbours alone where it is quiet."""
    settings = {"timeout": order.get("timeout"), "cache": order["cache"], "device": "cpu"}
    work = Work(order["store"], settings, plugins=(str(Path(__file__).resolve()),), grace=order.get("grace", 30.0))
    execute._work = lambda *_: work
    chosen = [one for name, one in cells(order["faults"]) if name not in FAULTS or not order.get("quiet")]
    planned = tuple(PlannedCell(key_of(one), one) for one in chosen)
    plan, packs = make_plan(Grid("quick", planned), Store(order["store"])), tuple(((p.key, p.cell),) for p in planned)
    setup = Setup(scheduler(order["scheduler"]), order["scheduler"], order["workers"], "cpu", packs)
    progress = execute_plan(plan, Store(order["store"]), load_config(), setup, Request(), Observer())
    assert len(progress.done) == len(planned)


if __name__ != "tests.schedulers.faulty":  # the program and its plugin file; a test that imports it registers nothing
    bench.register("faulty", Faulty)
    bench.register("faulty-noise", FaultyNoise)
if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
