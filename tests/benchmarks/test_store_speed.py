"""Processor seconds of the verbs that read a whole store, at 10,000 records, each a process of its own.

Run with `make perf`. The records are those of `test_report_speed`. Time never fails a test; a wrong exit code does.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.records.store import Store
from tests.benchmarks.test_report_speed import made

COUNT = 10_000
BENCH = [sys.executable, "-c", "from bench.cli.main import console_script; console_script()"]
VERBS = {
    "status": ["status"],
    "plan": ["plan", "--grid", "full"],
    "table": ["table"],
    "compare": ["compare", "--baseline", "{root}/baseline.json"],
    "report": ["report", "--figures", "0", "--out", "{root}/report"],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    store = Store(root / "store")
    store.prepare()
    for one in made(COUNT):
        store.files.write(f"{one.key}.json", one.to_json().encode(), replace=False)
    ran(root, ["compare", "--write", "--baseline", f"{root}/baseline.json"])
    return root


def ran(root: Path, verb: list[str]) -> float:
    """Processor seconds of a verb on the store."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    arguments = [part.format(root=root) for part in verb]
    subprocess.run([*BENCH, *arguments, "--store", str(root / "store")], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", VERBS)
def test_verb(benchmark: Any, record_property: Any, root: Path, verb: str) -> None:
    spent: list[float] = []
    benchmark.pedantic(lambda: spent.append(ran(root, VERBS[verb])), rounds=2, iterations=1)
    benchmark.extra_info["processor seconds"] = min(spent)
    record_property("comparison", f"{verb}, {COUNT} records: {min(spent):.1f} processor seconds")
