"""Verbs that read what is there wait for no import of torch, which takes longer than all that they do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.grid.options import method_options
from bench.plugins import METHODS
from tests.reports.factory import cell, record, write_store

VERBS = [
    line.split()
    for line in (
        "plan --grid embedded",
        "status",
        "table",
        "report --figures 0",
        "compare --baseline b.json",
        "export --format csv --out csv",
    )
]


def test_records_of_all_methods_are_read_without_torch(tmp_path: Path) -> None:
    own = [row.name for row in METHODS.rows() if row.origin == "built-in"]
    records = [record(cell(name, options=method_options(name, {}), seed=seed)) for name in own for seed in (1, 2)]
    write_store(tmp_path / "results", records)
    program = (
        "import sys; from bench.cli.main import invoke\n"
        "codes = [invoke(['compare', '--write', '--baseline', 'b.json'])]\n"
        f"codes += [invoke(verb) for verb in {VERBS!r}]\n"
        "sys.exit(repr((codes, 'torch' in sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stderr.splitlines()[-1:] == [repr(([0] * (1 + len(VERBS)), False))], done.stderr
