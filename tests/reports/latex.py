"""LaTeX for tests, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from bench.reports.document import Table
from bench.reports.output.latex import FLOATS, LatexForm, latex_table


def compile_tables(folder: Path, tables: Iterable[Table], form: LatexForm = FLOATS) -> None:
    """Compile tables with booktabs alone, or skip the test."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    body = "\\clearpage\n".join(latex_table(table, form) for table in tables)
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    (folder / "all.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
