"""The quickstart and the tutorials, walked as a reader walks them: files written, commands run, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.docs.blocks import SHELLS, WALKED, blocks, lines

# `bench` as it is on a reader's path, with one worker of the local scheduler: Ray starts for longer than a page takes.
PROGRAM = f"""#!/bin/sh
test "$1" = run && set -- "$@" --scheduler local --workers 1
exec {sys.executable} -c 'from bench.cli.main import console_script; console_script()' "$@"
"""
EXIT_CODE = re.compile(r"# exit code (\d+)")


def walk(page: str, place: Path) -> list[tuple[str, str]]:
    """Do all that a page says; returns each command with what it printed."""
    programs = place / "programs"
    programs.mkdir()
    for name, text in {"bench": PROGRAM, "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n'}.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    folder = place / "reader"
    folder.mkdir()
    told = []
    for block in blocks(ROOT / "docs" / page):
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language in SHELLS:
            told += [(line, ran(line, folder, programs)) for line in lines(block)]
    return told


def ran(line: str, folder: Path, programs: Path) -> str:
    environment = {
        **os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "200",
        "NOISY_PROMPT_BENCH_CACHE": str(programs.parent / "cache"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    if "KEY" in line:
        files = sorted((folder / "results").glob("*.prompts.safetensors")) or sorted(
            (folder / "results").glob("*.json")
        )
        line = line.replace("KEY", files[0].name[:8])
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    expected = EXIT_CODE.search(line)
    assert done.returncode == (int(expected[1]) if expected else 0), (line, done.stdout, done.stderr)
    assert "note:" not in done.stderr, (line, done.stderr)
    return done.stdout


SHORT = ("quickstart.md", "tutorials/add_a_method.md")
# What some command of a page prints, on every processor.
PRINTS = {
    "quickstart.md": ("gce-coop", "ran 4 cells", "GCE-CoOp"),
    "tutorials/add_a_method.md": ("11 of 11 checks passed.", "trimmed-coop[share=0.5]"),
    "tutorials/your_own_images.md": ("agrees with given %", "train/zero/0300-wrong.png"),
    "tutorials/regression_gate.md": ("regression gate: passed", "worse   cell    digits · symmetric 0.5 · mine"),
}


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    "page", [page if page in SHORT else pytest.param(page, marks=pytest.mark.long) for page in WALKED]
)
def test_a_page_does_what_it_says(page: str, tmp_path: Path) -> None:
    told = walk(page, tmp_path)
    assert len(told) > 2
    printed = "\n".join(text for _, text in told)
    assert [text for text in PRINTS[page] if text not in printed] == []


def test_the_python_of_the_footguns_prints_what_the_page_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [block for block in blocks(ROOT / "docs" / "footguns.md") if block.file]
    assert [block.file for block in files] == ["cache.py", "half.py"]
    page = (ROOT / "docs" / "footguns.md").read_text(encoding="utf-8")
    for block in files:
        exec(compile(block.text, block.file, "exec"), {})
        first, *rest = capsys.readouterr().out.splitlines()
        assert f"It prints {first}:" in page or f"It prints `{first}` and `{rest[0]}`:" in page
