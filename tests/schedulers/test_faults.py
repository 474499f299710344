"""Faults of plugins, by a table: each cell has its status and its reason, and all others the same bits as ever."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.records.record import Record
from bench.records.store import Store
from tests import ROOT
from tests.schedulers.faults import DEADLY, FAULTS, HANGING, SPENDING
from tests.schedulers.faulty import cells, key_of

QUICK = [name for name in FAULTS if name not in HANGING]
# Each of these costs a worker or two; those of Ray's processes are the same.
FEW = [name for name in QUICK if name not in (*DEADLY[1:], *SPENDING[1:])]


def drive(folder: Path, scheduler: str, names: list[str], **order: Any) -> dict[str, Record]:
    """Records by name of faults and their neighbours, all in one grid."""
    store = folder / scheduler
    given = {"scheduler": scheduler, "workers": 1, "store": str(store), "cache": str(folder / "cache")}
    text = json.dumps({**given, "faults": names, **order})
    command = [sys.executable, "-m", "tests.schedulers.faulty", text]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = {name: Store(store).read(key_of(one)) for name, one in cells(names)}
    return {name: record for name, record in found.items() if record is not None}


def bits(record: Record) -> str:
    return record.model_dump_json(include={"curve", "accuracy", "noise", "diagnostics"})


def told(name: str, record: Record) -> str:
    """What is wrong about the record of a fault, if anything."""
    fault, changed = FAULTS[name], " ".join(record.provenance.model_dump().get("changed_state", ()))
    right = (
        record.status == fault.status
        and re.fullmatch(fault.reason, record.reason or "", re.DOTALL)
        and (fault.changed in changed if fault.changed else not changed)
        and len(record.attempts) == (name in DEADLY or fault.status == "out_of_memory")
    )
    return "" if right else f"{name}: {record.status}, {record.reason}, {changed}, {len(record.attempts)} attempts"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Bits of the neighbours where there are no faults."""
    found = drive(tmp_path_factory.mktemp("quiet"), "local", QUICK, quiet=True)
    assert {record.status for record in found.values()} == {"done"}
    return {name: bits(record) for name, record in found.items()}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("scheduler", "names"),
    [("local", FEW), *(pytest.param(*more, marks=pytest.mark.long) for more in (("local", QUICK), ("ray", FEW)))],
)
def test_a_fault_is_told_as_what_it_is_and_costs_its_cell_alone(
    scheduler: str, names: list[str], tmp_path: Path, quiet: dict[str, str]
) -> None:
    found = drive(tmp_path, scheduler, names)
    assert [text for name in names if (text := told(name, found[name]))] == []
    beside = {name: bits(record) for name, record in found.items() if name not in FAULTS}
    assert len(beside) > len(names) // 7
    assert beside.items() <= quiet.items()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("scheduler", "names"), [("local", list(HANGING)), pytest.param("ray", list(HANGING[:3]))])
def test_what_hangs_is_ended(scheduler: str, names: list[str], tmp_path: Path, quiet: dict[str, str]) -> None:
    """All at a time: they compute nothing. The limit leaves time to their neighbours on a busy machine."""
    found = drive(tmp_path, scheduler, names, workers=min(4, len(names)), timeout=30.0, grace=1.0)
    assert [text for name in names if (text := told(name, found[name]))] == []
    assert {bits(record) for name, record in found.items() if name not in FAULTS} <= {*quiet.values()}


def test_there_are_many_and_each_has_a_hook() -> None:
    assert len(FAULTS) >= 60
    assert set(DEADLY) | set(SPENDING) | set(HANGING) <= FAULTS.keys()
