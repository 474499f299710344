"""Use an installed wheel as a stranger would: outside any checkout, beside folders that are called as parts of ours.

Usage: python scripts/try_wheel.py PYTHON, the interpreter of the environment that the wheel is installed in.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ("methods", "noise", "reports", "tests")
SMALL = ("method=zero-shot,coop", "noise=none", "epochs=1", "shots=1", "seed=1")
PROGRAM = """
import bench, methods
from bench.plugins import METHODS
assert methods.MINE, "the user's own folder was not found"
assert "visprompt" in METHODS and METHODS.get("visprompt").__module__ == "bench.methods.visprompt"
assert bench.load().frame()["status"].tolist() == ["done", "done"]
print("imported from", bench.__file__)
"""


def main(python: str) -> None:
    """Raise where a command fails."""
    command = Path(python).with_name("bench")
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            (Path(folder) / name).mkdir()
            (Path(folder) / name / "__init__.py").write_text("MINE = True\n", encoding="utf-8")
        for arguments in (
            [command, "list", "methods"],
            [command, "run", "--workers", "1", *(word for text in SMALL for word in ("--set", text))],
            [command, "report", "--markdown", "--figures", "1"],
            [python, "-c", PROGRAM],
        ):
            subprocess.run(arguments, cwd=folder, check=True)  # noqa: S603 - fixed commands
        files = {file.name for file in (Path(folder) / "results" / "report").iterdir()}
        if "report.md" not in files:
            raise SystemExit(f"no report.md among {sorted(files)}")


if __name__ == "__main__":
    main(sys.argv[1])
